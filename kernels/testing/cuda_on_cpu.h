// Runs the real source of a CUDA kernel on the CPU and checks what a GPU would not tell. For tests
// only.
//
// Every thread of a block is a fiber. A warp-wide function waits for all 32 lanes, a barrier for
// all threads of the block; blocks run one after the other. Matrix instructions have the fragment
// layouts of the PTX ISA and add in fp32. The process ends with a message that names kernel, block
// and thread when
//   - lanes of a warp meet at different warp-wide functions, or a thread returns while others wait
//   for it,
//   - shared memory is read that was never written, or whose asynchronous copy was not waited for,
//   - two threads touch the same shared memory, one of them writing, with no barrier between
//   (SyncWarp within a warp),
//   - shared memory is touched outside of the block's, or misaligned,
//   - 16 bytes of global memory are touched at once that are not aligned.
// Global memory is not watched: give kernels buffers of GuardedBuffer, which end at an inaccessible
// page.
//
// Not reproduced: timing, more than one block at a time, more registers or shared memory than the
// GPU has.
#ifndef RADLADS_KERNELS_TESTING_CUDA_ON_CPU_H_
#define RADLADS_KERNELS_TESTING_CUDA_ON_CPU_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <span>
#include <type_traits>

#include "kernels/cuda/types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace radlads::cuda {

// In which order threads run where the kernel leaves it open. Results must not depend on it.
enum class ThreadOrder { kAscending, kDescending, kShuffled };
void SetThreadOrder(ThreadOrder order);

namespace on_cpu {

struct Place {
  int64_t block_x, grid_x;
  int block_y, thread, threads;
};
const Place& Here();

// Waits until all lanes of the warp have come here with the same `operation`; the last one runs
// `run` over the operands of all, which live on their stacks.
using WarpOperation = void (*)(void* const operands[32]);
void MeetWarp(WarpOperation run, void* operand, const std::source_location& where);
void MeetBlock(const std::source_location& where);
// Orders a warp's accesses to shared memory; called by all lanes in MeetWarp's order.
void OrderWarp();

uint8_t* SharedBytes();
void ReadShared(const void* p, size_t size, const std::source_location& where);
void WriteShared(const void* p, size_t size, const std::source_location& where);
void CheckAligned16(const void* global, const std::source_location& where);
void StartCopy(void* to, const void* from, const std::source_location& where);
void CommitCopies();
void WaitCopies(int pending);

void Run(const char* kernel, int64_t grid_x, int grid_y, int threads, size_t shared_bytes,
         const std::function<void()>& body);

}  // namespace on_cpu

// A buffer whose end (or, with `front`, whose beginning) touches a page that faults: reading or
// writing outside ends the test. Filled with `fill`.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t bytes, uint8_t fill = 0xff, bool front = false);
  ~GuardedBuffer();
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  void* data() const { return data_; }
  template <typename T>
  std::span<T> As() const {
    return {static_cast<T*>(data_), bytes_ / sizeof(T)};
  }

 private:
  void* data_;
  void* pages_;
  size_t bytes_, mapped_;
};

// What kernels call; device.cuh says what each does.

using Where = std::source_location;

inline int ThreadIndex() {
  return on_cpu::Here().thread;
}
inline int BlockThreads() {
  return on_cpu::Here().threads;
}
inline int64_t BlockX() {
  return on_cpu::Here().block_x;
}
inline int BlockY() {
  return on_cpu::Here().block_y;
}
inline int64_t GridX() {
  return on_cpu::Here().grid_x;
}
inline int Lane() {
  return ThreadIndex() & 31;
}
inline int Warp() {
  return ThreadIndex() >> 5;
}
inline int UniformWarp() {
  return Warp();
}

inline void SyncThreads(const Where& where = Where::current()) {
  on_cpu::MeetBlock(where);
}
inline void SyncWarp(const Where& where = Where::current()) {
  on_cpu::MeetWarp([](void* const*) { on_cpu::OrderWarp(); }, nullptr, where);
}

namespace on_cpu {
struct Shuffled {
  float value, result;
  int from;
};
inline float Shuffle(float x, int from, const Where& where) {
  Shuffled mine = {x, 0, from};
  MeetWarp(
      [](void* const operands[32]) {
        for (int lane = 0; lane < 32; ++lane) {
          Shuffled& to = *static_cast<Shuffled*>(operands[lane]);
          to.result = static_cast<Shuffled*>(operands[to.from & 31])->value;
        }
      },
      &mine, where);
  return mine.result;
}
}  // namespace on_cpu

inline float ShuffleXor(float x, int mask, const Where& where = Where::current()) {
  return on_cpu::Shuffle(x, Lane() ^ mask, where);
}
inline float ShuffleFrom(float x, int lane, const Where& where = Where::current()) {
  return on_cpu::Shuffle(x, lane, where);
}
inline uint32_t Ballot(bool x, const Where& where = Where::current()) {
  uint64_t mine = x;
  on_cpu::MeetWarp(
      [](void* const operands[32]) {
        uint64_t all = 0;
        for (int lane = 0; lane < 32; ++lane)
          all |= *static_cast<uint64_t*>(operands[lane]) << lane;
        for (int lane = 0; lane < 32; ++lane) *static_cast<uint64_t*>(operands[lane]) = all;
      },
      &mine, where);
  return static_cast<uint32_t>(mine);
}

inline float Exp2(float x) {
  const float y = std::exp2(x);
  return std::fpclassify(y) == FP_SUBNORMAL ? 0.0f : y;
}
inline float Reciprocal(float x) {
  const float y = 1 / x;
  return std::fpclassify(y) == FP_SUBNORMAL ? 0.0f : y;
}
inline float Exp(float x) {
  return std::exp(x);
}
inline float Log(float x) {
  return std::log(x);
}
inline float Log1p(float x) {
  return std::log1p(x);
}
inline float Sqrt(float x) {
  return std::sqrt(x);
}
inline float InverseSqrt(float x) {
  return 1 / std::sqrt(x);
}
inline float Max(float x, float y) {
  return std::fmax(x, y);
}
inline float ToFloat(Bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}
inline Bf16 ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
inline uint32_t PackBf16(float low, float high) {
  return ToBf16(low).bits | static_cast<uint32_t>(ToBf16(high).bits) << 16;
}
inline int PopulationCount(uint32_t x) {
  return std::popcount(x);
}
inline int HighestBit(uint32_t x) {
  return 31 - std::countl_zero(x);
}

namespace on_cpu {
struct MmaOperand {
  float (&c)[4];
  const uint32_t (&a)[4];
  uint32_t b[2];
};
inline float Half(uint32_t pair, int i) {
  return ToFloat({static_cast<uint16_t>(pair >> (16 * i))});
}
inline void MmaWarp(void* const operands[32]) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<MmaOperand*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 2; ++i) {
      a[g][2 * t + i] = Half(own.a[0], i);
      a[g + 8][2 * t + i] = Half(own.a[1], i);
      a[g][2 * t + 8 + i] = Half(own.a[2], i);
      a[g + 8][2 * t + 8 + i] = Half(own.a[3], i);
      b[2 * t + i][g] = Half(own.b[0], i);
      b[2 * t + 8 + i][g] = Half(own.b[1], i);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<MmaOperand*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i / 2 * 8, column = 2 * t + i % 2;
      float sum = own.c[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      own.c[i] = sum;
    }
  }
}
struct MatrixOperand {
  uint32_t (&x)[4];
  const Bf16* row;
};
template <bool kTransposed>
void LoadMatricesWarp(void* const operands[32]) {
  for (int lane = 0; lane < 32; ++lane) {
    auto& own = *static_cast<MatrixOperand*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const auto row = [&](int r) { return static_cast<MatrixOperand*>(operands[8 * i + r])->row; };
      const Bf16 low = kTransposed ? row(2 * t)[g] : row(g)[2 * t];
      const Bf16 high = kTransposed ? row(2 * t + 1)[g] : row(g)[2 * t + 1];
      own.x[i] = low.bits | static_cast<uint32_t>(high.bits) << 16;
    }
  }
}
}  // namespace on_cpu

inline void Mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                const Where& where = Where::current()) {
  on_cpu::MmaOperand mine = {c, a, {b0, b1}};
  on_cpu::MeetWarp(on_cpu::MmaWarp, &mine, where);
}
inline void LoadMatrices(uint32_t (&x)[4], const Bf16* row, const Where& where = Where::current()) {
  on_cpu::ReadShared(row, 16, where);
  on_cpu::MatrixOperand mine = {x, row};
  on_cpu::MeetWarp(on_cpu::LoadMatricesWarp<false>, &mine, where);
}
inline void LoadMatricesTransposed(uint32_t (&x)[4], const Bf16* row,
                                   const Where& where = Where::current()) {
  on_cpu::ReadShared(row, 16, where);
  on_cpu::MatrixOperand mine = {x, row};
  on_cpu::MeetWarp(on_cpu::LoadMatricesWarp<true>, &mine, where);
}

inline void CopyAsync16(void* to, const void* from, bool valid,
                        const Where& where = Where::current()) {
  on_cpu::StartCopy(to, valid ? from : nullptr, where);
}
inline void CommitCopies() {
  on_cpu::CommitCopies();
}
template <int kPending>
void WaitCopies() {
  on_cpu::WaitCopies(kPending);
}

template <typename T>
void LoadGlobal16(T (&x)[16 / sizeof(T)], const T* from, const Where& where = Where::current()) {
  on_cpu::CheckAligned16(from, where);
  std::memcpy(x, from, 16);
}
template <typename T>
void StoreGlobal16(T* to, const T (&x)[16 / sizeof(T)], const Where& where = Where::current()) {
  on_cpu::CheckAligned16(to, where);
  std::memcpy(to, x, 16);
}

template <typename T>
T LoadShared(const T* p, const Where& where = Where::current()) {
  on_cpu::ReadShared(p, sizeof(T), where);
  return *p;
}
template <typename T>
void StoreShared(T* p, std::type_identity_t<T> x, const Where& where = Where::current()) {
  on_cpu::WriteShared(p, sizeof(T), where);
  *p = x;
}
inline uint8_t* SharedMemory() {
  return on_cpu::SharedBytes();
}

template <typename Parameters>
Error Launch(void (*kernel)(Parameters), int64_t grid_x, int grid_y, int threads,
             size_t shared_bytes, Stream, const Parameters& parameters,
             const Where& where = Where::current()) {
  on_cpu::Run(where.function_name(), grid_x, grid_y, threads, shared_bytes,
              [&] { kernel(parameters); });
  return 0;
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_TESTING_CUDA_ON_CPU_H_
