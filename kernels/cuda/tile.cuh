// A matrix in shared memory and the fragments of matrix instructions that are read from it.
#ifndef RADLADS_KERNELS_CUDA_TILE_CUH_
#define RADLADS_KERNELS_CUDA_TILE_CUH_

#include "kernels/cuda/device.cuh"

namespace radlads::cuda {

// [kRows, kColumns], rows 16 bytes apart from a multiple of their length so that eight rows at one
// column fall into different banks. A view: copies see the same memory.
template <typename T, int kRows, int kColumns>
struct Tile {
  static_assert(kColumns * sizeof(T) % 16 == 0);
  static constexpr int kStride = kColumns + 16 / sizeof(T);
  static constexpr size_t kBytes = kRows * kStride * sizeof(T);

  T* data;

  __device__ T* Address(int row, int column) const { return data + row * kStride + column; }
  __device__ T Load(int row, int column) const { return LoadShared(Address(row, column)); }
  __device__ void Store(int row, int column, T x) const { StoreShared(Address(row, column), x); }

  // Starts copying rows [0, rows) of a matrix in global memory whose rows are `stride` elements
  // apart, as the whole block; other rows become zero.
  __device__ void CopyRowsAsync(const T* from, int64_t stride, int rows) const {
    constexpr int kPerRow = kColumns * sizeof(T) / 16, kElements = 16 / sizeof(T);
    for (int i = ThreadIndex(); i < kRows * kPerRow; i += BlockThreads()) {
      const int row = i / kPerRow, column = i % kPerRow * kElements;
      const bool valid = row < rows;
      CopyAsync16(Address(row, column), valid ? from + row * stride + column : from, valid);
    }
  }
};

// A fragment (rows row.., columns column..) of a tile that holds A.
template <int R, int C>
__device__ __forceinline__ void LoadA(uint32_t (&a)[4], const Tile<Bf16, R, C>& tile, int row,
                                      int column) {
  const int lane = Lane();
  LoadMatrices(a, tile.Address(row + lane % 16, column + lane / 16 * 8));
}
// A fragment (rows row.., columns column..) of A, from a tile that holds A transposed.
template <int R, int C>
__device__ __forceinline__ void LoadAFromTransposed(uint32_t (&a)[4], const Tile<Bf16, R, C>& tile,
                                                    int row, int column) {
  const int lane = Lane(), matrix = lane / 8;
  LoadMatricesTransposed(a, tile.Address(column + lane % 8 + matrix / 2 * 8, row + matrix % 2 * 8));
}
// B fragments of (rows row.., columns column..column+15): b[0], b[1] of the first eight columns,
// b[2], b[3] of the next.
template <int R, int C>
__device__ __forceinline__ void LoadB(uint32_t (&b)[4], const Tile<Bf16, R, C>& tile, int row,
                                      int column) {
  const int lane = Lane(), matrix = lane / 8;
  LoadMatricesTransposed(b, tile.Address(row + lane % 8 + matrix % 2 * 8, column + matrix / 2 * 8));
}
// The same from a tile that holds B transposed.
template <int R, int C>
__device__ __forceinline__ void LoadBFromTransposed(uint32_t (&b)[4], const Tile<Bf16, R, C>& tile,
                                                    int row, int column) {
  const int lane = Lane(), matrix = lane / 8;
  LoadMatrices(b, tile.Address(column + lane % 8 + matrix / 2 * 8, row + matrix % 2 * 8));
}

// c (16 x 16, two C fragments side by side) += a b
__device__ __forceinline__ void Mma16(float (*c)[4], const uint32_t (&a)[4],
                                      const uint32_t (&b)[4]) {
  Mma(c[0], a, b[0], b[1]);
  Mma(c[1], a, b[2], b[3]);
}
// Two C fragments side by side, rounded to bf16, as an A fragment.
__device__ __forceinline__ void PackA(uint32_t (&a)[4], const float (*c)[4]) {
  a[0] = PackBf16(c[0][0], c[0][1]);
  a[1] = PackBf16(c[0][2], c[0][3]);
  a[2] = PackBf16(c[1][0], c[1][1]);
  a[3] = PackBf16(c[1][2], c[1][3]);
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_CUDA_TILE_CUH_
