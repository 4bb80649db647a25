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

// Floats of shared memory for `copies` of sums of `columns` beside `others`; 0 where they are too many: then there must
// be one copy, and a block adds to its part in global memory.
inline int64_t SumFloats(int64_t copies, int64_t columns, int64_t others = kTeamSumFloats) {
  constexpr int64_t kMax = 96 * 1024 / sizeof(float);  // an sm_120 has 99 KB
  return copies * columns + others <= kMax ? copies * columns : 0;
}

// A block's sums, `count` for each of `width` columns, in copies to which teams add in turn: one thread alone adds to a
// column of a copy.
template <int kPack>
class ColumnSums {
 public:
  // This thread adds to copy `own`. `shared` [copies, count, width], or null. Sum k of column c becomes
  // part[k * stride + c].
  __device__ ColumnSums(int copies, int own, int width, int count, float* shared, float* part, int64_t stride)
      : copies_(copies),
        width_(width),
        count_(count),
        stride_(stride),
        shared_(shared),
        own_(shared == nullptr ? nullptr : shared + own * count * width),
        part_(part) {
    if (shared != nullptr) {
      for (int i = ThreadIndex(); i < copies * count * width; i += BlockThreads()) StoreShared(shared + i, 0.0f);
    } else {
      for (int k = 0; k < count; ++k) {
        for (int i = ThreadIndex(); i < width; i += BlockThreads()) part[k * stride + i] = 0;
      }
    }
    SyncThreads();
  }

  __device__ void Add(int k, int column, const Pack<kPack>& x) const {
    if (own_ == nullptr) {
      for (int i = 0; i < kPack; ++i) part_[k * stride_ + column + i] += x[i];
      return;
    }
    float* const at = own_ + k * width_ + column / kPack;
    for (int i = 0; i < kPack; ++i)
      StoreShared(at + i * (width_ / kPack), LoadShared(at + i * (width_ / kPack)) + x[i]);
  }

  // By all threads, after all rows.
  __device__ void Finish() const {
    if (shared_ == nullptr) return;
    SyncThreads();
    for (int k = 0; k < count_; ++k) {
      for (int i = ThreadIndex(); i < width_; i += BlockThreads()) {
        float sum = 0;
        for (int copy = 0; copy < copies_; ++copy) {
          // As Add: packs lie side by side element by element, so that lanes fall into different banks.
          const int place = i % kPack * (width_ / kPack) + i / kPack;
          sum += LoadShared(shared_ + (copy * count_ + k) * width_ + place);
        }
        part_[k * stride_ + i] = sum;
      }
    }
  }

 private:
  int copies_, width_, count_;
  int64_t stride_;
  float *shared_, *own_, *part_;
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

static __global__ void __launch_bounds__(32 * kTotalsWarps) ColumnTotalsKernel(const __grid_constant__ ColumnTotals p) {
  float* const sums = reinterpret_cast<float*>(SharedMemory());  // [kTotalsWarps, 32]
  const int64_t column = BlockX() * 32 + Lane();
  float sum = 0;
  if (column < p.width) {
    const float* part = p.parts + BlockY() * p.width + column;
    for (int64_t block = Warp(); block < p.blocks; block += kTotalsWarps) sum += part[block * p.count * p.width];
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
