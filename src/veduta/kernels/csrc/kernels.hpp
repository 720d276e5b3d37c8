// The table of kernels: one per instruction set, filled in by kernels.cpp, chosen at load.
#pragma once
#include <cstdint>

#include "frame.hpp"

namespace veduta {

constexpr int FORMS = 39;  // numbers per Gaussian of L P L^T

struct Camera {
  float rotation[9];     // camera from world, row major
  float translation[3];
  float position[3];     // in the world
  float fx, fy, cx, cy;
  int width, height;
};

struct ProjectOptions {
  float near_z, far_z, low_pass;
  bool antialias;
};

struct Projected {        // per Gaussian; extent 0 means not drawn
  float* means_px;        // [n][2]
  float* conics;          // [n][3]
  float* depths;          // [n]
  float* extents;         // [n][2]
  float* opacities;       // [n], only written when antialiasing
};

struct ProjectedGradients {  // what comes back; null pointers are zero
  const float* means_px;
  const float* conics;
  const float* depths;
  const float* opacities;
};

struct GaussianInputs {
  int count;
  const float* means;      // [n][3]
  const float* quats;      // [n][4], any length
  const float* scales;     // [n][3]
  const float* opacities;  // [n]
};

struct GaussianGradients {
  float* means;
  float* quats;
  float* scales;
  float* opacities;
};

struct CompositeInputs {
  const float* means_px;
  const float* conics;
  const float* opacities;
  const float* extents;
  const float* depths;     // sort key and fourth channel
  const float* colors;     // [n][3]
};

struct Image {             // null members are not written
  float* color;            // [h][w][channels]
  float* alpha;            // [h][w]
  float* depth;            // [h][w], alpha-normalised, 0 where nothing was drawn
  float* transmittance;    // [h][w]: 1 - alpha, without its rounding
};

struct ImageGradients {    // null members are zero
  const float* color;
  const float* alpha;
  const float* depth;      // of the sum of weight times depth, before normalising
  const float* features;   // [h][w][feature channels]
};

struct CompositeGradients {  // added to
  float* means_px;
  float* conics;
  float* opacities;
  float* colors;           // [n][3]
  float* depths;           // may be null
  float* absgrad;          // [n][2], may be null
  float* features;         // [n][feature channels], may be null without feature gradients
};

struct LinearInputs {      // what the linear map from parameters to the screen needs
  GaussianInputs gaussians;
  const float* sh;         // [n][stored][3]
  const float* extents;    // [n][2], of project and sh
  const float* colors;     // [n][3], of sh
  int degree, stored;
};

struct ScreenInputs {      // what moments and covariances of a composited picture need
  const float* whitening;  // [n][4], of whiten
  const float* color;      // [h][w][3], what lies behind included
  const float* behind;     // [h][w][3] or null
};

struct MomentsArguments {
  const float* photograph;  // [h][w][3] or null
  const float* weight;      // [h][w] or null
  float* fisher;            // [n][34], zeros at first
  float* score;             // [n][39], or [n][9] where clustered, zeros at first; null without a photograph
  bool clustered;
};

struct SsimArguments {
  int width, height;
  const float* rendered;   // [h][w][3]
  const float* target;
  const float* weight;     // [h][w] or null
  float l1_weight, ssim_weight;
  bool valid_only;         // average SSIM over windows that lie inside the picture
  float* gradient;         // [h][w][3] or null
  float* ssim_map;         // [h][w] mean over channels, or null
};

struct UnknownArguments {
  int width, height;
  const float* planes;    // [6][h][w]: packed covariance of the colour
  const float* clear;     // [h][w]: transmittance left
  int rows, columns;      // of the equirectangular map
  const float* behind;    // [rows][columns]: variance of what is seen in each direction with nothing before it
  float axes[9];          // the map's level x, level y and up in the axes of the camera, a row each
  float fx, fy, cx, cy;   // pixels
  float tau2, precision;  // variance of photographs' values, 1 / sigma^2
  float* excess;          // [h][w]: det(1 + Y / sigma^2) - 1
  float* variance;        // [h][w]: tr Y / 3
};

struct Kernels {
  const char* name;
  void (*project)(const GaussianInputs&, const Camera&, const ProjectOptions&, const Projected&);
  void (*project_backward)(const GaussianInputs&, const Camera&, const ProjectOptions&, const float* extents,
                           const ProjectedGradients&, const GaussianGradients&);
  void (*sh)(int count, int degree, int stored, const float* means, const float* sh, float* extents, const Camera&,
             float* colors);
  void (*sh_backward)(int count, int degree, int stored, const float* means, const float* sh, const float* extents,
                      const Camera&, const float* colors, const float* grad_colors, float* grad_sh, float* grad_means);
  void (*bin)(Frame&, const CompositeInputs&);
  void (*set_channels)(Frame&, const float* values, int stride, int channels, const float* fourth);
  void (*composite)(Frame&, int channels, const Image&);
  void (*composite_backward)(Frame&, const float* features, int feature_channels, const ImageGradients&,
                             const CompositeGradients&);
  void (*whiten)(const GaussianInputs&, const Camera&, const ProjectOptions&, float* out);
  void (*pull)(const LinearInputs&, const Camera&, const ProjectOptions&, const float* moments, int size, float* out);
  void (*push)(const LinearInputs&, const Camera&, const ProjectOptions&, const float* blocks, float* out);
  void (*moments)(Frame&, const ScreenInputs&, const MomentsArguments&);
  void (*covariance)(Frame&, const ScreenInputs&, const float* forms, float* out);
  void (*photometric)(const SsimArguments&, double* l1, double* ssim);
  void (*adam)(std::int64_t count, float* value, const float* gradient, float* first, float* second, const float* rates,
               int period, float beta1, float beta2, float eps, float correction1, float correction2);
  void (*unknown)(const UnknownArguments&);
};

namespace portable { const Kernels& table(); }
namespace avx2 { const Kernels& table(); }
namespace avx512 { const Kernels& table(); }

}  // namespace veduta
