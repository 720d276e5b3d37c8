// Front-to-back compositing, one 16x16 tile per job. A tile's state lives on the stack; a row of 16 pixels is one
// AVX-512 vector or two AVX2 vectors.

constexpr int PARTS = TILE / F::W;  // vectors per row
constexpr float NEVER = 3e38f;      // position of a stop that did not happen

struct Extent {  // rows of a tile that a record can reach
  int first, last;
};

VEDUTA_INLINE Extent rows_reached(const float* r, float y0) {
  const float low = r[MY] - r[EY] - y0 - 0.5f, high = r[MY] + r[EY] - y0 - 0.5f;
  Extent e;
  e.first = low > 0.0f ? (low < TILE ? static_cast<int>(std::ceil(low)) : TILE) : 0;
  e.last = high < TILE - 1 ? (high >= 0.0f ? static_cast<int>(high) : -1) : TILE - 1;
  return e;
}

struct Columns {  // what one record's power needs per column: power = q0 + dy (q1 + qc dy)
  F dx[PARTS], q0[PARTS], q1[PARTS];
  VEDUTA_INLINE Columns(const float* r, float x0) {
    for (int h = 0; h < PARTS; ++h) {
      dx[h] = iota() + F(x0 + 0.5f + h * F::W - r[MX]);
      q0[h] = fma(F(r[QA]) * dx[h], dx[h], F(r[LOG2_OPACITY]));
      q1[h] = F(r[QB]) * dx[h];
    }
  }
};

template <int C>
struct TileState {
  alignas(64) float transmittance[TILE_PIXELS];  // negative: the pixel has stopped
  alignas(64) float stop[TILE_PIXELS];           // position in the list at which the pixel stopped
  alignas(64) float cover[TILE_PIXELS];          // summed weights: 1 - transmittance would lose what is nearly clear
  alignas(64) float channel[C][TILE_PIXELS];
};

template <int C>
inline void composite_list(TileState<C>& s, const float* records, const std::uint32_t* list, int length, float x0,
                           float y0, unsigned live) {
  const F cut(LOG2_MIN_ALPHA), zero(0.0f), most(MAX_ALPHA), least(MIN_TRANSMITTANCE);
  for (int e = 0; e < length && live != 0; ++e) {
    const float* r = records + static_cast<std::size_t>(RECORD) * list[e];
    if (e + 4 < length) __builtin_prefetch(records + static_cast<std::size_t>(RECORD) * list[e + 4]);
    const Extent rows = rows_reached(r, y0);
    const Columns col(r, x0);
    const F qc(r[QC]), position(static_cast<float>(e));
    for (int y = rows.first; y <= rows.last; ++y) {
      if ((live >> y & 1u) == 0) continue;
      const F dy(y0 + y + 0.5f - r[MY]);
      bool stopped_any = false;
      for (int h = 0; h < PARTS; ++h) {
        const int at = y * TILE + h * F::W;
        const F power = fma(dy, fma(qc, dy, col.q1[h]), col.q0[h]);
        const F t = load(s.transmittance + at);
        const M hit = (power >= cut) & (t > zero);
        if (!any(hit)) continue;
        const F alpha = min(exp2(power), most);
        const F after = fnma(t, alpha, t);
        const M stop = hit & (after <= least);
        const M blend = hit & ~stop;
        const F w = keep(blend, alpha * t);
        for (int c = 0; c < C; ++c) store(s.channel[c] + at, fma(w, F(r[CH0 + c]), load(s.channel[c] + at)));
        store(s.cover + at, load(s.cover + at) + w);
        store(s.transmittance + at, select(stop, -t, select(blend, after, t)));
        if (any(stop)) {
          store(s.stop + at, select(stop, position, load(s.stop + at)));
          stopped_any = true;
        }
      }
      if (stopped_any) {
        bool alive = false;
        for (int h = 0; h < PARTS; ++h) alive |= any(load(s.transmittance + y * TILE + h * F::W) > zero);
        if (!alive) live &= ~(1u << y);
      }
    }
  }
}

template <int C>
inline void composite_tile(Frame& frame, int channels, const Image& image, int tile) {
  const int tx = tile % frame.tiles_x, ty = tile / frame.tiles_x;
  const auto* begin = frame.tile_begin.as<std::uint32_t>();
  TileState<C> s;
  for (int i = 0; i < TILE_PIXELS; i += F::W) {
    store(s.transmittance + i, F(1.0f));
    store(s.stop + i, F(NEVER));
    store(s.cover + i, F(0.0f));
    for (int c = 0; c < C; ++c) store(s.channel[c] + i, F(0.0f));
  }
  const int height = frame.height - ty * TILE < TILE ? frame.height - ty * TILE : TILE;
  const int width = frame.width - tx * TILE < TILE ? frame.width - tx * TILE : TILE;
  if (width < TILE)  // pixels outside the picture never live, so that a tile can end early
    for (int y = 0; y < TILE; ++y)
      for (int x = width; x < TILE; ++x) s.transmittance[y * TILE + x] = -1.0f;
  composite_list<C>(s, frame.records.as<float>(), frame.lists.as<std::uint32_t>() + begin[tile],
                    static_cast<int>(begin[tile + 1] - begin[tile]), tx * float(TILE), ty * float(TILE),
                    (1u << height) - 1u);
  float* kept_t = frame.transmittance.as<float>() + static_cast<std::size_t>(TILE_PIXELS) * tile;
  float* kept_stop = frame.stop.as<float>() + static_cast<std::size_t>(TILE_PIXELS) * tile;
  for (int i = 0; i < TILE_PIXELS; i += F::W) {
    store(kept_t + i, abs(load(s.transmittance + i)));
    store(kept_stop + i, load(s.stop + i));
  }
  const int colors = channels < 3 ? channels : 3;
  for (int y = 0; y < height; ++y) {
    const std::size_t row = static_cast<std::size_t>(ty * TILE + y) * frame.width + tx * TILE;
    for (int x = 0; x < width; ++x) {
      const int at = y * TILE + x;
      if (image.depth != nullptr) {
        for (int c = 0; c < colors; ++c) image.color[colors * (row + x) + c] = s.channel[c < C ? c : 0][at];
        image.depth[row + x] = s.cover[at] > 0.0f ? s.channel[C - 1][at] / s.cover[at] : 0.0f;
      } else {
        for (int c = 0; c < channels; ++c) image.color[channels * (row + x) + c] = s.channel[c < C ? c : 0][at];
      }
      if (image.alpha != nullptr) image.alpha[row + x] = s.cover[at];
      if (image.transmittance != nullptr) image.transmittance[row + x] = std::fabs(s.transmittance[at]);
    }
  }
}

// channels counts all values per pixel; with image.depth, the last of four goes there.
void composite(Frame& frame, int channels, const Image& image) {
  const std::size_t pixels = static_cast<std::size_t>(frame.tiles()) * TILE_PIXELS;
  frame.transmittance.reserve(4 * pixels);
  frame.stop.reserve(4 * pixels);
  parallel(frame.tiles(), [&](int tile) {
    if (channels == 3)
      composite_tile<3>(frame, channels, image, tile);
    else
      composite_tile<4>(frame, channels, image, tile);
  });
}
