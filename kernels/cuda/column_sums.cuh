// Sums over rows by column, for the gradients of weights, without atomics: every team adds up its
// rows, every block its teams, and a second kernel the blocks. The number of blocks does not depend
// on the GPU, so a sum has the same bits in every run and on every GPU.
#ifndef RADLADS_KERNELS_CUDA_COLUMN_SUMS_CUH_
#define RADLADS_KERNELS_CUDA_COLUMN_SUMS_CUH_

#include <algorithm>

#include "kernels/cuda/rows.cuh"

namespace radlads::cuda {

// Blocks among which rows are divided: enough to fill an H200, few enough that their sums are a
// small part of the traffic.
inline int64_t SumBlocks(const Teams& teams, int64_t rows) {
  const int64_t blocks = rows / (8 * teams.PerBlock());
  return std::clamp<int64_t>(blocks, 1, 132 * 1024 / teams.threads);
}

// Floats of shared memory for sums of `columns`; 0 where they are too many: then a team, which is a
// block, adds to its part in global memory.
inline int64_t SumFloats(const Teams& teams, int64_t columns) {
  constexpr int64_t kMax = 96 * 1024 / sizeof(float) - 64;  // an sm_120 has 99 KB
  const int64_t floats = teams.PerBlock() * columns;
  return floats <= kMax ? floats : 0;
}

// A block's sums. In a team, one thread alone adds to a column.
template <int kPack>
class ColumnSums {
 public:
  // `shared` [teams of the block, columns], or null; `part` [columns] is this block's result.
  __device__ ColumnSums(const Teams& teams, int64_t columns, float* shared, float* part)
      : columns_(columns), teams_(teams.PerBlock()), shared_(shared), part_(part) {
    own_ = shared == nullptr ? nullptr : shared + teams.Index() * columns;
    for (int64_t i = ThreadIndex(); i < columns * teams_; i += BlockThreads()) {
      if (shared != nullptr) {
        StoreShared(shared + i, 0.0f);
      } else {
        part[i] = 0;
      }
    }
    SyncThreads();
  }

  __device__ void Add(int64_t column, const Pack<kPack>& x) const {
    for (int i = 0; i < kPack; ++i) {
      if (own_ == nullptr) {
        part_[column + i] += x[i];
      } else {
        float* at = own_ + Place(column + i);
        StoreShared(at, LoadShared(at) + x[i]);
      }
    }
  }

  // By all threads, after all rows.
  __device__ void Finish() const {
    if (shared_ == nullptr) return;
    SyncThreads();
    for (int64_t i = ThreadIndex(); i < columns_; i += BlockThreads()) {
      float sum = 0;
      for (int team = 0; team < teams_; ++team)
        sum += LoadShared(shared_ + team * columns_ + Place(i));
      part_[i] = sum;
    }
  }

 private:
  // Packs lie side by side element by element, so that lanes fall into different banks.
  __device__ int64_t Place(int64_t column) const {
    return column % kPack * (columns_ / kPack) + column / kPack;
  }

  int64_t columns_;
  int teams_;
  float *shared_, *part_, *own_;
};

// total[i][c] = sum over blocks of parts[block, i, c], parts [blocks, count, width].
struct ColumnTotals {
  static constexpr int kMaxCount = 5;

  const float* parts;
  int64_t blocks, width;
  int count;
  float* total[kMaxCount];
};

inline constexpr int kTotalsWarps = 8;

static __global__ void __launch_bounds__(32 * kTotalsWarps)
    ColumnTotalsKernel(const __grid_constant__ ColumnTotals p) {
  float* const sums = reinterpret_cast<float*>(SharedMemory());  // [kTotalsWarps, 32]
  const int64_t column = BlockX() * 32 + Lane();
  float sum = 0;
  if (column < p.width) {
    const float* part = p.parts + BlockY() * p.width + column;
    for (int64_t block = Warp(); block < p.blocks; block += kTotalsWarps)
      sum += part[block * p.count * p.width];
  }
  StoreShared(sums + ThreadIndex(), sum);
  SyncThreads();
  if (Warp() != 0 || column >= p.width) return;
  sum = 0;
  for (int warp = 0; warp < kTotalsWarps; ++warp) sum += LoadShared(sums + warp * 32 + Lane());
  p.total[BlockY()][column] = sum;
}

inline Error LaunchColumnTotals(const ColumnTotals& totals, Stream stream) {
  return Launch(ColumnTotalsKernel, (totals.width + 31) / 32, totals.count, 32 * kTotalsWarps,
                32 * kTotalsWarps * sizeof(float), stream, totals);
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_CUDA_COLUMN_SUMS_CUH_
