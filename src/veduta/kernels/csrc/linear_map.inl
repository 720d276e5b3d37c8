// How what a Gaussian does on the screen depends on its 13 parameters, to first order. With Q = U^T U the conic, U upper
// triangular, d = pixel - centre, e = U d and m = (1, e1, e2, e1^2, e1 e2, e2^2):
//   d log alpha = m . (L theta)[0..5],  d colour = (L theta)[6..8],
// theta = mean (3), log-scale (3), rotation in the Gaussian's own axes (3), logit (1), constant colour coefficients (3).

constexpr int PARAMETERS = 13;
constexpr int PACKED = 91;          // of a symmetric 13x13 block: its upper triangle, row by row
constexpr int LINES = 9;            // rows of L
constexpr int MONOMIALS = 15;       // e1^i e2^j, i + j <= 4, by i + j and then falling i
constexpr int LOWER = 6;            // those of m
constexpr int FISHER = 34, SCORE = 39, CLUSTERED = 9;
constexpr int OF_COLOR = MONOMIALS + 3 * LOWER;  // where the numbers of colour alone begin

constexpr int EXPONENT1[LOWER] = {0, 1, 0, 2, 1, 0}, EXPONENT2[LOWER] = {0, 0, 1, 0, 1, 2};

VEDUTA_INLINE constexpr int product(int k, int l) {  // which monomial is the product of two of m
  const int j = EXPONENT2[k] + EXPONENT2[l], degree = EXPONENT1[k] + EXPONENT1[l] + j;
  return degree * (degree + 1) / 2 + j;
}
VEDUTA_INLINE constexpr int packed(int i, int j, int size) {  // place of (i, j) in a packed upper triangle
  return i <= j ? i * size - i * (i - 1) / 2 + j - i : j * size - j * (j - 1) / 2 + i - j;
}

struct Whitening {  // U, and what it is made of
  F u00, u01, u11, inverse;  // inverse = 1 / sqrt(c det)
  VEDUTA_INLINE explicit Whitening(const Geometry& g) {
    const F side = sqrt(g.c), area = sqrt(g.determinant);
    u11 = F(1.0f) / side;
    u00 = side / area;
    inverse = u11 / area;
    u01 = -(g.b * inverse);
  }
};

struct Rows {  // F::W consecutive rows of arrays, fewer at the end
  int begin, count;
  VEDUTA_INLINE F operator()(const float* base, int stride, int offset, float fill = 0.0f) const {
    const float* p = base + static_cast<std::int64_t>(stride) * begin + offset;
    return count == F::W ? gather(p, stride) : gather_tail(p, stride, count, fill);
  }
  // The first `size` columns of a wide array as vectors, and back. Whole blocks are transposed in registers; the last
  // one may overlap the one before.
  VEDUTA_INLINE void take(const float* base, int stride, int size, F* out) const {
    if (count < F::W || size < F::W) {
      for (int k = 0; k < size; ++k) out[k] = (*this)(base, stride, k);
      return;
    }
    const float* rows = base + static_cast<std::int64_t>(stride) * begin;
    for (int k = 0; k < size; k += F::W) {
      const int column = k + F::W <= size ? k : size - F::W;
      F block[F::W];
      for (int i = 0; i < F::W; ++i) block[i] = load(rows + static_cast<std::int64_t>(stride) * i + column);
      transpose(block);
      for (int i = 0; i < F::W; ++i) out[column + i] = block[i];
    }
  }
  VEDUTA_INLINE void give(float* base, int size, const F* in) const {
    if (count < F::W || size < F::W) {
      for (int k = 0; k < size; ++k) put(base, size, k, in[k]);
      return;
    }
    float* rows = base + static_cast<std::int64_t>(size) * begin;
    for (int k = 0; k < size; k += F::W) {
      const int column = k + F::W <= size ? k : size - F::W;
      F block[F::W];
      for (int i = 0; i < F::W; ++i) block[i] = in[column + i];
      transpose(block);
      for (int i = 0; i < F::W; ++i) store(rows + static_cast<std::int64_t>(size) * i + column, block[i]);
    }
  }
  // Asks for the rows that come next: strided reads are none that a processor foresees.
  VEDUTA_INLINE void ahead(const float* base, int stride, int rows) const {
    const char* p = reinterpret_cast<const char*>(base + static_cast<std::int64_t>(stride) * (begin + F::W));
    const int there = rows - begin - F::W < F::W ? rows - begin - F::W : F::W;
    for (int byte = 0; byte < 4 * stride * there; byte += 64) __builtin_prefetch(p + byte);
  }
  VEDUTA_INLINE void put(float* base, int stride, int offset, F value) const {
    scatter(base + static_cast<std::int64_t>(stride) * begin + offset, stride, count, value);
  }
};

template <class Body>
inline void by_rows(int total, const Body& body) {  // all rows, F::W at a time
  parallel((total + PROJECT_GRAIN - 1) / PROJECT_GRAIN, [&](int job) {
    const int end = job * PROJECT_GRAIN + PROJECT_GRAIN < total ? job * PROJECT_GRAIN + PROJECT_GRAIN : total;
    for (int i = job * PROJECT_GRAIN; i < end; i += F::W) body(Rows{i, end - i < F::W ? end - i : F::W});
  });
}

VEDUTA_INLINE Geometry geometry_of(const GaussianInputs& in, const Pose& pose, const Rotation& r, F low_pass, Rows at) {
  return Geometry(pose, at(in.means, 3, 0), at(in.means, 3, 1), at(in.means, 3, 2), r, at(in.scales, 3, 0, 1),
                  at(in.scales, 3, 1, 1), at(in.scales, 3, 2, 1), low_pass);
}

VEDUTA_INLINE Rotation rotation_of(const GaussianInputs& in, Rows at) {
  return Rotation(at(in.quats, 4, 0, 1), at(in.quats, 4, 1), at(in.quats, 4, 2), at(in.quats, 4, 3));
}

// U of every row, [n][4] with a last value of 0.
void whiten(const GaussianInputs& in, const Camera& camera, const ProjectOptions& options, float* out) {
  const Pose pose(camera);
  by_rows(in.count, [&](Rows at) {
    const Rotation r = rotation_of(in, at);
    const Whitening u(geometry_of(in, pose, r, F(options.low_pass), at));
    at.put(out, 4, 0, u.u00);
    at.put(out, 4, 1, u.u01);
    at.put(out, 4, 2, u.u11);
    at.put(out, 4, 3, F(0.0f));
  });
}

struct ScreenMap {  // L of F::W Gaussians; zeros where they are not drawn
  F v[LINES][PARAMETERS];
  M shown;
  bool antialias;

  // Columns of a row, and rows of a column, that can differ from 0; column 10 + c of row 6 + c comes on top.
  VEDUTA_INLINE int first(int row) const { return row == 0 && !antialias ? 9 : 0; }
  static VEDUTA_INLINE int end(int row) { return row == 0 ? 10 : row < 3 || row >= 6 ? 3 : 9; }

  VEDUTA_INLINE ScreenMap(const LinearInputs& in, const Camera& camera, const Pose& pose, const ProjectOptions& options,
                          Rows at)
      : shown(at(in.extents, 2, 0) > F(0.0f)), antialias(options.antialias) {
    for (auto& row : v)
      for (F& entry : row) entry = F(0.0f);
    const Rotation r = rotation_of(in.gaussians, at);
    const Geometry g = geometry_of(in.gaussians, pose, r, F(options.low_pass), at);
    const Whitening u(g);
    place(g, u, pose);
    shape(g, u, r, pose, F(options.low_pass));
    if (antialias) fade(g, r, pose);
    v[0][9] = F(1.0f) - at(in.gaussians.opacities, 1, 0);
    tint(in, camera, at);
    for (auto& row : v)
      for (F& entry : row) entry = keep(shown & is_finite(entry), entry);
  }

  VEDUTA_INLINE void mean(int row, const Pose& pose, F x, F y, F z) {  // from camera axes
    for (int k = 0; k < 3; ++k) v[row][k] = fma(pose.w[k], x, fma(pose.w[3 + k], y, pose.w[6 + k] * z));
  }

  VEDUTA_INLINE void place(const Geometry& g, const Whitening& u, const Pose& pose) {
    const F rx = g.x * g.inverse_z, ry = g.y * g.inverse_z;
    const F a = u.u00 * g.j00, b = u.u01 * g.j11, c = u.u11 * g.j11;
    mean(1, pose, a, b, -fma(a, rx, b * ry));
    mean(2, pose, F(0.0f), c, -(c * ry));
  }

  // Rows 3..5 are M00 / 2, M01, M11 / 2 of M = U dS U^T. With t the columns of T R and h = U t, the columns of U P are
  // g = s h; in the form below neither cancels for needles.
  VEDUTA_INLINE void shape(const Geometry& g, const Whitening& u, const Rotation& r, const Pose& pose, F low_pass) {
    F tx[3], ty[3], z[3], normal[3], h0[3], h1[3], g0[3], g1[3];
    for (int k = 0; k < 3; ++k) {
      tx[k] = fma(g.tm[0], r.m[k], fma(g.tm[1], r.m[3 + k], g.tm[2] * r.m[6 + k]));
      ty[k] = fma(g.tm[3], r.m[k], fma(g.tm[4], r.m[3 + k], g.tm[5] * r.m[6 + k]));
      z[k] = g.s[k] * fma(pose.w[6], r.m[k], fma(pose.w[7], r.m[3 + k], pose.w[8] * r.m[6 + k]));
    }
    for (int k = 0; k < 3; ++k) {
      const int j = (k + 1) % 3, l = (k + 2) % 3;
      normal[k] = fnma(tx[l], ty[j], tx[j] * ty[l]);
    }
    for (int k = 0; k < 3; ++k) {
      const int j = (k + 1) % 3, l = (k + 2) % 3;
      const F turned = fnma(g.p[3 + l] * g.s[l], normal[j], g.p[3 + j] * g.s[j] * normal[l]);
      h0[k] = fma(low_pass, tx[k], turned) * u.inverse;
      h1[k] = ty[k] * u.u11;
      g0[k] = g.s[k] * h0[k];
      g1[k] = g.s[k] * h1[k];
    }
    for (int k = 0; k < 3; ++k) {
      const int j = (k + 1) % 3, l = (k + 2) % 3;
      v[3][3 + k] = g0[k] * g0[k];
      v[4][3 + k] = F(2.0f) * g0[k] * g1[k];
      v[5][3 + k] = g1[k] * g1[k];
      const F gap = (g.s[j] - g.s[l]) * (g.s[j] + g.s[l]);
      v[3][6 + k] = gap * h0[j] * h0[l];
      v[4][6 + k] = gap * fma(h0[j], h1[l], h0[l] * h1[j]);
      v[5][6 + k] = gap * h1[j] * h1[l];
    }
    // by the centre: x and y move the third column of J (where its ratio is not clamped), z scales all of J as well
    const F zg0 = fma(z[0], g0[0], fma(z[1], g0[1], z[2] * g0[2]));
    const F zg1 = fma(z[0], g1[0], fma(z[1], g1[1], z[2] * g1[2]));
    const F kx = keep(g.inside_x, -(g.j00 * g.inverse_z)), ky = keep(g.inside_y, -(g.j11 * g.inverse_z));
    const F x0 = u.u00 * kx * zg0, x1 = u.u00 * kx * zg1;
    const F y0 = u.u01 * ky * zg0, y1 = ky * fma(u.u01, zg1, u.u11 * zg0), y2 = u.u11 * ky * zg1;
    const F rx = g.x * g.inverse_z, ry = g.y * g.inverse_z;
    const F s00 = fma(g0[0], g0[0], fma(g0[1], g0[1], g0[2] * g0[2]));
    const F s01 = fma(g0[0], g1[0], fma(g0[1], g1[1], g0[2] * g1[2]));
    const F s11 = fma(g1[0], g1[0], fma(g1[1], g1[1], g1[2] * g1[2]));
    mean(3, pose, x0, y0, -fma(g.inverse_z, s00, fma(rx, x0, ry * y0)));
    mean(4, pose, x1, y1, -fma(F(2.0f) * g.inverse_z, s01, fma(rx, x1, ry * y1)));
    mean(5, pose, F(0.0f), y2, -fma(g.inverse_z, s11, ry * y2));
  }

  // Row 0 by the antialiasing factor: d log sqrt(det0 / det) = (d log det0 - tr M) / 2, where det0 is the sum over k of
  // the squared k-th entry of R^T (T0 x T1), times the other two scales squared.
  VEDUTA_INLINE void fade(const Geometry& g, const Rotation& r, const Pose& pose) {
    const F zero(0.0f);
    F own[9];  // W R
    for (int i = 0; i < 3; ++i)
      for (int k = 0; k < 3; ++k)
        own[3 * i + k] = fma(pose.w[3 * i], r.m[k], fma(pose.w[3 * i + 1], r.m[3 + k], pose.w[3 * i + 2] * r.m[6 + k]));
    const F area = g.j00 * g.j11, across = -(g.j02 * g.j11), down = -(g.j00 * g.j12);
    F normal[3], share[3];
    for (int k = 0; k < 3; ++k) normal[k] = fma(across, own[k], fma(down, own[3 + k], area * own[6 + k]));
    for (int k = 0; k < 3; ++k) {
      const F side = g.s[(k + 1) % 3] * g.s[(k + 2) % 3];
      share[k] = side * side * normal[k];
    }
    const F det0 = fma(share[0], normal[0], fma(share[1], normal[1], share[2] * normal[2]));
    const M thin = det0 <= F(1e-36f);
    const F inverse = keep(~thin, F(1.0f) / select(thin, F(1.0f), det0));
    for (int k = 0; k < 3; ++k) {
      const int j = (k + 1) % 3, l = (k + 2) % 3;
      v[0][3 + k] = fma(share[j], normal[j], share[l] * normal[l]) * inverse;
      v[0][6 + k] = normal[j] * normal[l] * g.s[k] * g.s[k] * ((g.s[l] - g.s[j]) * (g.s[l] + g.s[j])) * inverse;
    }
    const F step = area * g.inverse_z * inverse;
    const F x = keep(g.inside_x, step * fma(share[0], own[0], fma(share[1], own[1], share[2] * own[2])));
    const F y = keep(g.inside_y, step * fma(share[0], own[3], fma(share[1], own[4], share[2] * own[5])));
    const F rx = g.x * g.inverse_z, ry = g.y * g.inverse_z;
    mean(0, pose, x, y, keep(~thin, -fma(F(2.0f), g.inverse_z, fma(rx, x, ry * y))));
    for (int j = 0; j < 9; ++j) v[0][j] = select(thin, zero, v[0][j] - v[3][j] - v[5][j]);
  }

  // Rows 6..8: the constant coefficient, and the direction by which the centre is seen; nothing where clamped at 0.
  VEDUTA_INLINE void tint(const LinearInputs& in, const Camera& camera, Rows at) {
    const int used = (in.degree + 1) * (in.degree + 1);
    const Direction d(in.gaussians.means + 3 * static_cast<std::int64_t>(at.begin), camera, at.count);
    F coefficients[48];
    if (in.degree > 0) at.take(in.sh, 3 * in.stored, 3 * used, coefficients);
    for (int c = 0; c < 3; ++c) {
      const M lit = at(in.colors, 3, c) > F(0.0f);
      v[6 + c][10 + c] = keep(lit, F(0.28209479177387814f));
      if (in.degree == 0) continue;
      F weight[16], gx, gy, gz;
      for (int k = 0; k < used; ++k) weight[k] = coefficients[3 * k + c];
      basis_backward(in.degree, d.x, d.y, d.z, weight, &gx, &gy, &gz);
      const F along = fma(d.x, gx, fma(d.y, gy, d.z * gz));
      v[6 + c][0] = keep(lit, fnma(along, d.x, gx) * d.inverse_length);
      v[6 + c][1] = keep(lit, fnma(along, d.y, gy) * d.inverse_length);
      v[6 + c][2] = keep(lit, fnma(along, d.z, gz) * d.inverse_length);
    }
  }
};

struct Second {  // the 9x9 matrix behind the moments of F::W Gaussians
  F v[LINES][LINES];
  VEDUTA_INLINE Second(const float* moments, int size, Rows at) {
    F m[SCORE];
    at.take(moments, size, size, m);
    for (int k = 0; k < LOWER; ++k)
      for (int l = 0; l < LOWER; ++l) v[k][l] = m[product(k, l)];
    for (int k = 0; k < LOWER; ++k)
      for (int c = 0; c < 3; ++c) v[k][6 + c] = v[6 + c][k] = m[MONOMIALS + 3 * k + c];
    for (int c = 0; c < 3; ++c)
      for (int d = 0; d < 3; ++d) {
        if (size == FISHER)
          v[6 + c][6 + d] = c == d ? m[OF_COLOR] : F(0.0f);
        else
          v[6 + c][6 + d] = m[OF_COLOR + packed(c, d, 3)];
      }
  }
};

VEDUTA_INLINE void pull_block(const ScreenMap& map, const float* moments, int size, float* out, Rows at) {
  const Second s(moments, size, at);
  F a[LINES][PARAMETERS];  // S L
  for (int r = 0; r < LINES; ++r) {
    for (int j = 0; j < 3; ++j) {
      a[r][j] = s.v[r][0] * map.v[0][j];
      for (int q = 1; q < LINES; ++q) a[r][j] = fma(s.v[r][q], map.v[q][j], a[r][j]);
    }
    for (int j = 3; j < 9; ++j) {
      a[r][j] = s.v[r][0] * map.v[0][j];
      for (int q = 3; q < 6; ++q) a[r][j] = fma(s.v[r][q], map.v[q][j], a[r][j]);
    }
    a[r][9] = s.v[r][0] * map.v[0][9];
    for (int c = 0; c < 3; ++c) a[r][10 + c] = s.v[r][6 + c] * map.v[6 + c][10 + c];
  }
  F block[PACKED];
  for (int j = 0; j < PARAMETERS; ++j)
    for (int i = 0; i <= j; ++i) {
      F h;
      if (j >= 10) {
        h = map.v[j - 4][j] * a[j - 4][i];
      } else {
        h = map.v[0][j] * a[0][i];
        const int from = j < 3 ? 1 : j < 9 ? 3 : 0, to = j < 3 ? LINES : j < 9 ? 6 : 0;
        for (int q = from; q < to; ++q) h = fma(map.v[q][j], a[q][i], h);
      }
      block[packed(i, j, PARAMETERS)] = keep(map.shown, h);
    }
  at.give(out, PACKED, block);
}

VEDUTA_INLINE void pull_gradient(const ScreenMap& map, const float* moments, float* out, Rows at) {
  F s[LINES], y[PARAMETERS], block[PACKED];  // L^T s, of which the block is the outer product
  for (int r = 0; r < LINES; ++r) s[r] = at(moments, CLUSTERED, r);
  for (int j = 0; j < PARAMETERS; ++j) {
    y[j] = s[0] * map.v[0][j];
    for (int r = 1; r < LINES; ++r) y[j] = fma(s[r], map.v[r][j], y[j]);
  }
  for (int i = 0; i < PARAMETERS; ++i)
    for (int j = i; j < PARAMETERS; ++j) block[packed(i, j, PARAMETERS)] = keep(map.shown, y[i] * y[j]);
  at.give(out, PACKED, block);
}

VEDUTA_INLINE void look_ahead(const LinearInputs& in, const float* given, int size, const float* out, int width, Rows at) {
  if (in.degree > 0) at.ahead(in.sh, 3 * in.stored, in.gaussians.count);
  at.ahead(given, size, in.gaussians.count);
  at.ahead(out, width, in.gaussians.count);
}

// moments [n][size] -> out [n][91]; rows that are not drawn become zeros.
void pull(const LinearInputs& in, const Camera& camera, const ProjectOptions& options, const float* moments, int size,
          float* out) {
  const Pose pose(camera);
  by_rows(in.gaussians.count, [&](Rows at) {
    look_ahead(in, moments, size, out, PACKED, at);
    const ScreenMap map(in, camera, pose, options, at);
    if (size == CLUSTERED)
      pull_gradient(map, moments, out, at);
    else
      pull_block(map, moments, size, out, at);
  });
}

VEDUTA_INLINE void push_block(const ScreenMap& map, const float* blocks, float* out, Rows at) {
  F p[PACKED], a[LINES][PARAMETERS], f[LINES][LINES];  // P, L P, L P L^T
  at.take(blocks, PACKED, PACKED, p);
  for (int r = 0; r < LINES; ++r)
    for (int j = 0; j < PARAMETERS; ++j) {
      F sum = r < 6 ? F(0.0f) : map.v[r][4 + r] * p[packed(4 + r, j, PARAMETERS)];
      for (int i = map.first(r); i < ScreenMap::end(r); ++i) sum = fma(map.v[r][i], p[packed(i, j, PARAMETERS)], sum);
      a[r][j] = sum;
    }
  for (int r = 0; r < LINES; ++r)
    for (int q = r; q < LINES; ++q) {
      F sum = q < 6 ? F(0.0f) : a[r][4 + q] * map.v[q][4 + q];
      for (int j = map.first(q); j < ScreenMap::end(q); ++j) sum = fma(a[r][j], map.v[q][j], sum);
      f[r][q] = sum;
    }
  F form[FORMS];
  for (int k = 0; k < MONOMIALS; ++k) form[k] = F(0.0f);
  for (int k = 0; k < LOWER; ++k)
    for (int l = k; l < LOWER; ++l) form[product(k, l)] += k == l ? f[k][l] : f[k][l] + f[k][l];
  for (int k = 0; k < LOWER; ++k)
    for (int c = 0; c < 3; ++c) form[MONOMIALS + 3 * k + c] = f[k][6 + c];
  for (int c = 0; c < 3; ++c)
    for (int d = c; d < 3; ++d) form[OF_COLOR + packed(c, d, 3)] = f[6 + c][6 + d];
  for (F& value : form) value = keep(map.shown, value);
  at.give(out, FORMS, form);
}

// blocks [n][91] -> out [n][39]; rows that are not drawn become zeros.
void push(const LinearInputs& in, const Camera& camera, const ProjectOptions& options, const float* blocks, float* out) {
  const Pose pose(camera);
  by_rows(in.gaussians.count, [&](Rows at) {
    look_ahead(in, blocks, PACKED, out, FORMS, at);
    push_block(ScreenMap(in, camera, pose, options, at), blocks, out, at);
  });
}
