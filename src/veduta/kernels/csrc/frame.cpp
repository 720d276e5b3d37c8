#include "frame.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

namespace veduta {
namespace {

struct Free {
  void* memory;
  std::size_t capacity;
};
std::mutex guard;
std::vector<Free>& pooled() {
  static auto* list = new std::vector<Free>;  // outlives every frame
  return *list;
}
constexpr std::size_t MAX_POOLED = 48;
Held held;              // of all blocks, under guard
std::size_t most_used;  // bytes that were ever in use at once

void drop_oldest() {
  std::vector<Free>& list = pooled();
  held.kept -= list.front().capacity;
  std::free(list.front().memory);
  list.erase(list.begin());
}

void count_used(std::size_t capacity) {
  held.used += capacity;
  most_used = std::max(most_used, held.used);
}

// The smallest block that is large enough and not too large; the others stay in the order in which they were given.
void* take(std::size_t bytes, std::size_t* capacity) {
  std::lock_guard<std::mutex> hold(guard);
  std::vector<Free>& list = pooled();
  std::size_t best = list.size();
  for (std::size_t i = 0; i < list.size(); ++i)
    if (list[i].capacity >= bytes && list[i].capacity <= 2 * bytes + 4096 &&
        (best == list.size() || list[i].capacity < list[best].capacity))
      best = i;
  if (best == list.size()) return nullptr;
  const Free found = list[best];
  list.erase(list.begin() + static_cast<std::ptrdiff_t>(best));
  held.kept -= found.capacity;
  count_used(found.capacity);
  *capacity = found.capacity;
  return found.memory;
}

// Blocks that lists have outgrown are never taken again: the oldest go, until what is held is little more than what was
// once in use at the same time.
void* allocate(std::size_t capacity) {
  std::lock_guard<std::mutex> hold(guard);
  count_used(capacity);
  while (!pooled().empty() && held.used + held.kept > most_used + most_used / 4) drop_oldest();
  void* memory = std::aligned_alloc(64, capacity);
  if (memory == nullptr) held.used -= capacity;
  return memory;
}

void give(void* memory, std::size_t capacity) {
  std::lock_guard<std::mutex> hold(guard);
  std::vector<Free>& list = pooled();
  if (list.size() >= MAX_POOLED) drop_oldest();  // whose size is the least likely to be asked for again
  list.push_back({memory, capacity});
  held.used -= capacity;
  held.kept += capacity;
}

}  // namespace

Block::~Block() {
  if (memory_ != nullptr) give(memory_, capacity_);
}

void* Block::reserve(std::size_t bytes) {
  if (bytes < 64) bytes = 64;
  if (memory_ != nullptr && capacity_ >= bytes) return memory_;
  if (memory_ != nullptr) give(memory_, capacity_);
  memory_ = take(bytes, &capacity_);
  if (memory_ == nullptr) {
    capacity_ = (bytes + bytes / 4 + 63) / 64 * 64;
    memory_ = allocate(capacity_);
    if (memory_ == nullptr) {
      capacity_ = 0;
      throw std::bad_alloc();
    }
  }
  return memory_;
}

void check_pairs(std::uint64_t pairs) {
  if (pairs >> 31) throw std::length_error("more than 2^31 (tile, Gaussian) pairs: render fewer Gaussians or a smaller picture");
}

void release_pooled_memory() {
  std::lock_guard<std::mutex> hold(guard);
  for (const Free& block : pooled()) std::free(block.memory);
  pooled().clear();
  held.kept = 0;
  most_used = held.used;
}

Held held_memory() {
  std::lock_guard<std::mutex> hold(guard);
  return held;
}

}  // namespace veduta
