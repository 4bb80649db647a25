// What kernels over the rows of matrices share: packs of elements, and teams of threads.
//
// A matrix whose rows all begin at multiples of 16 bytes is read and written in packs of eight
// elements, any other in packs of one; kernels are templates over the size of a pack. A row is
// given to a team: a power of two of lanes of one warp, or a whole block.
#ifndef RADLADS_KERNELS_CUDA_ROWS_CUH_
#define RADLADS_KERNELS_CUDA_ROWS_CUH_

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "kernels/cuda/device.cuh"

namespace radlads::cuda {

// Consecutive elements of a row, as fp32.
template <int kSize>
struct Pack {
  float at[kSize];

  __device__ float& operator[](int i) { return at[i]; }
  __device__ float operator[](int i) const { return at[i]; }
};

__device__ __forceinline__ float ToFloat(float x) {
  return x;
}
// x as it would be read back after a store to a T.
template <typename T>
__device__ __forceinline__ float RoundAs(float x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return ToFloat(ToBf16(x));
  } else {
    return x;
  }
}

template <int kSize, typename T>
__device__ __forceinline__ Pack<kSize> Load(const T* from) {
  Pack<kSize> x;
  if constexpr (kSize == 1) {
    x[0] = ToFloat(*from);
  } else {
    constexpr int kWords = 16 / sizeof(T);
    for (int i = 0; i < kSize; i += kWords) {
      T elements[kWords];
      LoadGlobal16(elements, from + i);
      for (int j = 0; j < kWords; ++j) x[i + j] = ToFloat(elements[j]);
    }
  }
  return x;
}

template <int kSize, typename T>
__device__ __forceinline__ void Store(T* to, const Pack<kSize>& x) {
  const auto element = [](float value) {
    if constexpr (std::is_same_v<T, Bf16>) {
      return ToBf16(value);
    } else {
      return value;
    }
  };
  if constexpr (kSize == 1) {
    *to = element(x[0]);
  } else {
    constexpr int kWords = 16 / sizeof(T);
    for (int i = 0; i < kSize; i += kWords) {
      T elements[kWords];
      for (int j = 0; j < kWords; ++j) elements[j] = element(x[i + j]);
      StoreGlobal16(to + i, elements);
    }
  }
}

__device__ __forceinline__ float Sigmoid(float x) {
  return 1 / (1 + Exp(-x));
}

// The size of packs for rows of `width` elements in these arrays (null: absent). The arrays begin
// where they begin; rows follow each other without gaps.
inline int PackSize(int64_t width, std::initializer_list<const void*> arrays) {
  const bool aligned = std::all_of(arrays.begin(), arrays.end(), [](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % 16 == 0;
  });
  return aligned && width % 8 == 0 ? 8 : 1;
}

// Calls f(Bf16()) or f(float()); f(std::integral_constant<int, size of packs>()).
template <typename F>
auto WithElement(bool bf16, const F& f) {
  return bf16 ? f(Bf16()) : f(float());
}
template <typename F>
auto WithPack(int size, const F& f) {
  return size == 8 ? f(std::integral_constant<int, 8>()) : f(std::integral_constant<int, 1>());
}

// How many threads share a row, and how many are in a block.
struct Teams {
  int size, threads;

  __host__ __device__ int PerBlock() const { return threads / size; }
  // Blocks for one row per team.
  int64_t Blocks(int64_t rows) const { return (rows + PerBlock() - 1) / PerBlock(); }

  // This thread's team within its block, and its place within its team.
  __device__ int Index() const { return ThreadIndex() / size; }
  __device__ int Rank() const { return ThreadIndex() % size; }
};

// For rows of so many packs.
inline Teams TeamsFor(int64_t packs) {
  // A warp reads four packs per lane without a barrier.
  if (packs <= 128) {
    int size = 1;
    while (size < 32 && size < packs) size *= 2;
    return {size, 256};
  }
  const int64_t passes = (packs + 1023) / 1024;
  const int size = static_cast<int>(((packs + passes - 1) / passes + 31) / 32 * 32);
  return {size, size};
}

// Floats of shared memory that SumOverTeam wants.
inline constexpr int kTeamSumFloats = 32;

// The sum of x over a team, the same bits in all of its threads; for all threads of a block
// together.
__device__ __forceinline__ float SumOverTeam(float x, int size, float* place) {
  for (int mask = (size < 32 ? size : 32) / 2; mask > 0; mask /= 2) x += ShuffleXor(x, mask);
  if (size <= 32) return x;
  SyncThreads();
  if (Lane() == 0) StoreShared(place + Warp(), x);
  SyncThreads();
  float sum = 0;
  for (int i = 0; i < size / 32; ++i) sum += LoadShared(place + i);
  return sum;
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_CUDA_ROWS_CUH_
