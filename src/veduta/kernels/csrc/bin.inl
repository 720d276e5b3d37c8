// From projected Gaussians to per-tile lists in depth order: a radix sort of the visible depths, then a stable counting
// sort into tiles. Only Gaussians are sorted, never intersections, and the result does not depend on the threads.

constexpr int BIN_CHUNKS = 16;  // fixed, whatever the number of threads

struct TileRange {
  std::uint16_t x0, y0, x1, y1;  // half open
};

VEDUTA_INLINE int clamped(float value, int high) {
  if (!(value > 0.0f)) return 0;
  return value < static_cast<float>(high) ? static_cast<int>(value) : high;
}

// Tiles that hold a pixel centre within the rectangle (half a pixel of slack keeps rounding on the safe side).
VEDUTA_INLINE TileRange tile_range(float u, float v, float ex, float ey, int tiles_x, int tiles_y) {
  TileRange r;
  r.x0 = static_cast<std::uint16_t>(clamped(std::floor((u - ex - 0.5f) * (1.0f / TILE)), tiles_x));
  r.y0 = static_cast<std::uint16_t>(clamped(std::floor((v - ey - 0.5f) * (1.0f / TILE)), tiles_y));
  r.x1 = static_cast<std::uint16_t>(clamped(std::floor((u + ex - 0.5f) * (1.0f / TILE)) + 1.0f, tiles_x));
  r.y1 = static_cast<std::uint16_t>(clamped(std::floor((v + ey - 0.5f) * (1.0f / TILE)) + 1.0f, tiles_y));
  return r;
}

struct Keyed {
  std::uint32_t key, row;
};

// Stable LSD radix sort by 3 digits of 11 bits; returns whichever of the two buffers holds the result.
inline Keyed* radix_sort(Keyed* items, Keyed* spare, int count) {
  static_assert(sizeof(Keyed) == 8, "two words");
  std::uint32_t histogram[3][2048];
  std::memset(histogram, 0, sizeof histogram);
  for (int i = 0; i < count; ++i) {
    const std::uint32_t key = items[i].key;
    ++histogram[0][key & 2047];
    ++histogram[1][(key >> 11) & 2047];
    ++histogram[2][key >> 22];
  }
  for (int pass = 0; pass < 3; ++pass) {
    std::uint32_t* h = histogram[pass];
    const int shift = 11 * pass;
    if (count == 0 || h[(items[0].key >> shift) & 2047] == static_cast<std::uint32_t>(count)) continue;
    std::uint32_t sum = 0;
    for (int d = 0; d < 2048; ++d) {
      const std::uint32_t here = h[d];
      h[d] = sum;
      sum += here;
    }
    for (int i = 0; i < count; ++i) spare[h[(items[i].key >> shift) & 2047]++] = items[i];
    Keyed* swap = items;
    items = spare;
    spare = swap;
  }
  return items;
}

inline void write_record(float* r, const CompositeInputs& in, std::uint32_t row) {
  const float a = in.conics[3 * row], b = in.conics[3 * row + 1], c = in.conics[3 * row + 2];
  const float opacity = in.opacities[row];
  r[MX] = in.means_px[2 * row];
  r[MY] = in.means_px[2 * row + 1];
  r[QA] = -0.5f * LOG2E * a;
  r[QB] = -LOG2E * b;
  r[QC] = -0.5f * LOG2E * c;
  r[LOG2_OPACITY] = std::log2(opacity);
  r[CH0] = in.colors[3 * row];
  r[CH1] = in.colors[3 * row + 1];
  r[CH2] = in.colors[3 * row + 2];
  r[CH3] = in.depths[row];
  r[EX] = in.extents[2 * row];
  r[EY] = in.extents[2 * row + 1];
  r[OPACITY] = opacity;
  r[CONIC_A] = a;
  r[CONIC_B] = b;
  r[CONIC_C] = c;
}

// The frame's count, width and height are set; everything else is filled in here.
void bin(Frame& frame, const CompositeInputs& in) {
  frame.tiles_x = (frame.width + TILE - 1) / TILE;
  frame.tiles_y = (frame.height + TILE - 1) / TILE;
  const int tiles = frame.tiles();
  Block keyed_block, spare_block, range_block, histogram_block;
  auto* keyed = static_cast<Keyed*>(keyed_block.reserve(sizeof(Keyed) * (frame.count + 1)));
  auto* spare = static_cast<Keyed*>(spare_block.reserve(sizeof(Keyed) * (frame.count + 1)));
  int visible = 0;
  for (int i = 0; i < frame.count; ++i) {
    std::uint32_t key;
    std::memcpy(&key, in.depths + i, 4);
    keyed[visible].key = key;  // positive floats sort like their bits
    keyed[visible].row = static_cast<std::uint32_t>(i);
    visible += in.extents[2 * i] > 0.0f;
  }
  frame.visible = visible;
  const Keyed* sorted = radix_sort(keyed, spare, visible);

  auto* order = static_cast<std::uint32_t*>(frame.order.reserve(4 * static_cast<std::size_t>(visible)));
  auto* records = static_cast<float*>(frame.records.reserve(4 * RECORD * static_cast<std::size_t>(visible)));
  auto* pair_begin = static_cast<std::uint32_t*>(frame.pair_begin.reserve(4 * (static_cast<std::size_t>(visible) + 1)));
  auto* ranges = static_cast<TileRange*>(range_block.reserve(sizeof(TileRange) * static_cast<std::size_t>(visible)));
  auto* histogram = static_cast<std::uint32_t*>(histogram_block.reserve(4 * static_cast<std::size_t>(BIN_CHUNKS) * tiles));
  const auto chunk_begin = [visible](int chunk) {
    return static_cast<int>(static_cast<std::int64_t>(visible) * chunk / BIN_CHUNKS);
  };
  parallel(BIN_CHUNKS, [=, &in, &frame](int chunk) {
    std::uint32_t* counts = histogram + static_cast<std::size_t>(chunk) * tiles;
    std::memset(counts, 0, sizeof(std::uint32_t) * tiles);
    for (int i = chunk_begin(chunk); i < chunk_begin(chunk + 1); ++i) {
      const std::uint32_t row = sorted[i].row;
      if (i + 8 < visible) {
        const std::uint32_t next = sorted[i + 8].row;
        __builtin_prefetch(in.means_px + 2 * next);
        __builtin_prefetch(in.conics + 3 * next);
        __builtin_prefetch(in.extents + 2 * next);
        __builtin_prefetch(in.colors + 3 * next);
        __builtin_prefetch(in.opacities + next);
      }
      order[i] = row;
      float* r = records + static_cast<std::size_t>(RECORD) * i;
      write_record(r, in, row);
      const TileRange range = tile_range(r[MX], r[MY], r[EX], r[EY], frame.tiles_x, frame.tiles_y);
      ranges[i] = range;
      const bool any = range.x1 > range.x0 && range.y1 > range.y0;
      pair_begin[i + 1] = any ? std::uint32_t(range.x1 - range.x0) * std::uint32_t(range.y1 - range.y0) : 0;
      for (int y = range.y0; y < range.y1; ++y)
        for (int x = range.x0; x < range.x1; ++x) ++counts[y * frame.tiles_x + x];
    }
  });
  pair_begin[0] = 0;
  std::uint64_t pairs = 0;
  for (int i = 0; i < visible; ++i) {
    pairs += pair_begin[i + 1];
    pair_begin[i + 1] = static_cast<std::uint32_t>(pairs);
  }
  check_pairs(pairs);
  frame.pairs = pairs;
  auto* tile_begin = static_cast<std::uint32_t*>(frame.tile_begin.reserve(4 * (static_cast<std::size_t>(tiles) + 1)));
  std::uint32_t sum = 0;
  for (int t = 0; t < tiles; ++t) {
    tile_begin[t] = sum;
    for (int chunk = 0; chunk < BIN_CHUNKS; ++chunk) {
      std::uint32_t* cell = histogram + static_cast<std::size_t>(chunk) * tiles + t;
      const std::uint32_t here = *cell;
      *cell = sum;
      sum += here;
    }
  }
  tile_begin[tiles] = sum;
  auto* lists = static_cast<std::uint32_t*>(frame.lists.reserve(4 * pairs));
  auto* pair_slot = static_cast<std::uint32_t*>(frame.pair_slot.reserve(4 * pairs));
  parallel(BIN_CHUNKS, [=, &frame](int chunk) {
    std::uint32_t* cursor = histogram + static_cast<std::size_t>(chunk) * tiles;
    for (int i = chunk_begin(chunk); i < chunk_begin(chunk + 1); ++i) {
      const TileRange range = ranges[i];
      std::uint32_t* slot = pair_slot + pair_begin[i];
      for (int y = range.y0; y < range.y1; ++y)
        for (int x = range.x0; x < range.x1; ++x) {
          const std::uint32_t position = cursor[y * frame.tiles_x + x]++;
          lists[position] = static_cast<std::uint32_t>(i);
          *slot++ = position;
        }
    }
  });
}

// Replaces the records' channels by columns of `values` ([n][stride], already offset), for compositing features; the
// fourth may come from an array of its own.
void set_channels(Frame& frame, const float* values, int stride, int channels, const float* fourth) {
  const auto* order = frame.order.as<std::uint32_t>();
  auto* records = frame.records.as<float>();
  parallel(BIN_CHUNKS, [=, &frame](int chunk) {
    const int begin = static_cast<int>(static_cast<std::int64_t>(frame.visible) * chunk / BIN_CHUNKS);
    const int end = static_cast<int>(static_cast<std::int64_t>(frame.visible) * (chunk + 1) / BIN_CHUNKS);
    for (int i = begin; i < end; ++i)
      for (int c = 0; c < 4; ++c)
        records[static_cast<std::size_t>(RECORD) * i + CH0 + c] =
            c < channels ? values[static_cast<std::int64_t>(stride) * order[i] + c]
                         : (c == 3 && fourth != nullptr ? fourth[order[i]] : 0.0f);
  });
}
