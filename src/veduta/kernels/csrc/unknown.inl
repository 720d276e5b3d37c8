// From the covariance of each pixel's colour to what is unknown about it: saturated at s = tau^2 (1 - T^2), the
// background's variance added, and of the result Y its trace / 3 and det(1 + Y / sigma^2) - 1. The definition is
// veduta/information/maps.py. The direction of a pixel, and with it the cell of the background's map, is defined by
// veduta/information/directions.py.

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

// The angle of (x, y) in [-pi, pi], to 2e-7: atan of the smaller over the larger by a polynomial in its square, fitted
// for the least largest error over [0, 1].
VEDUTA_INLINE F angle(F y, F x) {
  constexpr float COEFFICIENTS[9] = {0.999999881f,   -0.333325982f, 0.199859068f,   -0.141612276f, 0.104989417f,
                                     -0.0723484904f, 0.0397811346f, -0.0144013055f, 0.00245671184f};
  constexpr float PI = 3.14159265f;
  const F zero(0.0f), across = abs(x), along = abs(y), larger = max(across, along);
  const F ratio = min(across, along) / select(larger > zero, larger, F(1.0f)), square = ratio * ratio;
  F sum(COEFFICIENTS[8]);
  for (int k = 7; k >= 0; --k) sum = fma(sum, square, F(COEFFICIENTS[k]));
  F turn = ratio * sum;
  turn = select(along > across, F(0.5f * PI) - turn, turn);
  turn = select(x < zero, F(PI) - turn, turn);
  return select(y < zero, -turn, turn);
}

// The cell of `count` that a position lies in; the last one also for what rounding puts beyond it, 0 for NaN.
inline int cell(float position, int count) {
  return position < static_cast<float>(count) ? static_cast<int>(position) : position >= 0.0f ? count - 1 : 0;
}

// The variance of what lies behind, in the directions of the pixels at `column`, `column` + 1, ... of one row.
struct Sky {
  const UnknownArguments& a;
  F start[3];  // of the row: the axes' values where x = 0
  VEDUTA_INLINE Sky(const UnknownArguments& arguments, int row) : a(arguments) {
    const float y = (static_cast<float>(row) + 0.5f - a.cy) / a.fy;
    for (int k = 0; k < 3; ++k) start[k] = F(a.axes[3 * k + 1] * y + a.axes[3 * k + 2]);
  }
  VEDUTA_INLINE F operator()(int column) const {
    constexpr float TURN = 6.28318531f;
    const F x = (F(static_cast<float>(column) + 0.5f - a.cx) + iota()) / F(a.fx);
    F along[3];
    for (int k = 0; k < 3; ++k) along[k] = fma(F(a.axes[3 * k]), x, start[k]);
    const F azimuth = angle(along[1], along[0]);
    const F polar = angle(sqrt(fma(along[0], along[0], along[1] * along[1])), along[2]);
    alignas(64) float across[F::W], down[F::W], found[F::W];
    store(across, select(azimuth < F(0.0f), azimuth + F(TURN), azimuth) * F(static_cast<float>(a.columns) / TURN));
    store(down, polar * F(2.0f * static_cast<float>(a.rows) / TURN));
    for (int lane = 0; lane < F::W; ++lane) {
      const int i = cell(down[lane], a.rows), j = cell(across[lane], a.columns);
      found[lane] = a.behind[i * a.columns + j];
    }
    return load(found);
  }
};

VEDUTA_INLINE void unknown_row(const UnknownArguments& a, int row) {
  const F tau2(a.tau2), precision(a.precision);
  const Sky behind(a, row);
  const std::int64_t first = static_cast<std::int64_t>(row) * a.width;
  const std::int64_t count = static_cast<std::int64_t>(a.width) * a.height;
  alignas(64) float rest[9][F::W];
  for (int column = 0; column < a.width; column += F::W) {
    const std::int64_t i = first + column;
    const bool whole = a.width - column >= F::W;
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(whole ? F::W : a.width - column);
    const float* from[7] = {a.clear + i};
    for (int k = 0; k < 6; ++k) from[1 + k] = a.planes + k * count + i;
    if (!whole)
      for (int k = 0; k < 7; ++k) {
        std::memset(rest[k], 0, sizeof rest[k]);
        std::memcpy(rest[k], from[k], bytes);
        from[k] = rest[k];
      }
    F covariance[6], excess, variance;
    for (int k = 0; k < 6; ++k) covariance[k] = load(from[1 + k]);
    const F clear = load(from[0]);
    unknown_block(covariance, clear, clear * clear * behind(column), tau2, precision, &excess, &variance);
    if (whole) {
      store(a.excess + i, excess);
      store(a.variance + i, variance);
    } else {
      store(rest[7], excess);
      store(rest[8], variance);
      std::memcpy(a.excess + i, rest[7], bytes);
      std::memcpy(a.variance + i, rest[8], bytes);
    }
  }
}

void unknown(const UnknownArguments& a) {
  const int rows = UNKNOWN_GRAIN / a.width > 0 ? UNKNOWN_GRAIN / a.width : 1;
  parallel((a.height + rows - 1) / rows, [&](int job) {
    for (int row = job * rows; row < a.height && row < (job + 1) * rows; ++row) unknown_row(a, row);
  });
}
