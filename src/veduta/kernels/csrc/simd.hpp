// A thin wrapper over one vector of floats (F) and its mask (M), for the instruction set this file is compiled for.
// Only what the kernels need; every function is inline and lives in the namespace of its instruction set, so that
// objects compiled with different flags never share code.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define VEDUTA_INLINE inline __attribute__((always_inline))

namespace veduta {
namespace VEDUTA_ISA {

#if defined(__AVX512F__)

struct M {
  __mmask16 v;
};
struct F {
  static constexpr int W = 16;
  __m512 v;
  F() = default;
  VEDUTA_INLINE F(__m512 x) : v(x) {}
  VEDUTA_INLINE F(float x) : v(_mm512_set1_ps(x)) {}
};
VEDUTA_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
VEDUTA_INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
VEDUTA_INLINE F operator+(F a, F b) { return _mm512_add_ps(a.v, b.v); }
VEDUTA_INLINE F operator-(F a, F b) { return _mm512_sub_ps(a.v, b.v); }
VEDUTA_INLINE F operator*(F a, F b) { return _mm512_mul_ps(a.v, b.v); }
VEDUTA_INLINE F operator/(F a, F b) { return _mm512_div_ps(a.v, b.v); }
VEDUTA_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
VEDUTA_INLINE F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }  // c - a b
VEDUTA_INLINE F min(F a, F b) { return _mm512_min_ps(a.v, b.v); }
VEDUTA_INLINE F max(F a, F b) { return _mm512_max_ps(a.v, b.v); }
VEDUTA_INLINE F sqrt(F a) { return _mm512_sqrt_ps(a.v); }
VEDUTA_INLINE F abs(F a) { return _mm512_abs_ps(a.v); }
VEDUTA_INLINE M operator<(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
VEDUTA_INLINE M operator<=(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
VEDUTA_INLINE M operator>(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
VEDUTA_INLINE M operator>=(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
VEDUTA_INLINE M operator&(M a, M b) { return {static_cast<__mmask16>(a.v & b.v)}; }
VEDUTA_INLINE M operator|(M a, M b) { return {static_cast<__mmask16>(a.v | b.v)}; }
VEDUTA_INLINE M operator~(M a) { return {static_cast<__mmask16>(~a.v)}; }
VEDUTA_INLINE bool any(M a) { return a.v != 0; }
VEDUTA_INLINE F select(M m, F a, F b) { return _mm512_mask_blend_ps(m.v, b.v, a.v); }
VEDUTA_INLINE F keep(M m, F a) { return _mm512_maskz_mov_ps(m.v, a.v); }
VEDUTA_INLINE unsigned bits(M a) { return a.v; }
VEDUTA_INLINE F iota() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
VEDUTA_INLINE F gather(const float* p, int stride) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_i32gather_ps(_mm512_mullo_epi32(lane, _mm512_set1_epi32(stride)), p, 4);
}
// 2^x for |x| < 2^20: degree-5 polynomial on the fractional part, relative error 2e-7.
VEDUTA_INLINE F exp2(F x) {
  const F n = _mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const F t = x - n;
  F p = fma(t, F(1.3276472e-3f), F(9.6755419e-3f));
  p = fma(t, p, F(5.5507131e-2f));
  p = fma(t, p, F(2.4022120e-1f));
  p = fma(t, p, F(6.9314694e-1f));
  p = fma(t, p, F(1.0f));
  return _mm512_scalef_ps(p.v, n.v);
}
VEDUTA_INLINE __m512 add_pairs_ps(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
}
VEDUTA_INLINE __m512 add_pairs_pd(__m512 a, __m512 b) {
  const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
VEDUTA_INLINE __m512 add_halves(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}
// out[i] = sum of the lanes of v[i] for 12 vectors, by a tree of additions; out[12..15] = 0.
VEDUTA_INLINE void sum_lanes12(const F* v, float* out) {
  const __m512 a = add_pairs_pd(add_pairs_ps(v[0].v, v[1].v), add_pairs_ps(v[2].v, v[3].v));
  const __m512 b = add_pairs_pd(add_pairs_ps(v[4].v, v[5].v), add_pairs_ps(v[6].v, v[7].v));
  const __m512 c = add_pairs_pd(add_pairs_ps(v[8].v, v[9].v), add_pairs_ps(v[10].v, v[11].v));
  _mm512_storeu_ps(out, add_halves(add_halves(a, b), add_halves(c, _mm512_setzero_ps())));
}
// The same for 16 vectors.
VEDUTA_INLINE void sum_lanes16(const F* v, float* out) {
  __m512 t[4];
  for (int i = 0; i < 4; ++i)
    t[i] = add_pairs_pd(add_pairs_ps(v[4 * i].v, v[4 * i + 1].v), add_pairs_ps(v[4 * i + 2].v, v[4 * i + 3].v));
  _mm512_storeu_ps(out, add_halves(add_halves(t[0], t[1]), add_halves(t[2], t[3])));
}
// The same for 9 vectors; out[9..15] = 0.
VEDUTA_INLINE void sum_lanes9(const F* v, float* out) {
  const __m512 zero = _mm512_setzero_ps();
  const __m512 a = add_pairs_pd(add_pairs_ps(v[0].v, v[1].v), add_pairs_ps(v[2].v, v[3].v));
  const __m512 b = add_pairs_pd(add_pairs_ps(v[4].v, v[5].v), add_pairs_ps(v[6].v, v[7].v));
  const __m512 c = add_pairs_pd(add_pairs_ps(v[8].v, zero), zero);
  _mm512_storeu_ps(out, add_halves(add_halves(a, b), add_halves(c, zero)));
}

// v[i] lane j <-> v[j] lane i.
VEDUTA_INLINE void transpose(F* v) {
  __m512 t[16], r[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(v[i].v, v[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(v[i].v, v[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4)
    for (int k = 0; k < 2; ++k) {
      const __m512d a = _mm512_castps_pd(t[i + k]), b = _mm512_castps_pd(t[i + k + 2]);
      r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  for (int k = 0; k < 4; ++k) {
    const __m512 a = _mm512_shuffle_f32x4(r[k], r[4 + k], 0x44), b = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0x44);
    const __m512 c = _mm512_shuffle_f32x4(r[k], r[4 + k], 0xEE), d = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0xEE);
    v[k] = _mm512_shuffle_f32x4(a, b, 0x88);
    v[4 + k] = _mm512_shuffle_f32x4(a, b, 0xDD);
    v[8 + k] = _mm512_shuffle_f32x4(c, d, 0x88);
    v[12 + k] = _mm512_shuffle_f32x4(c, d, 0xDD);
  }
}

#elif defined(__AVX2__)

struct M {
  __m256 v;
};
struct F {
  static constexpr int W = 8;
  __m256 v;
  F() = default;
  VEDUTA_INLINE F(__m256 x) : v(x) {}
  VEDUTA_INLINE F(float x) : v(_mm256_set1_ps(x)) {}
};
VEDUTA_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
VEDUTA_INLINE void store(float* p, F a) { _mm256_storeu_ps(p, a.v); }
VEDUTA_INLINE F operator+(F a, F b) { return _mm256_add_ps(a.v, b.v); }
VEDUTA_INLINE F operator-(F a, F b) { return _mm256_sub_ps(a.v, b.v); }
VEDUTA_INLINE F operator*(F a, F b) { return _mm256_mul_ps(a.v, b.v); }
VEDUTA_INLINE F operator/(F a, F b) { return _mm256_div_ps(a.v, b.v); }
VEDUTA_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
VEDUTA_INLINE F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
VEDUTA_INLINE F min(F a, F b) { return _mm256_min_ps(a.v, b.v); }
VEDUTA_INLINE F max(F a, F b) { return _mm256_max_ps(a.v, b.v); }
VEDUTA_INLINE F sqrt(F a) { return _mm256_sqrt_ps(a.v); }
VEDUTA_INLINE F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
VEDUTA_INLINE M operator<(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
VEDUTA_INLINE M operator<=(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
VEDUTA_INLINE M operator>(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
VEDUTA_INLINE M operator>=(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
VEDUTA_INLINE M operator&(M a, M b) { return {_mm256_and_ps(a.v, b.v)}; }
VEDUTA_INLINE M operator|(M a, M b) { return {_mm256_or_ps(a.v, b.v)}; }
VEDUTA_INLINE M operator~(M a) { return {_mm256_xor_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))}; }
VEDUTA_INLINE bool any(M a) { return _mm256_movemask_ps(a.v) != 0; }
VEDUTA_INLINE F select(M m, F a, F b) { return _mm256_blendv_ps(b.v, a.v, m.v); }
VEDUTA_INLINE F keep(M m, F a) { return _mm256_and_ps(m.v, a.v); }
VEDUTA_INLINE unsigned bits(M a) { return static_cast<unsigned>(_mm256_movemask_ps(a.v)); }
VEDUTA_INLINE F iota() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
VEDUTA_INLINE F gather(const float* p, int s) {
  return _mm256_setr_ps(p[0], p[s], p[2 * s], p[3 * s], p[4 * s], p[5 * s], p[6 * s], p[7 * s]);
}
VEDUTA_INLINE F exp2(F x) {
  const F n = _mm256_round_ps(max(x, F(-126.0f)).v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const F t = x - n;
  F p = fma(t, F(1.3276472e-3f), F(9.6755419e-3f));
  p = fma(t, p, F(5.5507131e-2f));
  p = fma(t, p, F(2.4022120e-1f));
  p = fma(t, p, F(6.9314694e-1f));
  p = fma(t, p, F(1.0f));
  const __m256i e = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return p * F(_mm256_castsi256_ps(e));
}
VEDUTA_INLINE __m256 add_pairs_ps(__m256 a, __m256 b) {
  return _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
}
VEDUTA_INLINE __m256 add_pairs_pd(__m256 a, __m256 b) {
  const __m256d x = _mm256_castps_pd(a), y = _mm256_castps_pd(b);
  return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}
VEDUTA_INLINE void sum_lanes8(const F* v, float* out) {
  const __m256 a = add_pairs_pd(add_pairs_ps(v[0].v, v[1].v), add_pairs_ps(v[2].v, v[3].v));
  const __m256 b = add_pairs_pd(add_pairs_ps(v[4].v, v[5].v), add_pairs_ps(v[6].v, v[7].v));
  _mm256_storeu_ps(out, _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)));
}
VEDUTA_INLINE void sum_lanes12(const F* v, float* out) {
  sum_lanes8(v, out);
  const F zero(0.0f), rest[8] = {v[8], v[9], v[10], v[11], zero, zero, zero, zero};
  sum_lanes8(rest, out + 8);
}
VEDUTA_INLINE void sum_lanes16(const F* v, float* out) {
  sum_lanes8(v, out);
  sum_lanes8(v + 8, out + 8);
}
VEDUTA_INLINE void sum_lanes9(const F* v, float* out) {
  sum_lanes8(v, out);
  const F zero(0.0f), rest[8] = {v[8], zero, zero, zero, zero, zero, zero, zero};
  sum_lanes8(rest, out + 8);
}

VEDUTA_INLINE void transpose(F* v) {
  __m256 t[8], r[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i].v, v[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(v[i].v, v[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 2; ++k) {
      const __m256d a = _mm256_castps_pd(t[i + k]), b = _mm256_castps_pd(t[i + k + 2]);
      r[i + 2 * k] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
      r[i + 2 * k + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    }
  for (int k = 0; k < 4; ++k) {
    v[k] = _mm256_permute2f128_ps(r[k], r[4 + k], 0x20);
    v[4 + k] = _mm256_permute2f128_ps(r[k], r[4 + k], 0x31);
  }
}

#else

// Portable: fixed-length loops that any compiler turns into whatever vectors its target has.
struct M {
  int32_t v[8];
};
struct F {
  static constexpr int W = 8;
  float v[8];
  F() = default;
  VEDUTA_INLINE F(float x) {
    for (int i = 0; i < W; ++i) v[i] = x;
  }
};
#define VEDUTA_LANES(T, expr)                        \
  {                                                  \
    T r;                                             \
    for (int i = 0; i < F::W; ++i) r.v[i] = (expr);  \
    return r;                                        \
  }
VEDUTA_INLINE F load(const float* p) VEDUTA_LANES(F, p[i])
VEDUTA_INLINE void store(float* p, F a) {
  for (int i = 0; i < F::W; ++i) p[i] = a.v[i];
}
VEDUTA_INLINE F operator+(F a, F b) VEDUTA_LANES(F, a.v[i] + b.v[i])
VEDUTA_INLINE F operator-(F a, F b) VEDUTA_LANES(F, a.v[i] - b.v[i])
VEDUTA_INLINE F operator*(F a, F b) VEDUTA_LANES(F, a.v[i] * b.v[i])
VEDUTA_INLINE F operator/(F a, F b) VEDUTA_LANES(F, a.v[i] / b.v[i])
VEDUTA_INLINE F fma(F a, F b, F c) VEDUTA_LANES(F, a.v[i] * b.v[i] + c.v[i])
VEDUTA_INLINE F fnma(F a, F b, F c) VEDUTA_LANES(F, c.v[i] - a.v[i] * b.v[i])
VEDUTA_INLINE F min(F a, F b) VEDUTA_LANES(F, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
VEDUTA_INLINE F max(F a, F b) VEDUTA_LANES(F, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
VEDUTA_INLINE F sqrt(F a) VEDUTA_LANES(F, std::sqrt(a.v[i]))
VEDUTA_INLINE F abs(F a) VEDUTA_LANES(F, std::fabs(a.v[i]))
VEDUTA_INLINE M operator<(F a, F b) VEDUTA_LANES(M, -(a.v[i] < b.v[i]))
VEDUTA_INLINE M operator<=(F a, F b) VEDUTA_LANES(M, -(a.v[i] <= b.v[i]))
VEDUTA_INLINE M operator>(F a, F b) VEDUTA_LANES(M, -(a.v[i] > b.v[i]))
VEDUTA_INLINE M operator>=(F a, F b) VEDUTA_LANES(M, -(a.v[i] >= b.v[i]))
VEDUTA_INLINE M operator&(M a, M b) VEDUTA_LANES(M, a.v[i] & b.v[i])
VEDUTA_INLINE M operator|(M a, M b) VEDUTA_LANES(M, a.v[i] | b.v[i])
VEDUTA_INLINE M operator~(M a) VEDUTA_LANES(M, ~a.v[i])
VEDUTA_INLINE bool any(M a) {
  int32_t r = 0;
  for (int i = 0; i < F::W; ++i) r |= a.v[i];
  return r != 0;
}
VEDUTA_INLINE F select(M m, F a, F b) VEDUTA_LANES(F, m.v[i] ? a.v[i] : b.v[i])
VEDUTA_INLINE F keep(M m, F a) VEDUTA_LANES(F, m.v[i] ? a.v[i] : 0.0f)
VEDUTA_INLINE unsigned bits(M a) {
  unsigned r = 0;
  for (int i = 0; i < F::W; ++i) r |= (a.v[i] ? 1u : 0u) << i;
  return r;
}
VEDUTA_INLINE F iota() VEDUTA_LANES(F, static_cast<float>(i))
VEDUTA_INLINE F gather(const float* p, int s) VEDUTA_LANES(F, p[i * s])
VEDUTA_INLINE F exp2(F x) {
  F r;
  for (int i = 0; i < F::W; ++i) {
    const float y = x.v[i] > -126.0f ? x.v[i] : -126.0f;
    const float z = y < 126.0f ? y : 126.0f;
    const int32_t k = static_cast<int32_t>(z + (z < 0 ? -0.5f : 0.5f));
    const float t = z - static_cast<float>(k);
    float p = t * 1.3276472e-3f + 9.6755419e-3f;
    p = t * p + 5.5507131e-2f;
    p = t * p + 2.4022120e-1f;
    p = t * p + 6.9314694e-1f;
    p = t * p + 1.0f;
    const int32_t e = (k + 127) << 23;
    float scale;
    std::memcpy(&scale, &e, 4);
    r.v[i] = p * scale;
  }
  return r;
}
VEDUTA_INLINE void sum_lanes(const F* v, int count, float* out) {
  for (int j = 0; j < 16; ++j) {
    float s = 0.0f;
    for (int i = 0; i < F::W && j < count; ++i) s += v[j].v[i];
    out[j] = s;
  }
}
VEDUTA_INLINE void sum_lanes12(const F* v, float* out) { sum_lanes(v, 12, out); }
VEDUTA_INLINE void sum_lanes16(const F* v, float* out) { sum_lanes(v, 16, out); }
VEDUTA_INLINE void sum_lanes9(const F* v, float* out) { sum_lanes(v, 9, out); }
VEDUTA_INLINE void transpose(F* v) {
  for (int i = 0; i < F::W; ++i)
    for (int j = 0; j < i; ++j) {
      const float swap = v[i].v[j];
      v[i].v[j] = v[j].v[i];
      v[j].v[i] = swap;
    }
}
#undef VEDUTA_LANES

#endif

VEDUTA_INLINE F operator-(F a) { return F(0.0f) - a; }
VEDUTA_INLINE F& operator+=(F& a, F b) { return a = a + b; }
// Unit stride and a partial tail: lanes at and beyond count read as fill, and are not written.
VEDUTA_INLINE F gather_tail(const float* p, int stride, int count, float fill) {
  alignas(64) float t[F::W];
  for (int i = 0; i < F::W; ++i) t[i] = i < count ? p[i * stride] : fill;
  return load(t);
}
VEDUTA_INLINE void scatter(float* p, int stride, int count, F a) {
  alignas(64) float t[F::W];
  store(t, a);
  for (int i = 0; i < count; ++i) p[i * stride] = t[i];
}

}  // namespace VEDUTA_ISA
}  // namespace veduta
