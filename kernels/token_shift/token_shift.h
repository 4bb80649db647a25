// Token shift: each token is interpolated with the one before it, by learned amounts (lerp of
// RWKV-5) that may depend on the data (ddlerp of RWKV-6; Peng et al., 2024, arXiv 2404.05892).
#ifndef RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_H_
#define RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_H_

#include <ATen/core/Tensor.h>

#include <vector>

namespace radlads {

// N mixes of x [B,T,C] with its shifted self, in one pass:
//
//   y_i[t] = x[t] + (x[t-1] - x[t]) * (maa[i] + amounts[i,t]),    i < N
//
// x[-1] is `previous` [B,C], or 0 where that is undefined. Where `reset` [B,T] bool (or undefined)
// is true, 0 stands for x[t-1]. maa is [N,C]; amounts is [N,B,T,C] in x's dtype, or undefined for
// 0. Any float dtypes; the results are N tensors [B,T,C] in x's dtype. Arithmetic is in fp32
// (double when an argument is double) and rounded once. T = 0 is allowed. NaN in a token reaches
// that token and the next one in its row, and none beyond a reset.
//
// Gradients: x, previous, maa and amounts, each in its dtype. The sum over tokens for maa has a
// fixed order that does not depend on the number of threads.
std::vector<at::Tensor> TokenShift(const at::Tensor& x, const at::Tensor& previous, const at::Tensor& reset,
                                   const at::Tensor& maa, const at::Tensor& amounts);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_H_
