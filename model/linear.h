// y = x W^T + b with master weights that may be wider than the compute dtype.
#ifndef RADLADS_MODEL_LINEAR_H_
#define RADLADS_MODEL_LINEAR_H_

#include <torch/nn/module.h>

#include <cstdint>

#include "model/state.h"

namespace radlads {

// Parameters "weight" [out,in] and, if asked for, "bias" [out]; uninitialised.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias);
  // x [...,in] -> [...,out] in x's dtype.
  Tensor Forward(const Tensor& x) const;

  Tensor weight, bias;
};

// x [...,in] times a parameter stored as [in,out] (the low-rank matrices of RWKV), in x's dtype.
Tensor Project(const Tensor& x, const Tensor& matrix);

}  // namespace radlads

#endif  // RADLADS_MODEL_LINEAR_H_
