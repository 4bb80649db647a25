#include "base/parallel_for.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/team.h"

namespace radlads {
namespace {

// As they were at the first call: once threads are pinned, the mask of the calling thread is a single core.
const std::vector<int>& CoresOfProcess() {
  static const std::vector<int> cores = [] {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    std::vector<int> found;
    if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return found;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &mask)) found.push_back(core);
    }
    return found;
  }();
  return cores;
}

// The end of a loop of a team.
void EndLoop(TeamMember& member) {
  member.in_loop = false;
  // Nobody is in the loop before this one any more, and nobody yet in the one after.
  if (member.me == 0) member.team->ResetItems(member.loops + 1);
  member.team->Meet(member.threads);
  ++member.loops;
}

}  // namespace

void ParallelFor(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  if (TeamMember& member = ThisMember(); member.team != nullptr && !member.in_loop) {
    const int64_t first = count * member.me / member.threads, last = count * (member.me + 1) / member.threads;
    member.in_loop = true;
    if (first < last) body(first, last);
    return EndLoop(member);
  }
  const int64_t wanted = std::min<int64_t>(Threads(), (count + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1));
  if (wanted <= 1 || omp_in_parallel()) {
    body(0, count);
    return;
  }
#pragma omp parallel num_threads(static_cast<int>(wanted))
  {
    const int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
    const int64_t first = count * me / threads, last = count * (me + 1) / threads;
    if (first < last) body(first, last);
  }
}

void ParallelForDynamic(int64_t count, const std::function<void(int64_t)>& body) {
  if (count <= 0) return;
  if (TeamMember& member = ThisMember(); member.team != nullptr && !member.in_loop) {
    member.in_loop = true;
    for (int64_t item = member.team->NextItem(member.loops); item < count; item = member.team->NextItem(member.loops)) {
      body(item);
    }
    return EndLoop(member);
  }
  if (Threads() <= 1 || count == 1 || omp_in_parallel()) {
    for (int64_t item = 0; item < count; ++item) body(item);
    return;
  }
  std::atomic<int64_t> next{0};
#pragma omp parallel num_threads(static_cast<int>(std::min<int64_t>(Threads(), count)))
  for (int64_t item = next++; item < count; item = next++) body(item);
}

void SetThreads(int threads) {
  if (threads <= 0) threads = std::max<int>(1, CoresOfProcess().size());
  omp_set_num_threads(threads);
}

int Threads() {
  const TeamMember& member = ThisMember();
  return member.team != nullptr ? member.threads : omp_get_max_threads();
}

int PinThreads() {
  const std::vector<int>& cores = CoresOfProcess();
  const int threads = Threads();
  // One thread alone is better left to the kernel, which can move it away from a core that others use.
  if (threads <= 1 || threads > static_cast<int>(cores.size())) return 0;
  std::atomic<int> pinned{0};
#pragma omp parallel num_threads(threads)
  {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cores[omp_get_thread_num()], &mask);
    if (sched_setaffinity(0, sizeof(mask), &mask) == 0) ++pinned;
  }
  return pinned;
}

}  // namespace radlads
