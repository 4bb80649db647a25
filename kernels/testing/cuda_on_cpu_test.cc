// The checks of cuda_on_cpu.h find what they say, and right kernels pass.
#include "kernels/testing/cuda_on_cpu.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/tile.cuh"

namespace radlads::cuda {
namespace {

using Matrix = Tile<Bf16, 16, 16>;

struct Pointers {
  float* out;
  const float* in;
};

float* SharedFloats() {
  return reinterpret_cast<float*>(SharedMemory());
}

// Sums 64 numbers: through shuffles in a warp, through shared memory between the two.
void SumKernel(Pointers p) {
  float sum = p.in[ThreadIndex()];
  for (int mask = 1; mask < 32; mask *= 2) sum += ShuffleXor(sum, mask);
  if (Lane() == 0) StoreShared(SharedFloats() + Warp(), sum);
  SyncThreads();
  if (ThreadIndex() == 0) *p.out = LoadShared(SharedFloats()) + LoadShared(SharedFloats() + 1);
}

TEST(CudaOnCpu, ShufflesAndBarriers) {
  std::vector<float> in(64);
  std::iota(in.begin(), in.end(), 1.0f);
  for (const ThreadOrder order :
       {ThreadOrder::kAscending, ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    SetThreadOrder(order);
    float out = 0;
    Launch(SumKernel, 1, 1, 64, 8, nullptr, Pointers{&out, in.data()});
    EXPECT_EQ(out, 64 * 65 / 2);
  }
  SetThreadOrder(ThreadOrder::kAscending);
}

void GridKernel(Pointers p) {
  p.out[(BlockY() * GridX() + BlockX()) * BlockThreads() + ThreadIndex()] += 1;
}

TEST(CudaOnCpu, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<float> out(3 * 2 * 96);
  Launch(GridKernel, 3, 2, 96, 0, nullptr, Pointers{out.data(), nullptr});
  EXPECT_EQ(out, std::vector<float>(out.size(), 1));
}

// out = in in^T + in in, in [16,16]: both ways of reading each operand, both halves of the result.
void ProductKernel(Pointers p) {
  const Matrix tile = {reinterpret_cast<Bf16*>(SharedMemory())};
  for (int i = Lane(); i < 256; i += 32) tile.Store(i / 16, i % 16, ToBf16(p.in[i]));
  SyncWarp();
  uint32_t a[4], b[4];
  float c[2][4] = {};
  LoadA(a, tile, 0, 0);
  LoadBFromTransposed(b, tile, 0, 0);
  Mma16(c, a, b);
  LoadB(b, tile, 0, 0);
  Mma16(c, a, b);
  for (int e = 0; e < 8; ++e) {
    p.out[(Lane() / 4 + e % 4 / 2 * 8) * 16 + e / 4 * 8 + Lane() % 4 * 2 + e % 2] = c[e / 4][e % 4];
  }
}
// out = in^T in.
void TransposedProductKernel(Pointers p) {
  const Matrix tile = {reinterpret_cast<Bf16*>(SharedMemory())};
  for (int i = Lane(); i < 256; i += 32) tile.Store(i / 16, i % 16, ToBf16(p.in[i]));
  SyncWarp();
  uint32_t a[4], b[4];
  float c[2][4] = {};
  LoadAFromTransposed(a, tile, 0, 0);
  LoadB(b, tile, 0, 0);
  Mma16(c, a, b);
  for (int e = 0; e < 8; ++e) {
    p.out[(Lane() / 4 + e % 4 / 2 * 8) * 16 + e / 4 * 8 + Lane() % 4 * 2 + e % 2] = c[e / 4][e % 4];
  }
}

TEST(CudaOnCpu, MatrixFragments) {
  std::vector<float> in(256), out(256), transposed(256);
  std::mt19937 generator(1);
  for (float& x : in) x = static_cast<int>(generator() % 9) - 4;
  Launch(ProductKernel, 1, 1, 32, Matrix::kBytes, nullptr, Pointers{out.data(), in.data()});
  Launch(TransposedProductKernel, 1, 1, 32, Matrix::kBytes, nullptr,
         Pointers{transposed.data(), in.data()});
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      float both = 0, across = 0;
      for (int k = 0; k < 16; ++k) {
        both += in[i * 16 + k] * (in[j * 16 + k] + in[k * 16 + j]);
        across += in[k * 16 + i] * in[k * 16 + j];
      }
      EXPECT_EQ(out[i * 16 + j], both) << i << ", " << j;
      EXPECT_EQ(transposed[i * 16 + j], across) << i << ", " << j;
    }
  }
}

TEST(CudaOnCpu, RoundsToNearestEven) {
  EXPECT_EQ(ToFloat(ToBf16(1.00390625f)), 1.0f);       // halfway, down to even
  EXPECT_EQ(ToFloat(ToBf16(1.01171875f)), 1.015625f);  // halfway, up to even
  EXPECT_EQ(ToFloat(ToBf16(-3.0f)), -3.0f);
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(NAN))));
  EXPECT_TRUE(std::isinf(ToFloat(ToBf16(3.4e38f))));
}

void RunOne(void (*kernel)(Pointers), int threads = 64) {
  alignas(16) static float numbers[256] = {};
  Launch(kernel, 1, 1, threads, 1024, nullptr, Pointers{numbers, numbers});
}

TEST(CudaOnCpuDeathTest, MissingBarrierBetweenWarps) {
  EXPECT_DEATH(RunOne([](Pointers p) {
                 StoreShared(SharedFloats() + ThreadIndex(), 1.0f);
                 p.out[0] = LoadShared(SharedFloats() + (ThreadIndex() ^ 32));
               }),
               "never written|without a barrier");
}

TEST(CudaOnCpuDeathTest, MissingBarrierWithinAWarp) {
  EXPECT_DEATH(RunOne([](Pointers p) {
                 StoreShared(SharedFloats() + ThreadIndex(), 1.0f);
                 SyncWarp();
                 p.out[0] = LoadShared(SharedFloats() + (ThreadIndex() ^ 1));
                 StoreShared(SharedFloats() + ThreadIndex(), 2.0f);
               }),
               "without a barrier");
}

TEST(CudaOnCpuDeathTest, UnwrittenSharedMemory) {
  EXPECT_DEATH(RunOne([](Pointers p) { p.out[0] = LoadShared(SharedFloats()); }), "never written");
}

TEST(CudaOnCpuDeathTest, OutsideOfSharedMemory) {
  EXPECT_DEATH(RunOne([](Pointers) { StoreShared(SharedFloats() + 256, 1.0f); }),
               "outside of the block's");
}

TEST(CudaOnCpuDeathTest, CopyThatIsNotWaitedFor) {
  EXPECT_DEATH(RunOne([](Pointers p) {
                 if (ThreadIndex() == 0) CopyAsync16(SharedFloats(), p.in, true);
                 CommitCopies();
                 WaitCopies<1>();
                 if (ThreadIndex() == 0) p.out[0] = LoadShared(SharedFloats());
               }),
               "before its asynchronous copy was waited for");
}

TEST(CudaOnCpuDeathTest, MisalignedGlobalMemory) {
  EXPECT_DEATH(RunOne([](Pointers p) {
                 float x[4];
                 LoadGlobal16(x, p.in + 1);
               }),
               "misaligned access to 16 bytes of global");
}

TEST(CudaOnCpuDeathTest, DivergentWarp) {
  EXPECT_DEATH(RunOne([](Pointers p) {
                 if (Lane() < 16) {
                   p.out[0] = ShuffleXor(1, 1);
                 } else {
                   SyncWarp();
                 }
               }),
               "different warp-wide functions");
}

TEST(CudaOnCpuDeathTest, BarrierThatNotAllReach) {
  EXPECT_DEATH(RunOne([](Pointers) {
                 if (Warp() == 0) SyncThreads();
               }),
               "waits for others");
}

TEST(CudaOnCpuDeathTest, GuardedBufferEndsAtItsLastElement) {
  const GuardedBuffer buffer(64);
  EXPECT_DEATH(*const_cast<volatile float*>(buffer.As<float>().data() + 16) = 1, "");
  const GuardedBuffer front(64, 0, true);
  EXPECT_DEATH(*const_cast<volatile float*>(front.As<float>().data() - 1) = 1, "");
}

}  // namespace
}  // namespace radlads::cuda
