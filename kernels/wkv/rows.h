// Rows of the arrays of a recurrence: where they are in memory, and their way into packed fp32 and back.
#ifndef RADLADS_KERNELS_WKV_ROWS_H_
#define RADLADS_KERNELS_WKV_ROWS_H_

#include <cstdint>

namespace radlads {

// `count` rows of `width` elements, `stride` elements apart; fp32 or bf16.
struct WkvRows {
  const void* data;
  bool bf16;
  int64_t stride, count, width;
};
struct WkvMutableRows {
  void* data;
  bool bf16;
  int64_t stride, count, width;
};

// A [B,T,H,N] array: N contiguous, the other dimensions at strides, in elements, which may be 0 (heads that share their
// rows). Null `data` stands for an absent array.
struct WkvArray {
  const void* data = nullptr;
  bool bf16 = false;
  int64_t batch_stride = 0, time_stride = 0, head_stride = 0;

  // Columns [column, column + width) of tokens [time, time + count) of one head.
  WkvRows Rows(int64_t batch, int64_t head, int64_t time, int64_t count, int64_t column, int64_t width) const {
    const int64_t at = batch * batch_stride + time * time_stride + head * head_stride + column;
    return {static_cast<const char*>(data) + at * (bf16 ? 2 : 4), bf16, time_stride, count, width};
  }
};

// One that is written; no two rows are the same.
struct WkvMutableArray {
  void* data = nullptr;
  bool bf16 = false;
  int64_t batch_stride = 0, time_stride = 0, head_stride = 0;

  WkvMutableRows Rows(int64_t batch, int64_t head, int64_t time, int64_t count, int64_t column, int64_t width) const {
    const WkvRows rows =
        WkvArray{data, bf16, batch_stride, time_stride, head_stride}.Rows(batch, head, time, count, column, width);
    return {const_cast<void*>(rows.data), bf16, rows.stride, count, width};
  }
};

// to[i * pitch + j] = scale * from[i][j] for j < width, and 0 for width <= j < pitch.
void WkvLoadRows(const WkvRows& from, float scale, int64_t pitch, float* to);

// The same with exp(from[i][j]): relative error below 2e-7; NaN stays NaN, and -infinity gives 0.
void WkvLoadRowsExp(const WkvRows& from, int64_t pitch, float* to);

// to[i][j] = scale * from[i * pitch + j] for j < width, times factor[i * pitch + j] if `factor` is not null.
void WkvStoreRows(const float* from, int64_t pitch, float scale, const float* factor, const WkvMutableRows& to);

// sums[i] += terms[i]. `count` is a multiple of 4.
void WkvAdd(const float* terms, int64_t count, float* sums);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_ROWS_H_
