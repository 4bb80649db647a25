// The inner loops of wkv6 and wkv7 on one V-slice of one head: 32 columns of the state, which stay in the first-level
// cache while a run of tokens passes over them. Compiled for several instruction sets; the best one the machine has is
// taken.
//
// Rows are packed (rows.h): key rows of `keys` floats, value rows of kWkvSlice floats. Column sums run over the rows in
// ascending order with fused multiply-add, so a column's result depends neither on the slice it is in nor on the width
// of the vectors.
#ifndef RADLADS_KERNELS_WKV_RECURRENCE_SIMD_H_
#define RADLADS_KERNELS_WKV_RECURRENCE_SIMD_H_

#include <cstdint>

namespace radlads {

inline constexpr int64_t kWkvSlice = 32;

// Rows that will be wanted soon: while token t of a run passes, row `first_row` + t of each array is fetched into the
// cache. Rows of [B,T,H,N] stand in different pages, across which hardware does not look ahead.
struct WkvPrefetch {
  struct Array {
    const char* data;
    int64_t stride, bytes, rows;
  };
  int64_t arrays = 0;
  Array array[7];
};

// A run of tokens without a reset, after the first at most. `a` and `b` are null for wkv6.
struct WkvRun {
  int64_t tokens;
  int64_t keys;
  const float *r, *w, *k, *a, *b;  // [tokens][keys]; r has been multiplied by the scale
  const float* v;                  // [tokens][kWkvSlice]
  const WkvPrefetch* prefetch = nullptr;
  int64_t first_row = 0;
  int64_t columns = kWkvSlice;  // of a single token also a multiple: all of its V
  bool stream = false;  // a single token: its state goes past the caches, and is visible after hwy::FlushStream()
};

// Row i of the state before the run is at before + i * before_stride; a stride of 0 repeats one row. Row i of the state
// after token t goes to after + t * step + i * after_stride (step 0: each token overwrites the one before). `before`
// may be `after` when step is 0. If not null, `sa` [tokens][kWkvSlice] receives a^T h and `output` [tokens][kWkvSlice]
// receives r^T h. Where the run streams, `after` and its rows are aligned to 64 bytes.
void WkvForwardRun(const WkvRun& run, const float* before, int64_t before_stride, float* after, int64_t after_stride,
                   int64_t step, float* sa, float* output);

// Row sums over the columns of the slice, [tokens][keys] each: added to what is there. `a` and `b`
// are null for wkv6.
struct WkvKeyGradients {
  float *r, *w, *k, *a, *b;
};

// `states` [tokens][keys][kWkvSlice] holds the state after each token, `before` the one before the
// first, `sa` as above. `d_state` goes in as the gradient of the state after the last token and
// comes out as that of the state before the first.
void WkvBackwardRun(const WkvRun& run, const float* before, const float* states, const float* sa, const float* d_output,
                    float* d_state, const WkvKeyGradients& d_keys, float* d_v);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_RECURRENCE_SIMD_H_
