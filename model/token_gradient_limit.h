// A bound on what a single token may contribute to the gradient.
//
// The group norm of RAD-RWKV divides the output of a head by its own size. At the first token of a window that output
// is one value times one dot product, which may be close to zero, and the gradient through the quotient explodes;
// through several layers it compounds to thousands of times what all other tokens contribute. Clipping the gradient as a
// whole then leaves nothing of those.
#ifndef RADLADS_MODEL_TOKEN_GRADIENT_LIMIT_H_
#define RADLADS_MODEL_TOKEN_GRADIENT_LIMIT_H_

#include <ATen/core/Tensor.h>

namespace radlads {

// Returns x [B,T,C] as it is. In the backward pass the gradient of each token (a row of C) whose norm exceeds `limit`
// times the median of all B*T norms is scaled down to that; the others pass bit for bit. limit > 0.
at::Tensor LimitTokenGradient(const at::Tensor& x, double limit);

}  // namespace radlads

#endif  // RADLADS_MODEL_TOKEN_GRADIENT_LIMIT_H_
