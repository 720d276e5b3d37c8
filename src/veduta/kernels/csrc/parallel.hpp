// A pool of threads. Work is handed out dynamically; kernels are written so that results never depend on who did what.
#pragma once

namespace veduta {

using Job = void (*)(void* context, int job);

// Calls run(context, 0..jobs-1), on as many threads as set_threads allows. Nested or concurrent calls run inline.
void parallel_for(int jobs, Job run, void* context);
void set_threads(int count);
int threads();

template <class Body>
inline void parallel(int jobs, const Body& body) {
  parallel_for(jobs, [](void* context, int job) { (*static_cast<const Body*>(context))(job); },
               const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace veduta
