#include "base/team.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "base/parallel_for.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace radlads {
namespace {

// Loops that meet are microseconds long. A thread that waits longer has lost its core to somebody, and lets others run.
constexpr int kSpins = 4096;
constexpr size_t kKeptBytes = size_t{64} << 20;

size_t RoundUp(size_t bytes) { return (bytes + 63) / 64 * 64; }

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

TeamMember& ThisMember() {
  static thread_local TeamMember member;
  return member;
}

Team& Team::OfThread() {
  static thread_local Team team;
  return team;
}

void Team::Meet(int threads) {
  if (threads == 1) return;
  const uint32_t meeting = meetings_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
    arrived_.store(0, std::memory_order_relaxed);
    meetings_.store(meeting + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; meetings_.load(std::memory_order_acquire) == meeting; ++spins) {
    spins < kSpins ? Pause() : static_cast<void>(sched_yield());
  }
}

void Team::Free::operator()(uint8_t* memory) const { std::free(memory); }

Team::Memory Team::Allocate(size_t bytes) {
  Memory memory(static_cast<uint8_t*>(std::aligned_alloc(64, RoundUp(bytes))));
  if (memory == nullptr && bytes > 0) throw std::bad_alloc();
  return memory;
}

void Team::AddMemory(size_t bytes) {
  added_.push_back(Allocate(bytes));
  added_size_ += RoundUp(bytes);
}

void Team::Settle() {
  const size_t needed = size_ + added_size_;
  if (added_.empty() && needed <= kKeptBytes) return;
  added_.clear();
  added_size_ = 0;
  memory_.reset();
  size_ = 0;
  if (needed > kKeptBytes) return;
  memory_ = Allocate(needed);
  size_ = needed;
}

void RunTeam(const std::function<void()>& body) {
  if (omp_in_parallel()) return body();
  Team& team = Team::OfThread();
  team.ResetItems(0);
#pragma omp parallel num_threads(Threads())
  {
    TeamMember& member = ThisMember();
    member = {.team = &team, .me = omp_get_thread_num(), .threads = omp_get_num_threads()};
    body();
    member = {};
  }
  team.Settle();
}

bool InTeam() {
  const TeamMember& member = ThisMember();
  return member.team != nullptr && !member.in_loop;
}

void RunOnce(const std::function<void()>& body) {
  ParallelForDynamic(1, [&](int64_t) { body(); });
}

SharedMemory::SharedMemory(size_t bytes) : own_(!InTeam()) {
  bytes = std::max<size_t>(RoundUp(bytes), 64);
  if (own_) {
    data_ = std::aligned_alloc(64, bytes);
    if (data_ == nullptr) throw std::bad_alloc();
    return;
  }
  TeamMember& member = ThisMember();
  below_ = member.used;
  data_ = member.team->At(below_, bytes);
  if (data_ != nullptr) {
    member.used += bytes;
    return;
  }
  // Nobody may look at what was added before all others have seen it.
  RunOnce([&] { member.team->AddMemory(bytes); });
  data_ = member.team->added();
  member.team->Meet(member.threads);
}

SharedMemory::~SharedMemory() {
  if (own_) {
    std::free(data_);
  } else {
    ThisMember().used = below_;
  }
}

}  // namespace radlads
