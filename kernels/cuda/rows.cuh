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

// Consecutive elements as they stand in memory.
template <int kSize, typename T>
struct Elements {
  T at[kSize];

  __device__ static Elements From(const T* from) {
    Elements x;
    if constexpr (kSize == 1) {
      x.at[0] = *from;
    } else {
      constexpr int kWords = 16 / sizeof(T);
      for (int i = 0; i < kSize; i += kWords) {
        T words[kWords];
        LoadGlobal16(words, from + i);
        for (int j = 0; j < kWords; ++j) x.at[i + j] = words[j];
      }
    }
    return x;
  }
  __device__ Pack<kSize> Values() const {
    Pack<kSize> x;
    for (int i = 0; i < kSize; ++i) x[i] = ToFloat(at[i]);
    return x;
  }
};

template <int kSize, typename T>
__device__ __forceinline__ Pack<kSize> Load(const T* from) {
  return Elements<kSize, T>::From(from).Values();
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

inline constexpr float kLog2E = 1.44269504088896341f;

__device__ __forceinline__ float Sigmoid(float x) {
  return Reciprocal(1 + Exp2(-kLog2E * x));
}

// The size of packs for rows of `width` elements in these arrays (null: absent). The arrays begin
// where they begin; rows follow each other without gaps.
inline int PackSize(int64_t width, std::initializer_list<const void*> arrays) {
  const bool aligned =
      std::all_of(arrays.begin(), arrays.end(), [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; });
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

// For rows of so many packs: part of a warp with up to `lane_packs` for a lane, or else a block of up
// to `max_threads` (256 or more).
inline Teams TeamsFor(int64_t packs, int max_threads = 1024, int lane_packs = 4) {
  if (packs <= 32 * lane_packs) {
    int size = 1;
    while (size < 32 && size < packs) size *= 2;
    return {size, 256};
  }
  const int64_t passes = (packs + max_threads - 1) / max_threads;
  const int size = static_cast<int>(((packs + passes - 1) / passes + 31) / 32 * 32);
  return {size, size};
}

// A team member's packs of a row, at `begin` and further on; the first, which for most shapes is
// the only one, is read from memory once.
template <int kPack, typename T>
class RowPacks {
 public:
  __device__ RowPacks(const T* row, int begin, bool has_first) : row_(row), begin_(begin), first_() {
    if (has_first) first_ = Elements<kPack, T>::From(row + begin);
  }
  __device__ Pack<kPack> operator[](int i) const { return i == begin_ ? first_.Values() : Load<kPack>(row_ + i); }

 private:
  const T* row_;
  int begin_;
  Elements<kPack, T> first_;
};

// Floats of shared memory that sums and maxima over teams want.
inline constexpr int kTeamSumFloats = 32;

// x of all threads of a team joined by `join`, the same bits in each of them; for all threads of a block together.
template <typename F>
__device__ __forceinline__ float JoinOverTeam(float x, int size, float* place, const F& join) {
  for (int mask = (size < 32 ? size : 32) / 2; mask > 0; mask /= 2) x = join(x, ShuffleXor(x, mask));
  if (size <= 32) return x;
  SyncThreads();
  if (Lane() == 0) StoreShared(place + Warp(), x);
  SyncThreads();
  x = LoadShared(place);
  for (int i = 1; i < size / 32; ++i) x = join(x, LoadShared(place + i));
  return x;
}
__device__ __forceinline__ float SumOverTeam(float x, int size, float* place) {
  return JoinOverTeam(x, size, place, [](float a, float b) { return a + b; });
}
// Of numbers and NaN, the numbers.
__device__ __forceinline__ float MaxOverTeam(float x, int size, float* place) {
  return JoinOverTeam(x, size, place, [](float a, float b) { return Max(a, b); });
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_CUDA_ROWS_CUH_
