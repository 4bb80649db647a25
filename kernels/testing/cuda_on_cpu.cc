// Fibers jump between stacks, which glibc's fortified longjmp takes for an error.
#undef _FORTIFY_SOURCE

#include "kernels/testing/cuda_on_cpu.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace radlads::cuda {
namespace on_cpu {
namespace {

constexpr size_t kStackBytes = 256 * 1024;
constexpr int kNobody = -1, kSeveral = -2;

// Who touched a pair of bytes of shared memory, and when: barriers of the block and of the warp
// passed before.
struct Stamp {
  int thread = kNobody;  // kSeveral: several lanes of the warp
  int warp = kNobody;    // kSeveral: several warps
  uint32_t block_epoch = 0, warp_epoch = 0;
};

struct Cell {
  Stamp writer, reader;
  bool written = false;
  bool copying = false;
};

struct Copy {
  uint8_t* to;
  const uint8_t* from;  // null: zeros
  int group;
  Where where;
};

enum class Wait { kNothing, kWarp, kBlock, kFinished };

struct Fiber {
  ucontext_t start;
  jmp_buf resume;
  bool started = false;
  Wait wait = Wait::kNothing;
  std::vector<Copy> copies;
  int groups = 0;
};

struct WarpState {
  void* operands[32];
  int arrived = 0;
  WarpOperation operation = nullptr;
  Where where;
  uint32_t epoch = 0;
};

struct Block {
  const char* kernel;
  const std::function<void()>* body;
  Place here;
  std::vector<Fiber> fibers;
  std::vector<WarpState> warps;
  int at_barrier = 0;
  Where barrier;
  uint32_t epoch = 1;
  uint8_t* shared = nullptr;
  std::vector<Cell> cells;
  jmp_buf scheduler;
};

Block* block = nullptr;
ThreadOrder thread_order = ThreadOrder::kAscending;

[[noreturn]] void Fail(const Where& where, const char* what, int other = kNobody) {
  const Place& here = block->here;
  std::fprintf(stderr, "%s:%u: %s, in %s, block (%lld, %d), thread %d", where.file_name(),
               where.line(), what, block->kernel, static_cast<long long>(here.block_x),
               here.block_y, here.thread);
  if (other == kSeveral) std::fprintf(stderr, "; the others are several threads");
  if (other >= 0) std::fprintf(stderr, "; the other is thread %d", other);
  std::fprintf(stderr, "\n");
  std::abort();
}

Fiber& Own() {
  return block->fibers[block->here.thread];
}
WarpState& OwnWarp() {
  return block->warps[block->here.thread / 32];
}

// Back to the scheduler until it finds the fiber ready again.
void Yield(Wait wait) {
  Fiber& own = Own();
  own.wait = wait;
  if (_setjmp(own.resume) == 0) _longjmp(block->scheduler, 1);
}

void Entry() {
  (*block->body)();
  Fiber& own = Own();
  if (!own.copies.empty())
    Fail(own.copies.back().where, "a thread returns before its asynchronous copies have ended");
  own.wait = Wait::kFinished;
  _longjmp(block->scheduler, 1);
}

void Resume(int thread) {
  block->here.thread = thread;
  if (_setjmp(block->scheduler) != 0) return;
  Fiber& fiber = block->fibers[thread];
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

std::vector<int> Order(int threads) {
  std::vector<int> order(threads);
  for (int i = 0; i < threads; ++i)
    order[i] = thread_order == ThreadOrder::kDescending ? threads - 1 - i : i;
  if (thread_order == ThreadOrder::kShuffled)
    std::shuffle(order.begin(), order.end(), std::mt19937(threads));
  return order;
}

// Whether what `stamp` says happened before what the running thread does now.
bool HappenedBefore(const Stamp& stamp) {
  if (stamp.warp == kNobody || stamp.block_epoch != block->epoch) return true;
  if (stamp.warp != block->here.thread / 32) return false;
  return stamp.thread == block->here.thread || stamp.warp_epoch != OwnWarp().epoch;
}

Stamp Now() {
  return {block->here.thread, block->here.thread / 32, block->epoch, OwnWarp().epoch};
}

std::span<Cell> Cells(const void* p, size_t size, const Where& where) {
  const auto* at = static_cast<const uint8_t*>(p);
  if (at < block->shared || at + size > block->shared + 2 * block->cells.size())
    Fail(where, "an access outside of the block's shared memory");
  if (reinterpret_cast<uintptr_t>(at) % size != 0)
    Fail(where, "a misaligned access to shared memory");
  return std::span(block->cells).subspan((at - block->shared) / 2, size / 2);
}

void CheckWrite(std::span<Cell> cells, const Where& where) {
  for (const Cell& cell : cells) {
    if (cell.copying)
      Fail(where, "a write where an asynchronous copy is under way", cell.writer.thread);
    if (!HappenedBefore(cell.writer))
      Fail(where, "two threads write without a barrier between", cell.writer.thread);
    if (!HappenedBefore(cell.reader))
      Fail(where, "a write after another thread's read without a barrier between",
           cell.reader.thread);
  }
}

}  // namespace

const Place& Here() {
  return block->here;
}

void MeetWarp(WarpOperation run, void* operand, const Where& where) {
  WarpState& warp = OwnWarp();
  if (warp.arrived == 0) {
    warp.operation = run;
    warp.where = where;
  } else if (warp.operation != run || warp.where.line() != where.line()) {
    Fail(where, "the lanes of a warp meet at different warp-wide functions");
  }
  warp.operands[block->here.thread % 32] = operand;
  if (++warp.arrived < 32) {
    Yield(Wait::kWarp);
    return;
  }
  run(warp.operands);
  warp.arrived = 0;
  const int first = block->here.thread / 32 * 32;
  for (int lane = 0; lane < 32; ++lane) block->fibers[first + lane].wait = Wait::kNothing;
}

void OrderWarp() {
  ++OwnWarp().epoch;
}

void MeetBlock(const Where& where) {
  if (block->at_barrier == 0) {
    block->barrier = where;
  } else if (block->barrier.line() != where.line()) {
    Fail(where, "the threads of a block meet at different barriers");
  }
  if (++block->at_barrier < block->here.threads) {
    Yield(Wait::kBlock);
    return;
  }
  block->at_barrier = 0;
  ++block->epoch;
  for (Fiber& fiber : block->fibers) fiber.wait = Wait::kNothing;
}

uint8_t* SharedBytes() {
  return block->shared;
}

void ReadShared(const void* p, size_t size, const Where& where) {
  for (Cell& cell : Cells(p, size, where)) {
    if (cell.copying)
      Fail(where, "a read of shared memory before its asynchronous copy was waited for");
    if (!cell.written) Fail(where, "a read of shared memory that was never written");
    if (!HappenedBefore(cell.writer))
      Fail(where, "a read after another thread's write without a barrier between",
           cell.writer.thread);
    const Stamp before = HappenedBefore(cell.reader) ? Stamp() : cell.reader, now = Now();
    cell.reader = now;
    if (before.warp == kNobody) continue;
    cell.reader.thread = kSeveral;
    if (before.warp != now.warp) cell.reader.warp = kSeveral;
  }
}

void WriteShared(const void* p, size_t size, const Where& where) {
  const std::span<Cell> cells = Cells(p, size, where);
  CheckWrite(cells, where);
  for (Cell& cell : cells) {
    cell.writer = Now();
    cell.written = true;
  }
}

void CheckAligned16(const void* global, const Where& where) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0)
    Fail(where, "a misaligned access to 16 bytes of global memory");
}

void StartCopy(void* to, const void* from, const Where& where) {
  CheckAligned16(from, where);
  const std::span<Cell> cells = Cells(to, 16, where);
  CheckWrite(cells, where);
  for (Cell& cell : cells) {
    cell.copying = true;
    cell.writer = Now();
  }
  // Read at once, so that an address outside of the source faults where the kernel gave it.
  if (from != nullptr) (void)*static_cast<const volatile uint8_t*>(from);
  Own().copies.push_back(
      {static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), Own().groups, where});
}

void CommitCopies() {
  ++Own().groups;
}

void WaitCopies(int pending) {
  Fiber& own = Own();
  const auto keep = [&](const Copy& copy) { return copy.group >= own.groups - pending; };
  for (const Copy& copy : own.copies) {
    if (keep(copy)) continue;
    copy.from == nullptr ? std::memset(copy.to, 0, 16) : std::memcpy(copy.to, copy.from, 16);
    for (Cell& cell : Cells(copy.to, 16, copy.where)) {
      cell.copying = false;
      cell.written = true;
      cell.writer = Now();
    }
  }
  std::erase_if(own.copies, [&](const Copy& copy) { return !keep(copy); });
}

void Run(const char* kernel, int64_t grid_x, int grid_y, int threads, size_t shared_bytes,
         const std::function<void()>& body) {
  if (threads <= 0 || threads % 32 != 0 || threads > 1024) {
    std::fprintf(stderr, "%s: %d threads in a block; a multiple of 32 up to 1024 was expected\n",
                 kernel, threads);
    std::abort();
  }
  const auto stacks = std::make_unique_for_overwrite<uint8_t[]>(kStackBytes * threads);
  const std::unique_ptr<uint8_t, void (*)(void*)> shared(
      static_cast<uint8_t*>(std::aligned_alloc(128, (shared_bytes + 127) / 128 * 128 + 128)),
      std::free);
  const std::vector<int> order = Order(threads);
  const int64_t blocks = grid_x * grid_y;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t index = thread_order == ThreadOrder::kAscending ? i : blocks - 1 - i;
    Block state;
    state.kernel = kernel;
    state.body = &body;
    state.here = {index % grid_x, grid_x, static_cast<int>(index / grid_x), 0, threads};
    state.fibers.resize(threads);
    state.warps.resize(threads / 32);
    state.shared = shared.get();
    state.cells.resize(shared_bytes / 2);
    std::memset(shared.get(), 0xff, shared_bytes);
    block = &state;
    for (int thread = 0; thread < threads; ++thread) {
      ucontext_t& start = state.fibers[thread].start;
      getcontext(&start);
      start.uc_stack = {
          .ss_sp = stacks.get() + kStackBytes * thread, .ss_flags = 0, .ss_size = kStackBytes};
      start.uc_link = nullptr;
      makecontext(&start, Entry, 0);
    }
    int finished = 0;
    while (finished < threads) {
      bool progress = false;
      for (const int thread : order) {
        // A warp that meets goes on at once: the fewer the warps under way, the warmer the cache.
        if (state.fibers[thread].wait != Wait::kNothing) continue;
        Resume(thread);
        progress = true;
        finished += state.fibers[thread].wait == Wait::kFinished;
      }
      if (!progress) {
        for (int thread = 0; thread < threads; ++thread) {
          const Wait wait = state.fibers[thread].wait;
          if (wait == Wait::kNothing || wait == Wait::kFinished) continue;
          state.here.thread = thread;
          Fail(wait == Wait::kBlock ? state.barrier : state.warps[thread / 32].where,
               "a thread waits for others that have returned or wait elsewhere");
        }
      }
    }
    block = nullptr;
  }
}

}  // namespace on_cpu

void SetThreadOrder(ThreadOrder order) {
  on_cpu::thread_order = order;
}

GuardedBuffer::GuardedBuffer(size_t bytes, uint8_t fill, bool front) : bytes_(bytes) {
  const size_t page = sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
  mapped_ = body + 2 * page;
  pages_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages_ == MAP_FAILED) {
    std::perror("GuardedBuffer: mmap");
    std::abort();
  }
  auto* inner = static_cast<uint8_t*>(pages_) + page;
  if (body != 0 && mprotect(inner, body, PROT_READ | PROT_WRITE) != 0) {
    std::perror("GuardedBuffer: mprotect");
    std::abort();
  }
  data_ = front ? inner : inner + body - bytes;
  if (bytes != 0) std::memset(data_, fill, bytes);
}

GuardedBuffer::~GuardedBuffer() {
  munmap(pages_, mapped_);
}

}  // namespace radlads::cuda
