#include "parallel.hpp"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace veduta {
namespace {

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Denormals cost a hundred cycles each on some processors and carry nothing here.
class FlushDenormals {
#if defined(__x86_64__)
 public:
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#endif
};

class Pool {
 public:
  explicit Pool(int helpers) {
    for (int i = 0; i < helpers; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      stop_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  void abandon() {  // after a fork the threads are gone; forget them
    for (std::thread& worker : workers_) worker.detach();
    workers_.clear();
  }
  int helpers() const { return static_cast<int>(workers_.size()); }

  void run(int jobs, Job job, void* context) {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      job_ = job;
      context_ = context;
      jobs_ = jobs;
      next_.store(0);
      busy_.store(static_cast<int>(workers_.size()));
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    drain();
    while (busy_.load(std::memory_order_acquire) != 0) pause_briefly();
  }

 private:
  void drain() {
    FlushDenormals flush;
    for (int i = next_.fetch_add(1); i < jobs_; i = next_.fetch_add(1)) job_(context_, i);
  }
  void work() {
    unsigned seen = 0;
    for (;;) {
      for (int spin = 0; spin < 4000 && generation_.load(std::memory_order_acquire) == seen; ++spin) pause_briefly();
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> hold(mutex_);
        wake_.wait(hold, [&] { return generation_.load() != seen; });
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      drain();
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<unsigned> generation_{0};
  std::atomic<int> next_{0}, busy_{0};
  int jobs_ = 0;
  Job job_ = nullptr;
  void* context_ = nullptr;
  std::atomic<bool> stop_{false};
};

std::mutex owner;         // held by whoever uses the pool
Pool* pool = nullptr;     // never destroyed at exit: its threads may outlive static destructors
pid_t pool_process = 0;
int wanted = static_cast<int>(std::thread::hardware_concurrency());

Pool& current_pool() {
  if (pool != nullptr && pool_process != getpid()) {
    pool->abandon();
    pool = nullptr;
  }
  if (pool != nullptr && pool->helpers() != wanted - 1) {
    delete pool;
    pool = nullptr;
  }
  if (pool == nullptr) {
    pool = new Pool(wanted - 1);
    pool_process = getpid();
  }
  return *pool;
}

}  // namespace

void parallel_for(int jobs, Job run, void* context) {
  std::unique_lock<std::mutex> mine(owner, std::try_to_lock);
  if (wanted <= 1 || jobs <= 1 || !mine.owns_lock()) {
    FlushDenormals flush;
    for (int i = 0; i < jobs; ++i) run(context, i);
    return;
  }
  current_pool().run(jobs, run, context);
}

void set_threads(int count) {
  std::lock_guard<std::mutex> hold(owner);
  wanted = count < 1 ? 1 : count;
}

int threads() { return wanted < 1 ? 1 : wanted; }

}  // namespace veduta
