// View-dependent colour from real spherical harmonics (3DGS order and signs), and its gradients.

constexpr int SH_GRAIN = 1024;

struct Basis {  // values and, where asked, derivatives by direction, for F::W directions
  F value[16];
  VEDUTA_INLINE void evaluate(int degree, F x, F y, F z) {
    value[0] = F(0.28209479177387814f);
    if (degree < 1) return;
    const F c1(0.4886025119029199f);
    value[1] = -(c1 * y);
    value[2] = c1 * z;
    value[3] = -(c1 * x);
    if (degree < 2) return;
    const F xx = x * x, yy = y * y, zz = z * z;
    value[4] = F(1.0925484305920792f) * x * y;
    value[5] = F(-1.0925484305920792f) * y * z;
    value[6] = F(0.31539156525252005f) * (F(2.0f) * zz - xx - yy);
    value[7] = F(-1.0925484305920792f) * x * z;
    value[8] = F(0.5462742152960396f) * (xx - yy);
    if (degree < 3) return;
    value[9] = F(-0.5900435899266435f) * y * (F(3.0f) * xx - yy);
    value[10] = F(2.890611442640554f) * x * y * z;
    value[11] = F(-0.4570457994644658f) * y * (F(4.0f) * zz - xx - yy);
    value[12] = F(0.3731763325901154f) * z * (F(2.0f) * zz - F(3.0f) * xx - F(3.0f) * yy);
    value[13] = F(-0.4570457994644658f) * x * (F(4.0f) * zz - xx - yy);
    value[14] = F(1.445305721320277f) * z * (xx - yy);
    value[15] = F(-0.5900435899266435f) * x * (xx - F(3.0f) * yy);
  }
};

// d/d direction of sum_k weight[k] basis[k]
VEDUTA_INLINE void basis_backward(int degree, F x, F y, F z, const F* g, F* dx, F* dy, F* dz) {
  *dx = *dy = *dz = F(0.0f);
  if (degree < 1) return;
  const F c1(0.4886025119029199f);
  *dx = -(c1 * g[3]);
  *dy = -(c1 * g[1]);
  *dz = c1 * g[2];
  if (degree < 2) return;
  const F a(1.0925484305920792f), b(0.31539156525252005f), c(0.5462742152960396f), two(2.0f);
  *dx += a * (y * g[4] - z * g[7]) - two * b * x * g[6] + two * c * x * g[8];
  *dy += a * (x * g[4] - z * g[5]) - two * b * y * g[6] - two * c * y * g[8];
  *dz += F(4.0f) * b * z * g[6] - a * (y * g[5] + x * g[7]);
  if (degree < 3) return;
  const F d(0.5900435899266435f), e(2.890611442640554f), f(0.4570457994644658f), h(0.3731763325901154f),
      i(1.445305721320277f), three(3.0f), six(6.0f);
  const F xx = x * x, yy = y * y, zz = z * z, xy = x * y, xz = x * z, yz = y * z;
  *dx += e * yz * g[10] + two * f * xy * g[11] - six * d * xy * g[9] - six * h * xz * g[12] + two * i * xz * g[14];
  *dx += f * (three * xx + yy - F(4.0f) * zz) * g[13] - three * d * (xx - yy) * g[15];
  *dy += e * xz * g[10] - six * h * yz * g[12] + two * f * xy * g[13] - two * i * yz * g[14] + six * d * xy * g[15];
  *dy += f * (xx + three * yy - F(4.0f) * zz) * g[11] - three * d * (xx - yy) * g[9];
  *dz += e * xy * g[10] - F(8.0f) * f * (yz * g[11] + xz * g[13]) + i * (xx - yy) * g[14];
  *dz += h * (six * zz - three * xx - three * yy) * g[12];
}

struct Direction {
  F x, y, z, inverse_length;
  VEDUTA_INLINE Direction(const float* means, const Camera& camera, int count) {
    const F dx = gather_tail(means, 3, count, camera.position[0] + 1.0f) - F(camera.position[0]);
    const F dy = gather_tail(means + 1, 3, count, camera.position[1]) - F(camera.position[1]);
    const F dz = gather_tail(means + 2, 3, count, camera.position[2]) - F(camera.position[2]);
    inverse_length = F(1.0f) / sqrt(fma(dx, dx, fma(dy, dy, dz * dz)));
    x = dx * inverse_length;
    y = dy * inverse_length;
    z = dz * inverse_length;
  }
};

// Colours. Rows that are not drawn (extent 0) get zeros, their coefficients unread; rows whose colour is not finite
// become such rows.
void sh(int count, int degree, int stored, const float* means, const float* coefficients, float* extents,
        const Camera& camera, float* colors) {
  const int used = (degree + 1) * (degree + 1);
  parallel((count + SH_GRAIN - 1) / SH_GRAIN, [=, &camera](int job) {
    const int end = job * SH_GRAIN + SH_GRAIN < count ? job * SH_GRAIN + SH_GRAIN : count;
    alignas(64) float basis[16][F::W];
    for (int i = job * SH_GRAIN; i < end; i += F::W) {
      const int rows = end - i < F::W ? end - i : F::W;
      const Direction d(means + 3 * i, camera, rows);
      Basis b;
      b.evaluate(degree, d.x, d.y, d.z);
      for (int k = 0; k < used; ++k) store(basis[k], b.value[k]);
      for (int j = 0; j < rows; ++j) {
        float* color = colors + 3 * (i + j);
        if (!(extents[2 * (i + j)] > 0.0f)) {
          color[0] = color[1] = color[2] = 0.0f;
          continue;
        }
        const float* c = coefficients + static_cast<std::int64_t>(3 * stored) * (i + j);
        float red = 0.5f, green = 0.5f, blue = 0.5f;
        for (int k = 0; k < used; ++k) {
          red += basis[k][j] * c[3 * k];
          green += basis[k][j] * c[3 * k + 1];
          blue += basis[k][j] * c[3 * k + 2];
        }
        if (!(std::fabs(red) + std::fabs(green) + std::fabs(blue) < 1e30f)) {
          extents[2 * (i + j)] = extents[2 * (i + j) + 1] = 0.0f;
          red = green = blue = 0.0f;
        }
        color[0] = red > 0.0f ? red : 0.0f;
        color[1] = green > 0.0f ? green : 0.0f;
        color[2] = blue > 0.0f ? blue : 0.0f;
      }
    }
  });
}

// Writes every row of grad_sh and adds to grad_means; colours clamped at 0 pass no gradient.
void sh_backward(int count, int degree, int stored, const float* means, const float* coefficients,
                 const float* extents, const Camera& camera, const float* colors, const float* grad_colors,
                 float* grad_sh, float* grad_means) {
  const int used = (degree + 1) * (degree + 1);
  parallel((count + SH_GRAIN - 1) / SH_GRAIN, [=, &camera](int job) {
    const int end = job * SH_GRAIN + SH_GRAIN < count ? job * SH_GRAIN + SH_GRAIN : count;
    alignas(64) float basis[16][F::W], weight[16][F::W];
    for (int i = job * SH_GRAIN; i < end; i += F::W) {
      const int rows = end - i < F::W ? end - i : F::W;
      const Direction d(means + 3 * i, camera, rows);
      Basis b;
      b.evaluate(degree, d.x, d.y, d.z);
      for (int k = 0; k < used; ++k) store(basis[k], b.value[k]);
      if (degree > 0)
        for (int k = 0; k < used; ++k) store(weight[k], F(0.0f));
      for (int j = 0; j < rows; ++j) {
        const int row = i + j;
        float* g = grad_sh + static_cast<std::int64_t>(3 * stored) * row;
        if (!(extents[2 * row] > 0.0f)) {
          std::memset(g, 0, sizeof(float) * 3 * stored);
          continue;
        }
        float v[3];
        for (int c = 0; c < 3; ++c) v[c] = colors[3 * row + c] > 0.0f ? grad_colors[3 * row + c] : 0.0f;
        for (int k = 0; k < used; ++k)
          for (int c = 0; c < 3; ++c) g[3 * k + c] = basis[k][j] * v[c];
        if (used < stored) std::memset(g + 3 * used, 0, sizeof(float) * 3 * (stored - used));
        if (degree == 0) continue;
        const float* s = coefficients + static_cast<std::int64_t>(3 * stored) * row;
        for (int k = 0; k < used; ++k) weight[k][j] = s[3 * k] * v[0] + s[3 * k + 1] * v[1] + s[3 * k + 2] * v[2];
      }
      if (degree == 0) continue;
      F w[16], gx, gy, gz;
      for (int k = 0; k < used; ++k) w[k] = load(weight[k]);
      basis_backward(degree, d.x, d.y, d.z, w, &gx, &gy, &gz);
      const F along = fma(d.x, gx, fma(d.y, gy, d.z * gz));  // direction = offset / |offset|
      alignas(64) float out[3][F::W];
      store(out[0], (gx - along * d.x) * d.inverse_length);
      store(out[1], (gy - along * d.y) * d.inverse_length);
      store(out[2], (gz - along * d.z) * d.inverse_length);
      for (int j = 0; j < rows; ++j)
        if (extents[2 * (i + j)] > 0.0f)
          for (int c = 0; c < 3; ++c) grad_means[3 * (i + j) + c] += out[c][j];
    }
  });
}
