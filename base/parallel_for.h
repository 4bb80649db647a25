// Data-parallel loops on the OpenMP threads that LibTorch uses too, so that the two never fight for cores.
#ifndef RADLADS_BASE_PARALLEL_FOR_H_
#define RADLADS_BASE_PARALLEL_FOR_H_

#include <cstdint>
#include <functional>

namespace radlads {

// Calls body(first, last) on disjoint ranges that cover [0, count), at least `grain` items each where possible.
// Ranges depend on count, grain and the number of threads only. Runs inline when one thread is enough or when
// called from inside another parallel region. `body` must not throw.
void ParallelFor(int64_t count, int64_t grain, const std::function<void(int64_t first, int64_t last)>& body);

// Like ParallelFor with one item per call, handed out dynamically: for items of uneven cost.
void ParallelForDynamic(int64_t count, const std::function<void(int64_t item)>& body);

// Number of threads that loops use, LibTorch's among them. Set once at start; 0 means all cores of the process.
void SetThreads(int threads);
int Threads();

// Pins each thread of the pool to a core of its own (the process's affinity mask, in order), which keeps the
// kernel from putting two of them on one core. Returns how many were pinned; 0 when there is one
// thread only or fewer cores than threads, and then nothing is changed.
int PinThreads();

}  // namespace radlads

#endif  // RADLADS_BASE_PARALLEL_FOR_H_
