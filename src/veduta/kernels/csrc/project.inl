// Perspective projection of Gaussians (EWA: Zwicker 2001, as in Kerbl 2023) and its vector-Jacobian product.
// S = P P^T + low_pass I with P = J W R diag(s); everything below follows from that one line.

constexpr int PROJECT_GRAIN = 2048;  // Gaussians per job

struct Pose {  // a camera, broadcast
  F w[9], t[3];
  F fx, fy, cx, cy, limit_x0, limit_x1, limit_y0, limit_y1, width, height;
  explicit Pose(const Camera& c)
      : fx(c.fx), fy(c.fy), cx(c.cx), cy(c.cy), width(float(c.width)), height(float(c.height)) {
    for (int i = 0; i < 9; ++i) w[i] = F(c.rotation[i]);
    for (int i = 0; i < 3; ++i) t[i] = F(c.translation[i]);
    const float slack_x = 0.3f * 0.5f * c.width / c.fx, slack_y = 0.3f * 0.5f * c.height / c.fy;
    limit_x0 = F(-c.cx / c.fx - slack_x);
    limit_x1 = F((c.width - c.cx) / c.fx + slack_x);
    limit_y0 = F(-c.cy / c.fy - slack_y);
    limit_y1 = F((c.height - c.cy) / c.fy + slack_y);
  }
};

struct Rotation {  // of a quaternion of any length; the zero quaternion is the identity
  F w, x, y, z, inverse_length;
  F m[9];
  M zero;
  VEDUTA_INLINE Rotation(F qw, F qx, F qy, F qz) {
    const F square = fma(qw, qw, fma(qx, qx, fma(qy, qy, qz * qz)));
    zero = square <= F(1e-30f);
    inverse_length = keep(~zero, F(1.0f) / sqrt(select(zero, F(1.0f), square)));
    w = select(zero, F(1.0f), qw * inverse_length);
    x = qx * inverse_length;
    y = qy * inverse_length;
    z = qz * inverse_length;
    const F two(2.0f), one(1.0f);
    m[0] = fnma(two, fma(y, y, z * z), one);
    m[1] = two * fnma(w, z, x * y);
    m[2] = two * fma(w, y, x * z);
    m[3] = two * fma(w, z, x * y);
    m[4] = fnma(two, fma(x, x, z * z), one);
    m[5] = two * fnma(w, x, y * z);
    m[6] = two * fnma(w, y, x * z);
    m[7] = two * fma(w, x, y * z);
    m[8] = fnma(two, fma(x, x, y * y), one);
  }
  // d loss / d quaternion (as given) from d loss / d matrix
  VEDUTA_INLINE void backward(const F* v, F* out) const {
    const F two(2.0f);
    const F gw = two * (x * (v[7] - v[5]) + y * (v[2] - v[6]) + z * (v[3] - v[1]));
    const F gx = two * (y * (v[1] + v[3]) + z * (v[2] + v[6]) + w * (v[7] - v[5]) - two * x * (v[4] + v[8]));
    const F gy = two * (x * (v[1] + v[3]) + z * (v[7] + v[5]) + w * (v[2] - v[6]) - two * y * (v[0] + v[8]));
    const F gz = two * (x * (v[2] + v[6]) + y * (v[7] + v[5]) + w * (v[3] - v[1]) - two * z * (v[0] + v[4]));
    const F along = fma(w, gw, fma(x, gx, fma(y, gy, z * gz)));
    out[0] = fnma(w, along, gw) * inverse_length;
    out[1] = fnma(x, along, gx) * inverse_length;
    out[2] = fnma(y, along, gy) * inverse_length;
    out[3] = fnma(z, along, gz) * inverse_length;
  }
};

struct Geometry {  // everything the forward and the backward pass share, for F::W Gaussians
  F x, y, z, inverse_z, ratio_x, ratio_y, j00, j11, j02, j12;
  M inside_x, inside_y;
  F s[3];
  F tm[6];  // T = J W, 2 x 3
  F p[6];   // P = T R diag(s), 2 x 3
  F a0, b0, c0, a, b, c, determinant;

  VEDUTA_INLINE Geometry(const Pose& pose, F mx, F my, F mz, const Rotation& r, F s0, F s1, F s2, F low_pass) {
    const F* w = pose.w;
    x = fma(w[0], mx, fma(w[1], my, fma(w[2], mz, pose.t[0])));
    y = fma(w[3], mx, fma(w[4], my, fma(w[5], mz, pose.t[1])));
    z = fma(w[6], mx, fma(w[7], my, fma(w[8], mz, pose.t[2])));
    inverse_z = F(1.0f) / z;
    const F rx = x * inverse_z, ry = y * inverse_z;
    ratio_x = min(max(rx, pose.limit_x0), pose.limit_x1);
    ratio_y = min(max(ry, pose.limit_y0), pose.limit_y1);
    inside_x = (rx >= pose.limit_x0) & (rx <= pose.limit_x1);
    inside_y = (ry >= pose.limit_y0) & (ry <= pose.limit_y1);
    j00 = pose.fx * inverse_z;
    j11 = pose.fy * inverse_z;
    j02 = -(j00 * ratio_x);
    j12 = -(j11 * ratio_y);
    s[0] = s0;
    s[1] = s1;
    s[2] = s2;
    for (int k = 0; k < 3; ++k) {
      tm[k] = fma(j00, w[k], j02 * w[6 + k]);
      tm[3 + k] = fma(j11, w[3 + k], j12 * w[6 + k]);
    }
    for (int k = 0; k < 3; ++k) {
      p[k] = s[k] * fma(tm[0], r.m[k], fma(tm[1], r.m[3 + k], tm[2] * r.m[6 + k]));
      p[3 + k] = s[k] * fma(tm[3], r.m[k], fma(tm[4], r.m[3 + k], tm[5] * r.m[6 + k]));
    }
    a0 = fma(p[0], p[0], fma(p[1], p[1], p[2] * p[2]));
    b0 = fma(p[0], p[3], fma(p[1], p[4], p[2] * p[5]));
    c0 = fma(p[3], p[3], fma(p[4], p[4], p[5] * p[5]));
    a = a0 + low_pass;
    b = b0;
    c = c0 + low_pass;
    determinant = low_pass_determinant(low_pass);
  }
  // det P P^T is the sum of the squared 2x2 minors of P (Cauchy-Binet): no cancellation, unlike a0 c0 - b0^2.
  VEDUTA_INLINE F minors() const {
    const F m0 = fnma(p[1], p[3], p[0] * p[4]);
    const F m1 = fnma(p[2], p[3], p[0] * p[5]);
    const F m2 = fnma(p[2], p[4], p[1] * p[5]);
    return fma(m0, m0, fma(m1, m1, m2 * m2));
  }
  VEDUTA_INLINE F low_pass_determinant(F low_pass) const { return fma(low_pass, a0 + c0 + low_pass, minors()); }
};

VEDUTA_INLINE M is_finite(F a) { return abs(a) < F(3e38f); }

VEDUTA_INLINE void project_block(const GaussianInputs& in, const Pose& pose, const ProjectOptions& options,
                                 const Projected& out, int begin, int count) {
  const float* m = in.means + 3 * begin;
  const float* q = in.quats + 4 * begin;
  const float* s = in.scales + 3 * begin;
  auto at = [count](const float* base, int stride, int offset, float fill) {
    return count == F::W ? gather(base + offset, stride) : gather_tail(base + offset, stride, count, fill);
  };
  const Rotation r(at(q, 4, 0, 1), at(q, 4, 1, 0), at(q, 4, 2, 0), at(q, 4, 3, 0));
  const F low_pass(options.low_pass);
  const Geometry g(pose, at(m, 3, 0, 0), at(m, 3, 1, 0), at(m, 3, 2, 0), r, at(s, 3, 0, 1), at(s, 3, 1, 1),
                   at(s, 3, 2, 1), low_pass);
  F opacity = at(in.opacities + begin, 1, 0, 0);
  if (options.antialias) opacity = opacity * sqrt(max(g.minors() / g.determinant, F(0.0f)));
  const F u = fma(pose.fx, g.x * g.inverse_z, pose.cx), v = fma(pose.fy, g.y * g.inverse_z, pose.cy);
  const F inverse = F(1.0f) / g.determinant;
  // t = 2 ln(255 opacity): the ellipse alpha = 1/255 has half-axes sqrt(t S)
  alignas(64) float t[F::W];
  store(t, opacity);
  for (int i = 0; i < F::W; ++i) t[i] = t[i] >= MIN_ALPHA ? 2.0f * std::log(t[i] * 255.0f) : -1.0f;
  const F reach = load(t);
  const F ex = sqrt(max(reach * g.a, F(0.0f))), ey = sqrt(max(reach * g.c, F(0.0f)));
  const F zero(0.0f);
  M shown = (g.z >= F(options.near_z)) & (g.z <= F(options.far_z)) & (reach >= zero) & (g.determinant > zero);
  shown = shown & is_finite(g.determinant) & is_finite(u) & is_finite(v) & is_finite(ex) & is_finite(ey);
  shown = shown & (u + ex > zero) & (u - ex < pose.width) & (v + ey > zero) & (v - ey < pose.height);
  shown = shown & is_finite(inverse) & is_finite(g.a * inverse) & is_finite(g.c * inverse);
  scatter(out.means_px + 2 * begin, 2, count, keep(shown, u));
  scatter(out.means_px + 2 * begin + 1, 2, count, keep(shown, v));
  scatter(out.conics + 3 * begin, 3, count, keep(shown, g.c * inverse));
  scatter(out.conics + 3 * begin + 1, 3, count, keep(shown, -(g.b * inverse)));
  scatter(out.conics + 3 * begin + 2, 3, count, keep(shown, g.a * inverse));
  scatter(out.depths + begin, 1, count, keep(shown, g.z));
  // an opacity of exactly 1/255 reaches nothing but its centre: keep it visible with a positive extent
  scatter(out.extents + 2 * begin, 2, count, keep(shown, max(ex, F(1e-6f))));
  scatter(out.extents + 2 * begin + 1, 2, count, keep(shown, max(ey, F(1e-6f))));
  if (options.antialias) scatter(out.opacities + begin, 1, count, keep(shown, opacity));
}

void project(const GaussianInputs& in, const Camera& camera, const ProjectOptions& options, const Projected& out) {
  const Pose pose(camera);
  parallel((in.count + PROJECT_GRAIN - 1) / PROJECT_GRAIN, [&](int job) {
    const int end = job * PROJECT_GRAIN + PROJECT_GRAIN < in.count ? job * PROJECT_GRAIN + PROJECT_GRAIN : in.count;
    for (int i = job * PROJECT_GRAIN; i < end; i += F::W)
      project_block(in, pose, options, out, i, end - i < F::W ? end - i : F::W);
  });
}

// d loss / d (P, T) of the covariance, from the conic's gradient: dS = -Q G Q.
struct CovarianceGradient {
  F a, b, c;  // symmetric [[a, b], [b, c]]
};

VEDUTA_INLINE CovarianceGradient conic_backward(const Geometry& g, F va, F vb, F vc) {
  const F inverse = F(1.0f) / g.determinant;
  const F qa = g.c * inverse, qb = -(g.b * inverse), qc = g.a * inverse;
  const F half = F(0.5f) * vb;
  const F m00 = fma(qa, va, qb * half), m01 = fma(qa, half, qb * vc);  // Q G
  const F m10 = fma(qb, va, qc * half), m11 = fma(qb, half, qc * vc);
  return {-fma(m00, qa, m01 * qb), -fma(m00, qb, m01 * qc), -fma(m10, qb, m11 * qc)};
}

VEDUTA_INLINE void project_backward_block(const GaussianInputs& in, const Pose& pose, const ProjectOptions& options,
                                          const float* extents, const ProjectedGradients& v,
                                          const GaussianGradients& out, int begin, int count) {
  auto at = [begin, count](const float* base, int stride, int offset, float fill) {
    const float* p = base + static_cast<std::int64_t>(stride) * begin + offset;
    return count == F::W ? gather(p, stride) : gather_tail(p, stride, count, fill);
  };
  const F zero(0.0f);
  const M shown = at(extents, 2, 0, 0) > zero;
  auto given = [&](const float* base, int stride, int offset) {
    return base == nullptr ? zero : keep(shown, at(base, stride, offset, 0));
  };
  const Rotation r(at(in.quats, 4, 0, 1), at(in.quats, 4, 1, 0), at(in.quats, 4, 2, 0), at(in.quats, 4, 3, 0));
  const Geometry g(pose, at(in.means, 3, 0, 0), at(in.means, 3, 1, 0), at(in.means, 3, 2, 0), r, at(in.scales, 3, 0, 1),
                   at(in.scales, 3, 1, 1), at(in.scales, 3, 2, 1), F(options.low_pass));
  CovarianceGradient d =
      conic_backward(g, given(v.conics, 3, 0), given(v.conics, 3, 1), given(v.conics, 3, 2));
  if (options.antialias) {  // opacity' = opacity sqrt(det0 / det), both determinants of S
    const F opacity = at(in.opacities, 1, 0, 0), gain = given(v.opacities, 1, 0);
    const F det0 = g.minors();
    const M thin = det0 <= F(1e-20f);
    const F factor = sqrt(max(det0 / g.determinant, zero));
    const F own = keep(~thin, F(0.5f) * gain * opacity * factor / select(thin, F(1.0f), det0));
    const F filtered = keep(~thin, F(0.5f) * gain * opacity * factor / g.determinant);
    d.a = d.a + own * g.c0 - filtered * g.c;
    d.b = d.b - own * g.b0 + filtered * g.b;
    d.c = d.c + own * g.a0 - filtered * g.a;
    scatter(out.opacities + begin, 1, count, keep(shown, gain * factor));
  }
  F vp[6];  // d loss / d P = 2 (dS) P
  for (int k = 0; k < 3; ++k) {
    vp[k] = F(2.0f) * fma(d.a, g.p[k], d.b * g.p[3 + k]);
    vp[3 + k] = F(2.0f) * fma(d.b, g.p[k], d.c * g.p[3 + k]);
  }
  F vt[6] = {zero, zero, zero, zero, zero, zero};  // d loss / d T = (d/dP) (R diag s)^T
  F vr[9];
  for (int k = 0; k < 3; ++k) {
    F vs = zero;
    for (int i = 0; i < 3; ++i) {
      const F vm = fma(g.tm[i], vp[k], g.tm[3 + i] * vp[3 + k]);
      vs = fma(vm, r.m[3 * i + k], vs);
      vr[3 * i + k] = vm * g.s[k];
      const F m = r.m[3 * i + k] * g.s[k];
      vt[i] = fma(vp[k], m, vt[i]);
      vt[3 + i] = fma(vp[3 + k], m, vt[3 + i]);
    }
    scatter(out.scales + 3 * begin + k, 3, count, keep(shown, vs));
  }
  F vq[4];
  r.backward(vr, vq);
  for (int k = 0; k < 4; ++k) scatter(out.quats + 4 * begin + k, 4, count, keep(shown, vq[k]));

  const F* w = pose.w;
  const F vj00 = fma(vt[0], w[0], fma(vt[1], w[1], vt[2] * w[2]));
  const F vj02 = fma(vt[0], w[6], fma(vt[1], w[7], vt[2] * w[8]));
  const F vj11 = fma(vt[3], w[3], fma(vt[4], w[4], vt[5] * w[5]));
  const F vj12 = fma(vt[3], w[6], fma(vt[4], w[7], vt[5] * w[8]));
  const F vu = given(v.means_px, 2, 0), vv = given(v.means_px, 2, 1);
  const F iz = g.inverse_z;
  // j02 = -fx ratio / z, ratio = clamp(x / z): through the ratio only where it is not clamped
  const F vratio_x = keep(g.inside_x, -(vj02 * g.j00)), vratio_y = keep(g.inside_y, -(vj12 * g.j11));
  const F rx = g.x * iz, ry = g.y * iz;
  const F vx = fma(vratio_x, iz, vu * g.j00);
  const F vy = fma(vratio_y, iz, vv * g.j11);
  F vz = -(iz * (fma(vj00, g.j00, fma(vj11, g.j11, fma(vj02, g.j02, vj12 * g.j12)))));
  vz = vz - iz * fma(vratio_x, rx, vratio_y * ry) - iz * fma(vu, pose.fx * rx, vv * (pose.fy * ry));
  vz = vz + given(v.depths, 1, 0);
  for (int k = 0; k < 3; ++k)
    scatter(out.means + 3 * begin + k, 3, count, keep(shown, fma(w[k], vx, fma(w[3 + k], vy, w[6 + k] * vz))));
}

void project_backward(const GaussianInputs& in, const Camera& camera, const ProjectOptions& options,
                      const float* extents, const ProjectedGradients& v, const GaussianGradients& out) {
  const Pose pose(camera);
  parallel((in.count + PROJECT_GRAIN - 1) / PROJECT_GRAIN, [&](int job) {
    const int end = job * PROJECT_GRAIN + PROJECT_GRAIN < in.count ? job * PROJECT_GRAIN + PROJECT_GRAIN : in.count;
    for (int i = job * PROJECT_GRAIN; i < end; i += F::W)
      project_backward_block(in, pose, options, extents, v, out, i, end - i < F::W ? end - i : F::W);
  });
}
