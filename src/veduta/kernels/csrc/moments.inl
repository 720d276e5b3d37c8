// How one picture depends on each Gaussian's place, shape and colour on the screen: sums over pixels, back to front like
// composite_backward.inl, with the colour behind at unit transmittance B kept per channel:
//   T <- T / (1 - alpha),  v = d colour / d alpha = T (c - B),  B <- B + alpha (c - B).
// One Gaussian's pixels are first listed, a vector at a time, then summed one family of monomials after the other, so
// that the sums of a family stay in registers. Offsets are whitened (e = U d): |e| <= 3.4 wherever anything is drawn, and
// since U is upper triangular e2 is the same all along a row.

constexpr int SLOT_BYTES = 64 << 20;  // tiles are handled in groups whose slots fit (one tile at least)

struct Behind {  // a tile's pixels, seen from behind
  alignas(64) float transmittance[TILE_PIXELS];
  alignas(64) float stop[TILE_PIXELS];
  alignas(64) float color[3][TILE_PIXELS];

  // Returns how many of the tile's list any pixel got to.
  inline int enter(const Frame& frame, const float* behind, int tile, int width, int height, float* row_stop) {
    const int tx = tile % frame.tiles_x, ty = tile / frame.tiles_x;
    const float* kept_t = frame.transmittance.as<float>() + static_cast<std::size_t>(TILE_PIXELS) * tile;
    const float* kept_stop = frame.stop.as<float>() + static_cast<std::size_t>(TILE_PIXELS) * tile;
    for (int i = 0; i < TILE_PIXELS; i += F::W) {
      store(transmittance + i, load(kept_t + i));
      store(stop + i, load(kept_stop + i));
      for (int c = 0; c < 3; ++c) store(color[c] + i, F(0.0f));
    }
    float tile_stop = 0.0f;
    for (int y = 0; y < TILE; ++y) {
      row_stop[y] = 0.0f;
      if (y >= height) continue;
      for (int x = 0; x < width; ++x)
        if (stop[y * TILE + x] > row_stop[y]) row_stop[y] = stop[y * TILE + x];
      for (int x = width; x < TILE; ++x) stop[y * TILE + x] = 0.0f;  // outside the picture nothing was drawn
      if (row_stop[y] > tile_stop) tile_stop = row_stop[y];
      if (behind == nullptr) continue;
      const float* row = behind + 3 * (static_cast<std::size_t>(ty * TILE + y) * frame.width + tx * TILE);
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < 3; ++c) color[c][y * TILE + x] = row[3 * x + c];
    }
    const auto* begin = frame.tile_begin.as<std::uint32_t>() + tile;
    const int length = static_cast<int>(begin[1] - begin[0]);
    return tile_stop < static_cast<float>(length) ? static_cast<int>(tile_stop) : length;
  }
};

struct Step {  // what one Gaussian adds at F::W pixels; zeros where it is not drawn
  F alpha, seen, u[3];  // seen = alpha T; u = alpha v, zeros where alpha is clamped

  VEDUTA_INLINE Step(Behind& s, const float* r, int at, F power, M hit) {
    const F most(MAX_ALPHA), raw = exp2(power);
    alpha = keep(hit, min(raw, most));
    const F t = load(s.transmittance + at) / (F(1.0f) - alpha);
    store(s.transmittance + at, t);
    seen = alpha * t;
    const F free = keep(raw < most, seen);
    for (int c = 0; c < 3; ++c) {
      const F behind = load(s.color[c] + at), d = F(r[CH0 + c]) - behind;
      store(s.color[c] + at, fma(alpha, d, behind));
      u[c] = free * d;
    }
  }
};

enum Residuals { NO_RESIDUALS, BY_PIXEL, BY_VIEW };

struct Listed {  // one Gaussian's pixels in one tile, F::W at a time
  int count = 0;
  alignas(64) float e2[TILE * PARTS];
  alignas(64) float e1[TILE_PIXELS];
  alignas(64) float energy[TILE_PIXELS];      // w |alpha v|^2
  alignas(64) float cross[3][TILE_PIXELS];    // w alpha T (alpha v)
  alignas(64) float along[TILE_PIXELS];       // w alpha v.r, squared where summed by pixel
  alignas(64) float across[3][TILE_PIXELS];   // w^2 alpha T (alpha v.r) r
};

VEDUTA_INLINE void sum_quartic(const Listed& p, const float* values, F* sum) {
  F s[MONOMIALS];
  for (F& value : s) value = F(0.0f);
  for (int i = 0; i < p.count; ++i) {
    const F x = load(p.e1 + i * F::W), y(p.e2[i]), y2 = y * y, q0 = load(values + i * F::W);
    const F q1 = q0 * x, q2 = q1 * x, q3 = q2 * x, y3 = y2 * y;
    s[0] += q0;
    s[1] += q1;
    s[2] = fma(q0, y, s[2]);
    s[3] += q2;
    s[4] = fma(q1, y, s[4]);
    s[5] = fma(q0, y2, s[5]);
    s[6] += q3;
    s[7] = fma(q2, y, s[7]);
    s[8] = fma(q1, y2, s[8]);
    s[9] = fma(q0, y3, s[9]);
    s[10] = fma(q3, x, s[10]);
    s[11] = fma(q3, y, s[11]);
    s[12] = fma(q2, y2, s[12]);
    s[13] = fma(q1, y3, s[13]);
    s[14] = fma(q0, y3 * y, s[14]);
  }
  for (int k = 0; k < MONOMIALS; ++k) sum[k] = s[k];
}

VEDUTA_INLINE void sum_quadratic(const Listed& p, const float* values, int stride, F* sum) {
  F s[LOWER];
  for (F& value : s) value = F(0.0f);
  for (int i = 0; i < p.count; ++i) {
    const F x = load(p.e1 + i * F::W), y(p.e2[i]), q0 = load(values + i * F::W), q1 = q0 * x;
    s[0] += q0;
    s[1] += q1;
    s[2] = fma(q0, y, s[2]);
    s[3] = fma(q1, x, s[3]);
    s[4] = fma(q1, y, s[4]);
    s[5] = fma(q0, y * y, s[5]);
  }
  for (int k = 0; k < LOWER; ++k) sum[stride * k] = s[k];
}

// A slot holds 34 sums of the Fisher information, then those of the score, then nothing up to a whole cache line.
constexpr int slot_floats(int residuals) {
  return residuals == NO_RESIDUALS ? 48 : residuals == BY_PIXEL ? 80 : 48;
}

template <int KIND>
struct TileMoments {
  Behind behind;
  alignas(64) float weight[TILE_PIXELS];
  alignas(64) float residual[3][TILE_PIXELS];  // times weight
  Listed listed;

  inline void load_pixels(const Frame& frame, const ScreenInputs& in, const MomentsArguments& v, int tile, int width,
                          int height) {
    const int tx = tile % frame.tiles_x, ty = tile / frame.tiles_x;
    for (int y = 0; y < height; ++y) {
      const std::size_t row = static_cast<std::size_t>(ty * TILE + y) * frame.width + tx * TILE;
      for (int x = 0; x < TILE; ++x) {
        const int at = y * TILE + x;
        weight[at] = x >= width ? 0.0f : v.weight == nullptr ? 1.0f : v.weight[row + x];
        for (int c = 0; KIND != NO_RESIDUALS && c < 3; ++c)  // what is not trusted may be anything, NaN included
          residual[c][at] = weight[at] > 0.0f
                                ? weight[at] * (in.color[3 * (row + x) + c] - v.photograph[3 * (row + x) + c])
                                : 0.0f;
      }
    }
  }

  // Lists the pixels that record r touches and returns the sums that need no monomials in sum[33] and from sum[34].
  VEDUTA_INLINE void look(const float* r, const float* root, float position, float x0, float y0, const float* row_stop,
                          F* sum) {
    const F cut(LOG2_MIN_ALPHA), qc(r[QC]), place(position), u00(root[0]);
    const Extent rows = rows_reached(r, y0);
    const Columns col(r, x0);
    F color[7];
    for (F& value : color) value = F(0.0f);
    int n = 0;
    for (int y = rows.first; y <= rows.last; ++y) {
      if (row_stop[y] <= position) continue;
      const float offset = y0 + y + 0.5f - r[MY];
      const F dy(offset);
      for (int h = 0; h < PARTS; ++h) {
        const int at = y * TILE + h * F::W;
        const F power = fma(dy, fma(qc, dy, col.q1[h]), col.q0[h]);
        const M hit = (power >= cut) & (load(behind.stop + at) > place);
        if (!any(hit)) continue;
        const Step step(behind, r, at, power, hit);
        const F w = load(weight + at), ws = w * step.seen;
        store(listed.e1 + n * F::W, fma(u00, col.dx[h], F(root[1] * offset)));
        listed.e2[n] = root[2] * offset;
        store(listed.energy + n * F::W,
              w * fma(step.u[0], step.u[0], fma(step.u[1], step.u[1], step.u[2] * step.u[2])));
        for (int c = 0; c < 3; ++c) store(listed.cross[c] + n * F::W, ws * step.u[c]);
        color[0] = fma(ws, step.seen, color[0]);
        if (KIND != NO_RESIDUALS) {
          F straight[3];
          for (int c = 0; c < 3; ++c) straight[c] = load(residual[c] + at);
          const F along = fma(step.u[0], straight[0], fma(step.u[1], straight[1], step.u[2] * straight[2]));
          for (int c = 0; c < 3; ++c) straight[c] = step.seen * straight[c];
          store(listed.along + n * F::W, KIND == BY_PIXEL ? along * along : along);
          if (KIND == BY_PIXEL) {
            for (int c = 0; c < 3; ++c) store(listed.across[c] + n * F::W, along * straight[c]);
            for (int c = 0, k = 1; c < 3; ++c)
              for (int d = c; d < 3; ++d, ++k) color[k] = fma(straight[c], straight[d], color[k]);
          } else {
            for (int c = 0; c < 3; ++c) color[1 + c] += straight[c];
          }
        }
        ++n;
      }
    }
    listed.count = n;
    sum[FISHER - 1] = color[0];
    if (KIND == BY_PIXEL)
      for (int k = 0; k < 6; ++k) sum[FISHER + OF_COLOR + k] = color[1 + k];
    if (KIND == BY_VIEW)
      for (int c = 0; c < 3; ++c) sum[FISHER + LOWER + c] = color[1 + c];
  }

  VEDUTA_INLINE void sum_up(float* slot, F* sum) {
    constexpr int floats = slot_floats(KIND);
    sum_quartic(listed, listed.energy, sum);
    for (int c = 0; c < 3; ++c) sum_quadratic(listed, listed.cross[c], 3, sum + MONOMIALS + c);
    if (KIND == BY_PIXEL) {
      sum_quartic(listed, listed.along, sum + FISHER);
      for (int c = 0; c < 3; ++c) sum_quadratic(listed, listed.across[c], 3, sum + FISHER + MONOMIALS + c);
    }
    if (KIND == BY_VIEW) sum_quadratic(listed, listed.along, 1, sum + FISHER);
    for (int k = 0; k < floats; k += 16) sum_lanes16(sum + k, slot + k);
  }
};

template <int KIND>
inline void moments_tile(const Frame& frame, const ScreenInputs& in, const MomentsArguments& v, const float* roots,
                         int tile, float* slots, unsigned char* touched) {
  const int tx = tile % frame.tiles_x, ty = tile / frame.tiles_x;
  const int height = frame.height - ty * TILE < TILE ? frame.height - ty * TILE : TILE;
  const int width = frame.width - tx * TILE < TILE ? frame.width - tx * TILE : TILE;
  const auto* begin = frame.tile_begin.as<std::uint32_t>() + tile;
  const int length = static_cast<int>(begin[1] - begin[0]);
  if (length == 0) return;
  const std::uint32_t* list = frame.lists.as<std::uint32_t>() + begin[0];
  const float* records = frame.records.as<float>();
  TileMoments<KIND> s;
  float row_stop[TILE];
  const int reached = s.behind.enter(frame, in.behind, tile, width, height, row_stop);
  s.load_pixels(frame, in, v, tile, width, height);
  std::memset(touched + reached, 0, static_cast<std::size_t>(length - reached));
  constexpr int floats = slot_floats(KIND);
  F sum[floats];
  for (F& value : sum) value = F(0.0f);
  for (int e = reached - 1; e >= 0; --e) {
    const float* r = records + static_cast<std::size_t>(RECORD) * list[e];
    if (e >= 4) {
      __builtin_prefetch(records + static_cast<std::size_t>(RECORD) * list[e - 4]);
      __builtin_prefetch(roots + static_cast<std::size_t>(4) * list[e - 4]);
    }
    s.look(r, roots + static_cast<std::size_t>(4) * list[e], static_cast<float>(e), tx * float(TILE), ty * float(TILE),
           row_stop, sum);
    touched[e] = s.listed.count > 0;
    if (s.listed.count > 0) s.sum_up(slots + static_cast<std::size_t>(floats) * e, sum);
  }
}

// Adds each record's slots in [first, end) to its row, tile after tile. `next` holds each record's first slot not yet
// added.
inline void add_slots(const Frame& frame, const MomentsArguments& v, int floats, int scores, const float* slots,
                      const unsigned char* touched, std::uint32_t first, std::uint32_t end, std::uint32_t* next) {
  const auto* pair_begin = frame.pair_begin.as<std::uint32_t>();
  const auto* pair_slot = frame.pair_slot.as<std::uint32_t>();
  const auto* order = frame.order.as<std::uint32_t>();
  parallel(4 * BIN_CHUNKS, [=, &frame, &v](int chunk) {
    const int from = static_cast<int>(static_cast<std::int64_t>(frame.visible) * chunk / (4 * BIN_CHUNKS));
    const int to = static_cast<int>(static_cast<std::int64_t>(frame.visible) * (chunk + 1) / (4 * BIN_CHUNKS));
    const auto prefetch = [](const float* p, int count) {
      for (int k = 0; k < count; k += 16) __builtin_prefetch(p + k);
    };
    for (int i = from; i < to; ++i) {
      std::uint32_t p = next[i];
      if (i + 4 < to && next[i + 4] < pair_begin[i + 5] && pair_slot[next[i + 4]] < end) {
        prefetch(slots + static_cast<std::size_t>(floats) * (pair_slot[next[i + 4]] - first), floats);
        prefetch(v.fisher + static_cast<std::size_t>(FISHER) * order[i + 4], FISHER);
        prefetch(v.score + static_cast<std::size_t>(scores) * order[i + 4], scores);
      }
      float* fisher = v.fisher + static_cast<std::size_t>(FISHER) * order[i];
      float* score = v.score + static_cast<std::size_t>(scores) * order[i];
      for (; p < pair_begin[i + 1] && pair_slot[p] < end; ++p) {
        const std::uint32_t at = pair_slot[p] - first;
        if (!touched[at]) continue;
        const float* slot = slots + static_cast<std::size_t>(floats) * at;
        for (int k = 0; k < FISHER; ++k) fisher[k] += slot[k];
        for (int k = 0; k < scores; ++k) score[k] += slot[FISHER + k];
      }
      next[i] = p;
    }
  });
}

// Rows of U in the records' order.
inline const float* ordered_roots(const Frame& frame, const float* whitening, Block& memory) {
  auto* roots = static_cast<float*>(memory.reserve(sizeof(float) * 4 * static_cast<std::size_t>(frame.visible)));
  const auto* order = frame.order.as<std::uint32_t>();
  parallel(BIN_CHUNKS, [=, &frame](int chunk) {
    const int from = static_cast<int>(static_cast<std::int64_t>(frame.visible) * chunk / BIN_CHUNKS);
    const int to = static_cast<int>(static_cast<std::int64_t>(frame.visible) * (chunk + 1) / BIN_CHUNKS);
    for (int i = from; i < to; ++i)
      std::memcpy(roots + static_cast<std::size_t>(4) * i, whitening + static_cast<std::size_t>(4) * order[i], 16);
  });
  return roots;
}

// After composite. Adds to v.fisher and v.score; the order of additions depends on nothing but the frame.
void moments(Frame& frame, const ScreenInputs& in, const MomentsArguments& v) {
  const int kind = v.photograph == nullptr ? NO_RESIDUALS : v.clustered ? BY_VIEW : BY_PIXEL;
  const int floats = slot_floats(kind), scores = kind == NO_RESIDUALS ? 0 : kind == BY_VIEW ? CLUSTERED : SCORE;
  const auto* begin = frame.tile_begin.as<std::uint32_t>();
  const auto* pair_begin = frame.pair_begin.as<std::uint32_t>();
  Block slot_block, touched_block, root_block, next_block;
  const float* roots = ordered_roots(frame, in.whitening, root_block);
  auto* next = static_cast<std::uint32_t*>(next_block.reserve(4 * static_cast<std::size_t>(frame.visible)));
  for (int i = 0; i < frame.visible; ++i) next[i] = pair_begin[i];
  for (int tile = 0; tile < frame.tiles();) {
    int end = tile + 1;
    const auto bytes = [=](int t) { return sizeof(float) * floats * static_cast<std::size_t>(begin[t] - begin[tile]); };
    while (end < frame.tiles() && bytes(end + 1) <= SLOT_BYTES) ++end;
    const std::uint32_t first = begin[tile];
    auto* slots = static_cast<float*>(slot_block.reserve(bytes(end)));
    auto* touched = static_cast<unsigned char*>(touched_block.reserve(begin[end] - first));
    parallel(end - tile, [&](int job) {
      const std::size_t at = begin[tile + job] - first;
      if (kind == NO_RESIDUALS)
        moments_tile<NO_RESIDUALS>(frame, in, v, roots, tile + job, slots + floats * at, touched + at);
      else if (kind == BY_PIXEL)
        moments_tile<BY_PIXEL>(frame, in, v, roots, tile + job, slots + floats * at, touched + at);
      else
        moments_tile<BY_VIEW>(frame, in, v, roots, tile + job, slots + floats * at, touched + at);
    });
    add_slots(frame, v, floats, scores, slots, touched, first, begin[end], next);
    tile = end;
  }
}
