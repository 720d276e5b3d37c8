#include "frame.hpp"

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
  list[best] = list.back();
  list.pop_back();
  *capacity = found.capacity;
  return found.memory;
}

void give(void* memory, std::size_t capacity) {
  std::lock_guard<std::mutex> hold(guard);
  std::vector<Free>& list = pooled();
  if (list.size() >= MAX_POOLED) {  // drop the oldest, whose size is the least likely to be asked for again
    std::free(list.front().memory);
    list.erase(list.begin());
  }
  list.push_back({memory, capacity});
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
    memory_ = std::aligned_alloc(64, capacity_);
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
}

}  // namespace veduta
