// From the covariance of each pixel's colour to what is unknown about it: saturated at s = tau^2 (1 - T^2), the
// background's variance added, and of the result Y its trace / 3 and det(1 + Y / sigma^2) - 1. The definition is
// veduta/information/maps.py.

constexpr float FAR_ABOVE = 1e12f;   // multiples of s from which a covariance is as good as infinite
constexpr int UNKNOWN_GRAIN = 4096;  // pixels per job

struct Invariants {  // of a symmetric 3x3 matrix (rr, rg, rb, gg, gb, bb), not below 0
  F minor[3], sum;
  VEDUTA_INLINE explicit Invariants(const F* x) {
    const F zero(0.0f);
    minor[0] = fnma(x[4], x[4], x[3] * x[5]);
    minor[1] = fnma(x[2], x[2], x[0] * x[5]);
    minor[2] = fnma(x[1], x[1], x[0] * x[3]);
    const F determinant = fma(x[0], minor[0], fma(x[2], fnma(x[2], x[3], x[1] * x[4]), -(x[1] * fnma(x[2], x[4], x[1] * x[5]))));
    sum = max(x[0] + x[3] + x[5], zero) + max(minor[0] + minor[1] + minor[2], zero);
    last = max(determinant, zero);
    sum = sum + last;
  }
  F last;  // the determinant
};

VEDUTA_INLINE void unknown_block(const F* covariance, F clear, F background, F tau2, F precision, F* excess, F* variance) {
  const F zero(0.0f), one(1.0f), third(1.0f / 3.0f), most(FAR_ABOVE);
  const F limit = max(tau2 * fnma(clear, clear, one), zero);
  const M some = limit > zero;
  const F inverse = keep(some, one / select(some, limit, one));
  F x[6];
  for (int k = 0; k < 6; ++k) x[k] = max(min(covariance[k] * inverse, most), -most);
  const Invariants i(x);
  const F scale = limit / (one + i.sum);
  F y[6];
  y[0] = fma(scale, x[0] + i.minor[1] + i.minor[2] + i.last, background);
  y[1] = scale * (x[1] + fnma(x[2], x[4], x[1] * x[5]));
  y[2] = scale * (x[2] + fnma(x[1], x[4], x[2] * x[3]));
  y[3] = fma(scale, x[3] + i.minor[0] + i.minor[2] + i.last, background);
  y[4] = scale * (x[4] + fnma(x[1], x[2], x[4] * x[0]));
  y[5] = fma(scale, x[5] + i.minor[0] + i.minor[1] + i.last, background);
  *variance = third * (y[0] + y[3] + y[5]);
  for (F& entry : y) entry = entry * precision;
  *excess = Invariants(y).sum;
}

void unknown(const UnknownArguments& a) {
  const F tau2(a.tau2), precision(a.precision);
  parallel(static_cast<int>((a.count + UNKNOWN_GRAIN - 1) / UNKNOWN_GRAIN), [&](int job) {
    const std::int64_t begin = static_cast<std::int64_t>(job) * UNKNOWN_GRAIN;
    const std::int64_t end = begin + UNKNOWN_GRAIN < a.count ? begin + UNKNOWN_GRAIN : a.count;
    alignas(64) float rest[10][F::W];
    for (std::int64_t i = begin; i < end; i += F::W) {
      const bool whole = end - i >= F::W;
      const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(whole ? F::W : end - i);
      const float* from[8] = {a.clear + i, a.background + i};
      for (int k = 0; k < 6; ++k) from[2 + k] = a.planes + k * a.count + i;
      if (!whole)
        for (int k = 0; k < 8; ++k) {
          std::memset(rest[k], 0, sizeof rest[k]);
          std::memcpy(rest[k], from[k], bytes);
          from[k] = rest[k];
        }
      F covariance[6], excess, variance;
      for (int k = 0; k < 6; ++k) covariance[k] = load(from[2 + k]);
      unknown_block(covariance, load(from[0]), load(from[1]), tau2, precision, &excess, &variance);
      if (whole) {
        store(a.excess + i, excess);
        store(a.variance + i, variance);
      } else {
        store(rest[8], excess);
        store(rest[9], variance);
        std::memcpy(a.excess + i, rest[8], bytes);
        std::memcpy(a.variance + i, rest[9], bytes);
      }
    }
  });
}
