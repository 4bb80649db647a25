// The threads of RunTeam (parallel_for.h), for the loops that they share.
#ifndef RADLADS_BASE_TEAM_H_
#define RADLADS_BASE_TEAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace radlads {

class Team {
 public:
  // Of the calling thread, kept with its memory for its next team.
  static Team& OfThread();

  // Returns when all `threads` of the team have called it.
  void Meet(int threads);
  // Items of a dynamic loop: 0, 1, ... Each loop of the team, from 0, has a `number`, which its threads count up.
  int64_t NextItem(uint64_t number) { return items_[number % 3].fetch_add(1, std::memory_order_relaxed); }
  // By one thread between the ends of the loops `number` - 2 and `number` - 1; for 0, before the team begins.
  void ResetItems(uint64_t number) { items_[number % 3].store(0, std::memory_order_relaxed); }

  // Place for `bytes` above the first `used`; null when the memory is too small: then AddMemory, by one thread.
  void* At(size_t used, size_t bytes) { return used + bytes <= size_ ? memory_.get() + used : nullptr; }
  void AddMemory(size_t bytes);
  void* added() { return added_.back().get(); }
  // After the team's end: the next one finds what this one has needed, unless that is a lot.
  void Settle();

 private:
  struct Free {
    void operator()(uint8_t* memory) const;
  };
  using Memory = std::unique_ptr<uint8_t, Free>;
  static Memory Allocate(size_t bytes);

  // Each in a cache line of its own.
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> meetings_{0};
  alignas(64) std::atomic<int64_t> items_[3] = {};
  Memory memory_;
  size_t size_ = 0, added_size_ = 0;
  std::vector<Memory> added_;
};

// What a thread knows of the team that it is in.
struct TeamMember {
  Team* team = nullptr;
  int me = 0, threads = 1;
  bool in_loop = false;
  uint64_t loops = 0;
  size_t used = 0;  // bytes of the team's memory
};
TeamMember& ThisMember();

}  // namespace radlads

#endif  // RADLADS_BASE_TEAM_H_
