// Data-parallel loops on the OpenMP threads that LibTorch uses too, so that the two never fight for cores.
#ifndef RADLADS_BASE_PARALLEL_FOR_H_
#define RADLADS_BASE_PARALLEL_FOR_H_

#include <cstddef>
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

// Runs `body` on all threads, once each, as a team whose loops are collective: every thread calls ParallelFor and
// ParallelForDynamic in the same order with the same counts, does its share whatever the grain, and meets the others at
// the end. Nothing is woken for a loop, so that loops of a microsecond are worth it: this is for many short ones in a
// row. What stands outside of the loops is run by every thread and may write only what is that thread's own. Inside
// another parallel region `body` runs alone. It must not throw.
void RunTeam(const std::function<void()>& body);
// Whether the caller is a thread of a team, outside of its loops.
bool InTeam();
// In a team: one thread runs `body` while the others wait. Otherwise: runs it.
void RunOnce(const std::function<void()>& body);

// Memory that a team shares: all of its threads make it in the same order and get the same place, at a multiple of 64
// bytes, undefined. It ends in the reverse order, after the loop that used it last. Outside of a team, the caller's own.
class SharedMemory {
 public:
  explicit SharedMemory(size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void* data() const { return data_; }
  float* floats() const { return static_cast<float*>(data_); }

 private:
  void* data_;
  size_t below_;  // of the team's memory, what is in use below
  bool own_;
};

}  // namespace radlads

#endif  // RADLADS_BASE_PARALLEL_FOR_H_
