// All kernels, compiled once per instruction set (see CMakeLists.txt). Nothing here may be a template or inline function
// of the standard library: the linker would merge its copies across instruction sets.
#include "kernels.hpp"

#include <cmath>
#include <cstring>

#include "parallel.hpp"
#include "simd.hpp"

#define VEDUTA_STRING2(x) #x
#define VEDUTA_STRING(x) VEDUTA_STRING2(x)

namespace veduta {
namespace VEDUTA_ISA {
namespace {

#include "project.inl"
#include "sh.inl"
#include "bin.inl"
#include "composite.inl"
#include "composite_backward.inl"
#include "linear_map.inl"
#include "moments.inl"
#include "covariance.inl"
#include "photometric.inl"
#include "adam.inl"
#include "unknown.inl"

}  // namespace

const Kernels& table() {
  static constexpr Kernels kernels{VEDUTA_STRING(VEDUTA_ISA),
                                   project,
                                   project_backward,
                                   sh,
                                   sh_backward,
                                   bin,
                                   set_channels,
                                   composite,
                                   composite_backward,
                                   whiten,
                                   pull,
                                   push,
                                   moments,
                                   covariance,
                                   photometric,
                                   adam,
                                   unknown};
  return kernels;
}

}  // namespace VEDUTA_ISA
}  // namespace veduta
