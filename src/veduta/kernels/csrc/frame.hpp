// What one forward pass leaves behind for its backward pass, and the scratch memory it needs.
#pragma once
#include <cstddef>
#include <cstdint>

namespace veduta {

constexpr int TILE = 16;             // pixels along a tile's side
constexpr int TILE_PIXELS = TILE * TILE;
constexpr int RECORD = 16;           // floats per record: one cache line
constexpr float MIN_ALPHA = 1.0f / 255.0f;        // Kerbl et al. 2023
constexpr float MAX_ALPHA = 0.999f;
constexpr float MIN_TRANSMITTANCE = 1e-4f;        // Kerbl et al. 2023
constexpr float LOG2E = 1.4426950408889634f;
constexpr float LOG2_MIN_ALPHA = -7.994353436858858f;

// Fields of a record: one visible Gaussian, records lie in depth order.
enum Field { MX, MY, QA, QB, QC, LOG2_OPACITY, CH0, CH1, CH2, CH3, EX, EY, OPACITY, CONIC_A, CONIC_B, CONIC_C };
// Fields of a slot: the sums that one (tile, Gaussian) pair adds in the backward pass.
enum Sum { S0, SX, SY, SXX, SXY, SYY, SC0, SC1, SC2, SC3, SABSX, SABSY };

// Uninitialised memory that keeps its capacity; freed blocks of all frames are pooled, since fresh pages cost more
// than the arithmetic done on them.
class Block {
 public:
  Block() = default;
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  void* reserve(std::size_t bytes);
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  std::size_t capacity_ = 0;
};

struct Frame {
  int count = 0, width = 0, height = 0, tiles_x = 0, tiles_y = 0;
  int visible = 0;
  std::size_t pairs = 0;      // (tile, Gaussian) intersections
  Block order;                // uint32 [visible]: record -> row of the input
  Block records;              // float [visible][RECORD]
  Block pair_begin;           // uint32 [visible + 1]: record -> its first entry in pair_slot
  Block pair_slot;            // uint32 [pairs]: where in lists each of a record's intersections stands
  Block lists;                // uint32 [pairs]: records by tile, in depth order
  Block tile_begin;           // uint32 [tiles + 1]
  Block transmittance;        // float [tiles][TILE_PIXELS]: what is left behind the last Gaussian
  Block stop;                 // float [tiles][TILE_PIXELS]: position in the tile's list at which the pixel stopped

  __attribute__((always_inline)) int tiles() const { return tiles_x * tiles_y; }
  __attribute__((always_inline)) std::size_t bytes() const {
    return visible * (RECORD * 4 + 8) + pairs * 8 + static_cast<std::size_t>(tiles()) * (TILE_PIXELS * 8 + 4);
  }
};

// Bytes of scratch memory: in use, and kept to be used again.
struct Held {
  std::size_t used = 0, kept = 0;
};

void release_pooled_memory();
Held held_memory();
void check_pairs(std::uint64_t pairs);  // throws where they cannot be indexed by 31 bits

}  // namespace veduta
