// The end of the threads behind a thread's loops.
#ifndef RADLADS_BASE_RELEASE_THREADS_H_
#define RADLADS_BASE_RELEASE_THREADS_H_

#include <omp.h>

namespace radlads {

// Every thread that runs loops (parallel_for.h, LibTorch's) keeps others for them. Once there are more of these than
// cores, OpenMP puts those that wait to sleep at once, and short loops take several times as long. So a thread that
// loaded a model calls this before it leaves the model to another thread. Its next loop makes new ones.
inline void ReleaseThreads() {
  omp_pause_resource_all(omp_pause_soft);
}

}  // namespace radlads

#endif  // RADLADS_BASE_RELEASE_THREADS_H_
