// Back-to-front gradients of compositing. With B the colour behind at unit transmittance, already dotted with the
// pixel's gradient g, each step is a convex recursion without division by small numbers:
//   T <- T / (1 - alpha),  d = g.c - B,  d loss/d alpha = T d,  B <- B + alpha d.
// Each (tile, Gaussian) pair writes its sums into a slot of its own; slots are then added per Gaussian in a fixed
// order, so that gradients are bit-identical whatever the number of threads.

template <int C>
struct TileGradient {
  alignas(64) float transmittance[TILE_PIXELS];
  alignas(64) float stop[TILE_PIXELS];
  alignas(64) float behind[TILE_PIXELS];
  alignas(64) float g[C][TILE_PIXELS];
};

// Features beyond colour and depth: any number of channels, handled beside them so that every pair is met once.
struct Extras {
  int channels = 0;
  const float* values = nullptr;   // [visible][channels], in the records' order
  float* g = nullptr;              // [channels][TILE_PIXELS] of this tile
  float* sums = nullptr;           // [F::W channels] scratch of this tile
  float* slots = nullptr;          // [pairs][channels]
};

template <int C, bool ABS>
inline void backward_list(TileGradient<C>& s, const float* records, const std::uint32_t* list, int length, float x0,
                          float y0, const float* row_stop, float* slots, const Extras& extras) {
  const F cut(LOG2_MIN_ALPHA), most(MAX_ALPHA), one(1.0f), zero(0.0f);
  for (int e = length - 1; e >= 0; --e) {
    const float* r = records + static_cast<std::size_t>(RECORD) * list[e];
    if (e >= 4) __builtin_prefetch(records + static_cast<std::size_t>(RECORD) * list[e - 4]);
    const Extent rows = rows_reached(r, y0);
    const Columns col(r, x0);
    const F qc(r[QC]), position(static_cast<float>(e));
    F w0[PARTS], w1[PARTS], w2[PARTS], sum[12];
    for (int h = 0; h < PARTS; ++h) w0[h] = w1[h] = w2[h] = zero;
    for (int k = 0; k < 12; ++k) sum[k] = zero;
    for (int c = 0; c < extras.channels; ++c) store(extras.sums + c * F::W, zero);
    const float* extra = extras.values + static_cast<std::size_t>(extras.channels) * list[e];
    bool touched = false;
    for (int y = rows.first; y <= rows.last; ++y) {
      if (row_stop[y] <= static_cast<float>(e)) continue;
      const F dy(y0 + y + 0.5f - r[MY]);
      for (int h = 0; h < PARTS; ++h) {
        const int at = y * TILE + h * F::W;
        const F power = fma(dy, fma(qc, dy, col.q1[h]), col.q0[h]);
        const M hit = (power >= cut) & (load(s.stop + at) > position);
        if (!any(hit)) continue;
        touched = true;
        const F raw = exp2(power);
        const F alpha = keep(hit, min(raw, most));
        const F t = load(s.transmittance + at) / (one - alpha);
        const F vis = alpha * t;
        const F behind = load(s.behind + at);
        F d = -behind;
        for (int c = 0; c < C; ++c) {
          const F g = load(s.g[c] + at);
          d = fma(g, F(r[CH0 + c]), d);
          sum[SC0 + c] = fma(vis, g, sum[SC0 + c]);
        }
        for (int c = 0; c < extras.channels; ++c) {
          const F g = load(extras.g + c * TILE_PIXELS + at);
          d = fma(g, F(extra[c]), d);
          store(extras.sums + c * F::W, fma(vis, g, load(extras.sums + c * F::W)));
        }
        store(s.behind + at, fma(alpha, d, behind));
        store(s.transmittance + at, t);
        const F w = keep(raw < most, vis * d);  // vis is 0 where not hit
        const F wy = w * dy;
        w0[h] += w;
        w1[h] += wy;
        w2[h] = fma(wy, dy, w2[h]);
        if (ABS) {
          sum[SABSX] += abs(w * fma(F(r[CONIC_A]), col.dx[h], F(r[CONIC_B]) * dy));
          sum[SABSY] += abs(w * fma(F(r[CONIC_B]), col.dx[h], F(r[CONIC_C]) * dy));
        }
      }
    }
    float* slot = slots + static_cast<std::size_t>(RECORD) * e;
    for (int c = 0; c < extras.channels; ++c) {
      float total = 0.0f;
      for (int k = 0; k < F::W; ++k) total += extras.sums[c * F::W + k];
      extras.slots[static_cast<std::size_t>(extras.channels) * e + c] = total;
    }
    if (!touched) {
      std::memset(slot, 0, sizeof(float) * RECORD);
      continue;
    }
    for (int h = 0; h < PARTS; ++h) {
      const F wx = w0[h] * col.dx[h];
      sum[S0] += w0[h];
      sum[SX] += wx;
      sum[SY] += w1[h];
      sum[SXX] = fma(wx, col.dx[h], sum[SXX]);
      sum[SXY] = fma(w1[h], col.dx[h], sum[SXY]);
      sum[SYY] += w2[h];
    }
    if (C == 3 && !ABS)
      sum_lanes9(sum, slot);
    else
      sum_lanes12(sum, slot);
  }
}

template <int C, bool ABS>
inline void backward_tile(Frame& frame, const ImageGradients& v, int tile, float* slots, Extras extras) {
  const int tx = tile % frame.tiles_x, ty = tile / frame.tiles_x;
  const std::uint32_t begin = frame.tile_begin.as<std::uint32_t>()[tile];
  const int length = static_cast<int>(frame.tile_begin.as<std::uint32_t>()[tile + 1] - begin);
  if (length == 0) return;
  TileGradient<C> s;
  const float* kept_t = frame.transmittance.as<float>() + static_cast<std::size_t>(TILE_PIXELS) * tile;
  const float* kept_stop = frame.stop.as<float>() + static_cast<std::size_t>(TILE_PIXELS) * tile;
  for (int i = 0; i < TILE_PIXELS; i += F::W) {
    store(s.transmittance + i, load(kept_t + i));
    store(s.stop + i, load(kept_stop + i));
    store(s.behind + i, F(0.0f));
    for (int c = 0; c < C; ++c) store(s.g[c] + i, F(0.0f));
  }
  const int height = frame.height - ty * TILE < TILE ? frame.height - ty * TILE : TILE;
  const int width = frame.width - tx * TILE < TILE ? frame.width - tx * TILE : TILE;
  for (int i = 0; i < extras.channels * TILE_PIXELS; ++i) extras.g[i] = 0.0f;
  float row_stop[TILE], tile_stop = 0.0f;
  for (int y = 0; y < TILE; ++y) {
    row_stop[y] = 0.0f;
    if (y >= height) continue;
    const std::size_t row = static_cast<std::size_t>(ty * TILE + y) * frame.width + tx * TILE;
    for (int x = 0; x < width; ++x) {
      const int at = y * TILE + x;
      if (v.color != nullptr)
        for (int c = 0; c < 3; ++c) s.g[c][at] = v.color[3 * (row + x) + c];
      for (int c = 0; c < extras.channels; ++c)
        extras.g[c * TILE_PIXELS + at] = v.features[extras.channels * (row + x) + c];
      if (v.depth != nullptr) s.g[C - 1][at] = v.depth[row + x];
      if (v.alpha != nullptr) s.behind[at] = -v.alpha[row + x];  // alpha = 1 - T: a background worth -g_alpha
      if (s.stop[at] > row_stop[y]) row_stop[y] = s.stop[at];
    }
    if (row_stop[y] > tile_stop) tile_stop = row_stop[y];
    for (int x = width; x < TILE; ++x) s.stop[y * TILE + x] = 0.0f;  // outside the picture nothing was drawn
  }
  const int reached = tile_stop < static_cast<float>(length) ? static_cast<int>(tile_stop) : length;
  float* own = slots + static_cast<std::size_t>(RECORD) * begin;
  if (reached < length)
    std::memset(own + static_cast<std::size_t>(RECORD) * reached, 0, sizeof(float) * RECORD * (length - reached));
  extras.slots += static_cast<std::size_t>(extras.channels) * begin;
  for (std::int64_t i = std::int64_t(extras.channels) * reached; i < std::int64_t(extras.channels) * length; ++i)
    extras.slots[i] = 0.0f;
  backward_list<C, ABS>(s, frame.records.as<float>(), frame.lists.as<std::uint32_t>() + begin, reached,
                        tx * float(TILE), ty * float(TILE), row_stop, own, extras);
}

// Adds up each record's slots and turns the sums into gradients of what was projected.
inline void reduce_slots(const Frame& frame, const float* slots, const Extras& extras, const CompositeGradients& out) {
  const auto* pair_begin = frame.pair_begin.as<std::uint32_t>();
  const auto* pair_slot = frame.pair_slot.as<std::uint32_t>();
  const auto* order = frame.order.as<std::uint32_t>();
  const float* records = frame.records.as<float>();
  parallel(4 * BIN_CHUNKS, [=, &frame, &extras, &out](int chunk) {
    const int first = static_cast<int>(static_cast<std::int64_t>(frame.visible) * chunk / (4 * BIN_CHUNKS));
    const int end = static_cast<int>(static_cast<std::int64_t>(frame.visible) * (chunk + 1) / (4 * BIN_CHUNKS));
    alignas(64) float sum[RECORD];
    for (int i = first; i < end; ++i) {
      F total[PARTS];
      for (int h = 0; h < PARTS; ++h) total[h] = F(0.0f);
      if (i + 4 < end && pair_begin[i + 4] < frame.pairs)
        __builtin_prefetch(slots + static_cast<std::size_t>(RECORD) * pair_slot[pair_begin[i + 4]]);
      for (std::uint32_t p = pair_begin[i]; p < pair_begin[i + 1]; ++p)
        for (int h = 0; h < PARTS; ++h)
          total[h] += load(slots + static_cast<std::size_t>(RECORD) * pair_slot[p] + h * F::W);
      for (int h = 0; h < PARTS; ++h) store(sum + h * F::W, total[h]);
      const float* r = records + static_cast<std::size_t>(RECORD) * i;
      const std::size_t row = order[i];
      out.means_px[2 * row] += r[CONIC_A] * sum[SX] + r[CONIC_B] * sum[SY];
      out.means_px[2 * row + 1] += r[CONIC_B] * sum[SX] + r[CONIC_C] * sum[SY];
      out.conics[3 * row] -= 0.5f * sum[SXX];
      out.conics[3 * row + 1] -= sum[SXY];
      out.conics[3 * row + 2] -= 0.5f * sum[SYY];
      out.opacities[row] += sum[S0] / r[OPACITY];
      for (int c = 0; c < 3; ++c) out.colors[3 * row + c] += sum[SC0 + c];
      if (out.depths != nullptr) out.depths[row] += sum[SC3];
      for (std::uint32_t p = pair_begin[i]; p < pair_begin[i + 1]; ++p)
        for (int c = 0; c < extras.channels; ++c)
          out.features[extras.channels * row + c] += extras.slots[static_cast<std::size_t>(extras.channels) * pair_slot[p] + c];
      if (out.absgrad != nullptr) {
        out.absgrad[2 * row] += sum[SABSX];
        out.absgrad[2 * row + 1] += sum[SABSY];
      }
    }
  });
}

// Adds into `out`. `features` ([count][feature_channels], the input's rows) are what v.features is the gradient of.
void composite_backward(Frame& frame, const float* features, int feature_channels, const ImageGradients& v,
                        const CompositeGradients& out) {
  Block slot_block, value_block, extra_slot_block, tile_block;
  auto* slots = static_cast<float*>(slot_block.reserve(sizeof(float) * RECORD * frame.pairs));
  Extras extras;
  extras.channels = v.features == nullptr ? 0 : feature_channels;
  const std::size_t width = static_cast<std::size_t>(extras.channels), tile_floats = width * (TILE_PIXELS + F::W);
  auto* values = static_cast<float*>(value_block.reserve(sizeof(float) * width * frame.visible));
  const auto* order = frame.order.as<std::uint32_t>();
  for (std::size_t i = 0; width != 0 && i < static_cast<std::size_t>(frame.visible); ++i)
    std::memcpy(values + width * i, features + width * order[i], sizeof(float) * width);
  extras.values = values;
  extras.slots = static_cast<float*>(extra_slot_block.reserve(sizeof(float) * width * frame.pairs));
  auto* scratch = static_cast<float*>(tile_block.reserve(sizeof(float) * tile_floats * frame.tiles()));
  parallel(frame.tiles(), [&](int tile) {
    Extras own = extras;
    own.g = scratch + tile_floats * tile;
    own.sums = own.g + width * TILE_PIXELS;
    if (v.depth != nullptr && out.absgrad != nullptr)
      backward_tile<4, true>(frame, v, tile, slots, own);
    else if (v.depth != nullptr)
      backward_tile<4, false>(frame, v, tile, slots, own);
    else if (out.absgrad != nullptr)
      backward_tile<3, true>(frame, v, tile, slots, own);
    else
      backward_tile<3, false>(frame, v, tile, slots, own);
  });
  reduce_slots(frame, slots, extras, out);
}
