// Python bindings. Arrays come as addresses; veduta/kernels/loading.py (address) checks dtype, shape, layout and device
// before.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.hpp"
#include "parallel.hpp"

namespace nb = nanobind;
using namespace veduta;

namespace {

using Address = std::uintptr_t;

float* out(Address a) { return reinterpret_cast<float*>(a); }
const float* in(Address a) { return reinterpret_cast<const float*>(a); }

std::vector<std::string> usable() {
  std::vector<std::string> names;
#if defined(VEDUTA_HAS_AVX512)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma"))
    names.push_back("avx512");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) names.push_back("avx2");
#endif
  names.push_back("portable");
  return names;
}

const Kernels* lookup(const std::string& name) {
#if defined(VEDUTA_HAS_AVX512)
  if (name == "avx512") return &avx512::table();
  if (name == "avx2") return &avx2::table();
#endif
  if (name == "portable") return &portable::table();
  return nullptr;
}

const Kernels*& current() {
  static const Kernels* chosen = lookup(usable().front());
  return chosen;
}

void set_isa(const std::string& name) {
  for (const std::string& candidate : usable())
    if (candidate == name) {
      current() = lookup(name);
      return;
    }
  throw std::invalid_argument("instruction set not usable on this processor: " + name);
}

// rotation 9, translation 3, position 3, fx fy cx cy, width height: 21 numbers
Camera camera_of(const std::vector<double>& v) {
  if (v.size() != 21) throw std::invalid_argument("a camera is 21 numbers");
  Camera c;
  for (int i = 0; i < 9; ++i) c.rotation[i] = static_cast<float>(v[i]);
  for (int i = 0; i < 3; ++i) c.translation[i] = static_cast<float>(v[9 + i]);
  for (int i = 0; i < 3; ++i) c.position[i] = static_cast<float>(v[12 + i]);
  c.fx = static_cast<float>(v[15]);
  c.fy = static_cast<float>(v[16]);
  c.cx = static_cast<float>(v[17]);
  c.cy = static_cast<float>(v[18]);
  c.width = static_cast<int>(v[19]);
  c.height = static_cast<int>(v[20]);
  return c;
}

ProjectOptions options_of(const std::vector<double>& v) {
  if (v.size() != 4) throw std::invalid_argument("options are near, far, low pass, antialias");
  return {static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2]), v[3] != 0.0};
}

void project(int n, std::vector<Address> gaussians, std::vector<double> camera, std::vector<double> options,
             std::vector<Address> result) {
  const Camera c = camera_of(camera);
  const ProjectOptions o = options_of(options);
  nb::gil_scoped_release free;
  current()->project({n, in(gaussians.at(0)), in(gaussians.at(1)), in(gaussians.at(2)), in(gaussians.at(3))}, c, o,
                     {out(result.at(0)), out(result.at(1)), out(result.at(2)), out(result.at(3)), out(result.at(4))});
}

void project_backward(int n, std::vector<Address> gaussians, std::vector<double> camera, std::vector<double> options,
                      Address extents, std::vector<Address> given, std::vector<Address> result) {
  const Camera c = camera_of(camera);
  const ProjectOptions o = options_of(options);
  nb::gil_scoped_release free;
  current()->project_backward(
      {n, in(gaussians.at(0)), in(gaussians.at(1)), in(gaussians.at(2)), in(gaussians.at(3))}, c, o, in(extents),
      {in(given.at(0)), in(given.at(1)), in(given.at(2)), in(given.at(3))},
      {out(result.at(0)), out(result.at(1)), out(result.at(2)), out(result.at(3))});
}

void sh(int n, int degree, int stored, Address means, Address coefficients, Address extents, std::vector<double> camera,
        Address colors) {
  const Camera c = camera_of(camera);
  nb::gil_scoped_release free;
  current()->sh(n, degree, stored, in(means), in(coefficients), out(extents), c, out(colors));
}

void sh_backward(int n, int degree, int stored, Address means, Address coefficients, Address extents,
                 std::vector<double> camera, Address colors, Address grad_colors, Address grad_sh, Address grad_means) {
  const Camera c = camera_of(camera);
  nb::gil_scoped_release free;
  current()->sh_backward(n, degree, stored, in(means), in(coefficients), in(extents), c, in(colors), in(grad_colors),
                         out(grad_sh), out(grad_means));
}

// projected: means_px, conics, opacities, extents, depths, colors
void bin(Frame& frame, int n, int width, int height, std::vector<Address> projected) {
  nb::gil_scoped_release free;
  frame.count = n;
  frame.width = width;
  frame.height = height;
  current()->bin(frame, {in(projected.at(0)), in(projected.at(1)), in(projected.at(2)), in(projected.at(3)),
                         in(projected.at(4)), in(projected.at(5))});
}

void set_channels(Frame& frame, Address values, int stride, int channels, Address fourth) {
  nb::gil_scoped_release free;
  current()->set_channels(frame, in(values), stride, channels, in(fourth));
}

void composite(Frame& frame, int channels, Address color, Address alpha, Address depth, Address transmittance) {
  nb::gil_scoped_release free;
  current()->composite(frame, channels, {out(color), out(alpha), out(depth), out(transmittance)});
}

// given: color, alpha, depth, features; result: means_px, conics, opacities, colors, depths, absgrad, features
void composite_backward(Frame& frame, Address features, int feature_channels, std::vector<Address> given,
                        std::vector<Address> result) {
  nb::gil_scoped_release free;
  current()->composite_backward(frame, in(features), feature_channels,
                                {in(given.at(0)), in(given.at(1)), in(given.at(2)), in(given.at(3))},
                                {out(result.at(0)), out(result.at(1)), out(result.at(2)), out(result.at(3)),
                                 out(result.at(4)), out(result.at(5)), out(result.at(6))});
}

// Asks for large pages for memory not yet touched: a tenth of the time that its faults take, and quicker random reads.
void prefer_large_pages(Address begin, std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr Address page = 4096;
  const Address first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // a wish: refusal is fine
#else
  static_cast<void>(begin);
  static_cast<void>(bytes);
#endif
}

// gaussians: means, quats, scales, opacities, sh, extents, colors
LinearInputs linear_inputs(int n, int degree, int stored, const std::vector<Address>& gaussians) {
  return {{n, in(gaussians.at(0)), in(gaussians.at(1)), in(gaussians.at(2)), in(gaussians.at(3))},
          in(gaussians.at(4)),
          in(gaussians.at(5)),
          in(gaussians.at(6)),
          degree,
          stored};
}

void whiten(int n, std::vector<Address> gaussians, std::vector<double> camera, std::vector<double> options,
            Address result) {
  const Camera c = camera_of(camera);
  const ProjectOptions o = options_of(options);
  nb::gil_scoped_release free;
  current()->whiten({n, in(gaussians.at(0)), in(gaussians.at(1)), in(gaussians.at(2)), in(gaussians.at(3))}, c, o,
                    out(result));
}

void pull(int n, int degree, int stored, std::vector<Address> gaussians, std::vector<double> camera,
          std::vector<double> options, Address moments, int size, Address result) {
  const Camera c = camera_of(camera);
  const ProjectOptions o = options_of(options);
  nb::gil_scoped_release free;
  current()->pull(linear_inputs(n, degree, stored, gaussians), c, o, in(moments), size, out(result));
}

void push(int n, int degree, int stored, std::vector<Address> gaussians, std::vector<double> camera,
          std::vector<double> options, Address blocks, Address result) {
  const Camera c = camera_of(camera);
  const ProjectOptions o = options_of(options);
  nb::gil_scoped_release free;
  current()->push(linear_inputs(n, degree, stored, gaussians), c, o, in(blocks), out(result));
}

// picture: whitening, color, behind; given: photograph, weight; result: fisher, score
void moments(Frame& frame, std::vector<Address> picture, std::vector<Address> given, std::vector<Address> result,
             bool clustered) {
  nb::gil_scoped_release free;
  current()->moments(frame, {in(picture.at(0)), in(picture.at(1)), in(picture.at(2))},
                     {in(given.at(0)), in(given.at(1)), out(result.at(0)), out(result.at(1)), clustered});
}

void covariance(Frame& frame, std::vector<Address> picture, Address forms, Address result) {
  nb::gil_scoped_release free;
  current()->covariance(frame, {in(picture.at(0)), in(picture.at(1)), in(picture.at(2))}, in(forms), out(result));
}

// push and covariance in one; the forms lie in pooled memory, whose pages need not be asked for each time
void uncertainty(Frame& frame, std::vector<Address> picture, int n, int degree, int stored,
                 std::vector<Address> gaussians, std::vector<double> camera, std::vector<double> options,
                 Address blocks, Address result) {
  const Camera c = camera_of(camera);
  const ProjectOptions o = options_of(options);
  nb::gil_scoped_release free;
  Block block;
  auto* forms = static_cast<float*>(block.reserve(sizeof(float) * FORMS * static_cast<std::size_t>(n)));
  current()->push(linear_inputs(n, degree, stored, gaussians), c, o, in(blocks), forms);
  current()->covariance(frame, {in(picture.at(0)), in(picture.at(1)), in(picture.at(2))}, forms, out(result));
}

// given: planes, clear, background; result: excess, variance
void unknown(int width, int height, int rows, int columns, std::vector<Address> given, const std::vector<double>& axes,
             const std::vector<double>& pixels, double tau2, double precision, std::vector<Address> result) {
  UnknownArguments a{width, height, in(given.at(0)), in(given.at(1)), rows, columns, in(given.at(2))};
  for (std::size_t k = 0; k < 9; ++k) a.axes[k] = static_cast<float>(axes.at(k));
  a.fx = static_cast<float>(pixels.at(0));
  a.fy = static_cast<float>(pixels.at(1));
  a.cx = static_cast<float>(pixels.at(2));
  a.cy = static_cast<float>(pixels.at(3));
  a.tau2 = static_cast<float>(tau2);
  a.precision = static_cast<float>(precision);
  a.excess = out(result.at(0));
  a.variance = out(result.at(1));
  nb::gil_scoped_release free;
  current()->unknown(a);
}

nb::tuple photometric(int width, int height, Address rendered, Address target, Address weight, double l1_weight,
                      double ssim_weight, bool valid_only, Address gradient, Address ssim_map) {
  double l1 = 0.0, ssim = 0.0;
  {
    nb::gil_scoped_release free;
    current()->photometric({width, height, in(rendered), in(target), in(weight), static_cast<float>(l1_weight),
                            static_cast<float>(ssim_weight), valid_only, out(gradient), out(ssim_map)},
                           &l1, &ssim);
  }
  return nb::make_tuple(l1, ssim);
}

void adam(std::int64_t count, Address value, Address gradient, Address first, Address second,
          const std::vector<double>& rates, double beta1, double beta2, double eps, double correction1,
          double correction2) {
  std::vector<float> narrow(rates.begin(), rates.end());
  nb::gil_scoped_release free;
  current()->adam(count, out(value), in(gradient), out(first), out(second), narrow.data(),
                  static_cast<int>(narrow.size()), static_cast<float>(beta1), static_cast<float>(beta2),
                  static_cast<float>(eps), static_cast<float>(correction1), static_cast<float>(correction2));
}

}  // namespace

NB_MODULE(_kernels, m) {
  nb::set_leak_warnings(false);  // torch keeps autograd contexts alive past the interpreter's end
  nb::class_<Frame>(m, "Frame")
      .def(nb::init<>())
      .def_ro("visible", &Frame::visible)
      .def_ro("pairs", &Frame::pairs)
      .def_prop_ro("nbytes", &Frame::bytes);
  m.def("usable", &usable);
  m.def("isa", [] { return std::string(current()->name); });
  m.def("set_isa", &set_isa);
  m.def("threads", &threads);
  m.def("set_threads", &set_threads);
  m.def("release_pooled_memory", &release_pooled_memory);
  m.def("held_memory", [] {
    const Held held = held_memory();
    return std::make_pair(held.used, held.kept);
  });
  m.def("project", &project);
  m.def("project_backward", &project_backward);
  m.def("sh", &sh);
  m.def("sh_backward", &sh_backward);
  m.def("bin", &bin);
  m.def("set_channels", &set_channels);
  m.def("composite", &composite);
  m.def("composite_backward", &composite_backward);
  m.def("prefer_large_pages", &prefer_large_pages);
  m.def("whiten", &whiten);
  m.def("pull", &pull);
  m.def("push", &push);
  m.def("moments", &moments);
  m.def("covariance", &covariance);
  m.def("uncertainty", &uncertainty);
  m.def("unknown", &unknown);
  m.def("photometric", &photometric);
  m.def("adam", &adam);
}
