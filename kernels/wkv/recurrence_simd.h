// The inner loops of wkv6 and wkv7 on one V-slice of one head: 32 columns of the state, which stay
// in the first-level cache while a run of tokens passes over them. Compiled for several instruction
// sets; the best one the machine has is taken.
//
// Buffers are packed: key rows of `keys` floats (K rounded up to a multiple of 4, the rest zero),
// value rows of kWkvSlice floats (columns beyond V zero). A slice of the state is
// [keys][kWkvSlice]. All are aligned to 64 bytes but `before` and `states`, which may stand
// anywhere.
//
// Column sums run over the rows in ascending order with fused multiply-add, so a column's result
// depends neither on the slice it is in nor on the width of the vectors.
#ifndef RADLADS_KERNELS_WKV_RECURRENCE_SIMD_H_
#define RADLADS_KERNELS_WKV_RECURRENCE_SIMD_H_

#include <cstdint>

namespace radlads {

inline constexpr int64_t kWkvSlice = 32;

// A run of tokens without a reset, after the first at most. `a` and `b` are null for wkv6.
struct WkvRun {
  int64_t tokens;
  int64_t keys;
  const float *r, *w, *k, *a, *b;  // [tokens][keys]; r has been multiplied by the scale
  const float* v;                  // [tokens][kWkvSlice]
};

// The state after token i goes to after + i * step (step 0: each overwrites the one before).
// `before` may be `after` when step is 0. If not null, `sa` [tokens][kWkvSlice] receives a^T h and
// `output` [tokens][kWkvSlice] receives r^T h.
void WkvForwardRun(const WkvRun& run, const float* before, float* after, int64_t step, float* sa, float* output);

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

// values[i] = exp(values[i]) for i < count rounded up to a multiple of 16. Relative error below
// 2e-7; NaN stays NaN, and -infinity gives 0.
void WkvExp(float* values, int64_t count);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_RECURRENCE_SIMD_H_
