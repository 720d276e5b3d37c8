// How uncertain each pixel is, for Gaussians with given forms F = L P L^T (39 numbers): the sum over Gaussians of
//   q v v^T + alpha T (v k^T + k v^T) + (alpha T)^2 F_cc,  q = alpha^2 m^T F m,  k_c = alpha sum_k m_k F[k, 6 + c],
// back to front as in moments.inl. With u = alpha v, s = alpha T, Q = m^T F m and K = k / alpha this is
//   u h^T + h u^T + s^2 F_cc,  h = u Q / 2 + s K.

struct TileCovariance {
  Behind behind;
  alignas(64) float sum[6][TILE_PIXELS];
};

// One Gaussian's polynomials in e1 of each of a tile's rows, e2 put in: Q (5 coefficients, halved) and K (3 of each).
struct RowPolynomials {
  static constexpr int COUNT = 14;
  alignas(64) float value[COUNT][TILE];

  VEDUTA_INLINE RowPolynomials(const float* f, const float* root, float first) {
    const float* k = f + MONOMIALS;
    const F half(0.5f);
    for (int i = 0; i < TILE; i += F::W) {
      const F y = F(root[2]) * (iota() + F(first + i));
      const F c0 = fma(fma(fma(fma(F(f[14]), y, F(f[9])), y, F(f[5])), y, F(f[2])), y, F(f[0]));
      const F c1 = fma(fma(fma(F(f[13]), y, F(f[8])), y, F(f[4])), y, F(f[1]));
      const F c2 = fma(fma(F(f[12]), y, F(f[7])), y, F(f[3]));
      const F c3 = fma(F(f[11]), y, F(f[6]));
      store(value[0] + i, half * c0);
      store(value[1] + i, half * c1);
      store(value[2] + i, half * c2);
      store(value[3] + i, half * c3);
      store(value[4] + i, F(0.5f * f[10]));
      for (int c = 0; c < 3; ++c) {
        store(value[5 + 3 * c] + i, fma(fma(F(k[15 + c]), y, F(k[6 + c])), y, F(k[c])));
        store(value[6 + 3 * c] + i, fma(F(k[12 + c]), y, F(k[3 + c])));
        store(value[7 + 3 * c] + i, F(k[9 + c]));
      }
    }
  }
};

inline void covariance_list(TileCovariance& s, const float* records, const float* roots, const std::uint32_t* order,
                            const float* forms, const std::uint32_t* list, int length, float x0, float y0,
                            const float* row_stop) {
  const F cut(LOG2_MIN_ALPHA);
  for (int e = length - 1; e >= 0; --e) {
    const std::size_t i = list[e];
    const float* r = records + RECORD * i;
    const float* f = forms + FORMS * static_cast<std::size_t>(order[i]);
    if (e >= 8) {
      const std::size_t soon = list[e - 8];
      __builtin_prefetch(records + RECORD * soon);
      __builtin_prefetch(roots + 4 * soon);
      const float* next = forms + FORMS * static_cast<std::size_t>(order[soon]);
      __builtin_prefetch(next);
      __builtin_prefetch(next + 16);
      __builtin_prefetch(next + 32);
    }
    const Extent rows = rows_reached(r, y0);
    if (rows.first > rows.last) continue;
    const Columns col(r, x0);
    const RowPolynomials row(f, roots + 4 * i, y0 + 0.5f - r[MY]);
    const F qc(r[QC]), position(static_cast<float>(e)), u00(roots[4 * i]), u01(roots[4 * i + 1]);
    for (int y = rows.first; y <= rows.last; ++y) {
      if (row_stop[y] <= static_cast<float>(e)) continue;
      const F dy(y0 + y + 0.5f - r[MY]);
      for (int h = 0; h < PARTS; ++h) {
        const int at = y * TILE + h * F::W;
        const F power = fma(dy, fma(qc, dy, col.q1[h]), col.q0[h]);
        const M hit = (power >= cut) & (load(s.behind.stop + at) > position);
        if (!any(hit)) continue;
        const Step step(s.behind, r, at, power, hit);
        const F x = fma(u00, col.dx[h], u01 * dy);
        F q = fma(F(row.value[4][y]), x, F(row.value[3][y]));
        for (int k = 2; k >= 0; --k) q = fma(q, x, F(row.value[k][y]));
        F g[3];
        for (int c = 0; c < 3; ++c) {
          const F k = fma(fma(F(row.value[7 + 3 * c][y]), x, F(row.value[6 + 3 * c][y])), x, F(row.value[5 + 3 * c][y]));
          g[c] = fma(step.u[c], q, step.seen * k);
        }
        const F square = step.seen * step.seen;
        for (int c = 0, k = 0; c < 3; ++c)
          for (int d = c; d < 3; ++d, ++k)
            store(s.sum[k] + at, load(s.sum[k] + at) + fma(step.u[c], g[d], fma(g[c], step.u[d], square * F(f[OF_COLOR + k]))));
      }
    }
  }
}

// After composite: out [6][h][w], written everywhere.
void covariance(Frame& frame, const ScreenInputs& in, const float* forms, float* out) {
  Block root_block;
  const float* roots = ordered_roots(frame, in.whitening, root_block);
  parallel(frame.tiles(), [&](int tile) {
    const int tx = tile % frame.tiles_x, ty = tile / frame.tiles_x;
    const int height = frame.height - ty * TILE < TILE ? frame.height - ty * TILE : TILE;
    const int width = frame.width - tx * TILE < TILE ? frame.width - tx * TILE : TILE;
    TileCovariance s;
    for (auto& channel : s.sum)
      for (int i = 0; i < TILE_PIXELS; i += F::W) store(channel + i, F(0.0f));
    float row_stop[TILE];
    const int reached = s.behind.enter(frame, in.behind, tile, width, height, row_stop);
    covariance_list(s, frame.records.as<float>(), roots, frame.order.as<std::uint32_t>(), forms,
                    frame.lists.as<std::uint32_t>() + frame.tile_begin.as<std::uint32_t>()[tile], reached,
                    tx * float(TILE), ty * float(TILE), row_stop);
    const std::size_t pixels = static_cast<std::size_t>(frame.width) * frame.height;
    for (int k = 0; k < 6; ++k)
      for (int y = 0; y < height; ++y)
        std::memcpy(out + k * pixels + static_cast<std::size_t>(ty * TILE + y) * frame.width + tx * TILE,
                    s.sum[k] + y * TILE, sizeof(float) * width);
  });
}
