// L1 and SSIM (Wang 2004; 11x11 Gaussian window, sigma 1.5, zeros outside the picture) with their gradient, in two
// passes over rows: every row is blurred vertically straight from the pictures, then horizontally in a row that stays
// in cache. Channels stay interleaved: a horizontal tap is 3 floats away.

constexpr int RADIUS = 5;
constexpr int PAD = 16;  // floats of zeros on both sides of a row: at least RADIUS pixels of 3 channels
constexpr float C1 = 0.01f * 0.01f, C2 = 0.03f * 0.03f;
// exp(-k^2 / (2 1.5^2)) over the sum of all eleven, k = 0..5
constexpr float WINDOW[RADIUS + 1] = {0.26601171f, 0.21300554f, 0.10936069f, 0.03600077f, 0.00759877f, 0.00102838f};

VEDUTA_INLINE F row_load(const float* p, int i, int length) {
  return i + F::W <= length ? load(p + i) : gather_tail(p + i, 1, length - i, 0.0f);
}

VEDUTA_INLINE F blur_row(const float* row, int i) {  // row is padded on both sides
  F sum = F(WINDOW[0]) * load(row + i);
  for (int k = 1; k <= RADIUS; ++k) sum = fma(F(WINDOW[k]), load(row + i - 3 * k) + load(row + i + 3 * k), sum);
  return sum;
}

struct Plane {  // h rows of `length` floats, `stride` apart
  int height, length, stride;
  const SsimArguments* in;
  double scale;  // 1 / (3 sum of the weights that count)
  VEDUTA_INLINE bool row_counts(int y) const { return !in->valid_only || (y >= RADIUS && y < height - RADIUS); }
  VEDUTA_INLINE float weight(int y, int x) const {
    if (in->valid_only && (x < RADIUS || x >= in->width - RADIUS)) return 0.0f;
    return in->weight == nullptr ? 1.0f : in->weight[static_cast<std::size_t>(y) * in->width + x];
  }
};

struct RowSums {
  double ssim = 0.0, l1 = 0.0;
};

// One row of the SSIM map, its weighted sum, and the derivatives by (mean x, E[xx], E[xy]) where wanted.
inline double ssim_row(const Plane& p, int y, float* scratch, float* derivatives) {
  const std::size_t padded = static_cast<std::size_t>(p.stride) + 2 * PAD;
  float* rows[4];
  for (int f = 0; f < 4; ++f) rows[f] = scratch + f * padded + PAD;
  const int low = y - RADIUS > 0 ? y - RADIUS : 0, high = y + RADIUS < p.height - 1 ? y + RADIUS : p.height - 1;
  for (int i = 0; i < p.length; i += F::W) {
    F mx(0.0f), my(0.0f), square(0.0f), cross(0.0f);
    for (int t = low; t <= high; ++t) {
      const F w(WINDOW[t > y ? t - y : y - t]);
      const F a = row_load(p.in->rendered + static_cast<std::size_t>(t) * p.length, i, p.length);
      const F b = row_load(p.in->target + static_cast<std::size_t>(t) * p.length, i, p.length);
      const F wa = w * a, wb = w * b;
      mx += wa;
      my += wb;
      square = fma(wa, a, fma(wb, b, square));
      cross = fma(wa, b, cross);
    }
    store(rows[0] + i, mx);
    store(rows[1] + i, my);
    store(rows[2] + i, square);
    store(rows[3] + i, cross);
  }
  float* weights = scratch + 4 * padded;
  for (int x = 0; x < p.in->width; ++x) {
    const float w = p.row_counts(y) ? p.weight(y, x) : 0.0f;
    weights[3 * x] = weights[3 * x + 1] = weights[3 * x + 2] = w;
  }
  const F sign(static_cast<float>(-p.in->ssim_weight * p.scale));
  alignas(64) float lanes[F::W];
  double total = 0.0;
  for (int i = 0; i < p.length; i += F::W) {
    const F mx = blur_row(rows[0], i), my = blur_row(rows[1], i);
    const F square = blur_row(rows[2], i), cross = blur_row(rows[3], i);
    const F xy = mx * my, mm = fma(mx, mx, my * my), two(2.0f);
    const F a1 = fma(two, xy, F(C1)), a2 = fma(two, cross - xy, F(C2));
    const F b1 = mm + F(C1), b2 = square - mm + F(C2);
    const F inverse = F(1.0f) / (b1 * b2);
    const F s = a1 * a2 * inverse;
    const F w = row_load(weights, i, p.length);
    store(lanes, s * w);
    const int count = p.length - i < F::W ? p.length - i : F::W;
    for (int k = 0; k < count; ++k) total += lanes[k];
    if (p.in->ssim_map != nullptr) {
      store(lanes, s);
      float* map = p.in->ssim_map + static_cast<std::size_t>(y) * p.in->width;
      for (int k = 0; k < count; ++k) map[(i + k) / 3] += lanes[k] * (1.0f / 3.0f);
    }
    if (derivatives != nullptr) {
      const F g = sign * w;
      const F sb1 = s / b1, sb2 = s / b2;
      store(derivatives + i, g * two * (my * (a2 - a1) * inverse - mx * (sb1 - sb2)));
      store(derivatives + p.stride + i, -(g * sb2));
      store(derivatives + 2 * p.stride + i, g * two * a1 * inverse);
    }
  }
  return total;
}

// One row of the gradient: blur(Dm) + 2 x blur(Dxx) + y blur(Dxy), plus L1's. Returns the row's weighted L1 sum.
inline double gradient_row(const Plane& p, int y, float* scratch, const float* derivatives) {
  const std::size_t padded = static_cast<std::size_t>(p.stride) + 2 * PAD, field_rows = 3 * p.stride;
  float* rows[3];
  for (int f = 0; f < 3; ++f) rows[f] = scratch + f * padded + PAD;
  const int low = y - RADIUS > 0 ? y - RADIUS : 0, high = y + RADIUS < p.height - 1 ? y + RADIUS : p.height - 1;
  if (derivatives != nullptr)
    for (int i = 0; i < p.length; i += F::W)
      for (int f = 0; f < 3; ++f) {
        F sum(0.0f);
        for (int t = low; t <= high; ++t)
          sum = fma(F(WINDOW[t > y ? t - y : y - t]), load(derivatives + field_rows * t + f * p.stride + i), sum);
        store(rows[f] + i, i + F::W <= p.length ? sum : keep(iota() < F(static_cast<float>(p.length - i)), sum));
      }
  const float* x = p.in->rendered + static_cast<std::size_t>(y) * p.length;
  const float* t = p.in->target + static_cast<std::size_t>(y) * p.length;
  float* out = p.in->gradient == nullptr ? nullptr : p.in->gradient + static_cast<std::size_t>(y) * p.length;
  const float l1_scale = static_cast<float>(p.in->l1_weight * p.scale);
  alignas(64) float w[F::W], lanes[F::W];
  double total = 0.0;
  for (int i = 0; i < p.length; i += F::W) {
    const int count = p.length - i < F::W ? p.length - i : F::W;
    for (int k = 0; k < F::W; ++k)
      w[k] = k < count && p.row_counts(y) ? p.weight(y, (i + k) / 3) : 0.0f;
    const F a = row_load(x, i, p.length), b = row_load(t, i, p.length), difference = a - b, weight = load(w);
    store(lanes, abs(difference) * weight);
    for (int k = 0; k < count; ++k) total += lanes[k];
    if (out == nullptr) continue;
    const F zero(0.0f);
    const F l1 = F(l1_scale) * weight;
    F g = select(difference > zero, l1, keep(difference < zero, -l1));
    if (derivatives != nullptr)
      g = g + fma(F(2.0f) * a, blur_row(rows[1], i), fma(b, blur_row(rows[2], i), blur_row(rows[0], i)));
    scatter(out + i, 1, count, g);
  }
  return total;
}

// Weighted means of |x - y| and of SSIM; the gradient of l1_weight * L1 - ssim_weight * SSIM where wanted.
void photometric(const SsimArguments& in, double* l1, double* ssim) {
  Plane p{in.height, 3 * in.width, (3 * in.width + 15) / 16 * 16, &in, 0.0};
  Block sum_block, derivative_block;
  auto* sums = static_cast<RowSums*>(sum_block.reserve(sizeof(RowSums) * in.height));
  parallel(in.height, [&](int y) {
    double row = 0.0;
    if (p.row_counts(y))
      for (int x = 0; x < in.width; ++x) row += p.weight(y, x);
    sums[y].l1 = row;
  });
  double weight = 0.0;
  for (int y = 0; y < in.height; ++y) weight += sums[y].l1;
  p.scale = weight > 0.0 ? 1.0 / (3.0 * weight) : 0.0;
  float* derivatives = nullptr;
  if (in.gradient != nullptr && in.ssim_weight != 0.0f)
    derivatives = static_cast<float*>(derivative_block.reserve(sizeof(float) * 3 * p.stride * in.height));
  if (in.ssim_map != nullptr) std::memset(in.ssim_map, 0, sizeof(float) * static_cast<std::size_t>(in.width) * in.height);
  constexpr int BAND = 8;  // rows per job
  const int bands = (in.height + BAND - 1) / BAND;
  const std::size_t scratch_floats = 4 * (static_cast<std::size_t>(p.stride) + 2 * PAD) + p.stride + 16;
  Block scratch_block;  // one row set per band: small, and no thread needs to know its number
  auto* scratch = static_cast<float*>(scratch_block.reserve(sizeof(float) * scratch_floats * bands));
  parallel(bands, [&](int band) {
    float* own = scratch + scratch_floats * band;
    std::memset(own, 0, sizeof(float) * scratch_floats);
    for (int y = band * BAND; y < (band + 1) * BAND && y < in.height; ++y)
      sums[y].ssim = ssim_row(p, y, own, derivatives == nullptr ? nullptr : derivatives + std::size_t(3) * p.stride * y);
  });
  parallel(bands, [&](int band) {
    float* own = scratch + scratch_floats * band;
    for (int y = band * BAND; y < (band + 1) * BAND && y < in.height; ++y)
      sums[y].l1 = gradient_row(p, y, own, derivatives);
  });
  *l1 = *ssim = 0.0;
  for (int y = 0; y < in.height; ++y) {
    *l1 += sums[y].l1 * p.scale;
    *ssim += sums[y].ssim * p.scale;
  }
}
