// y = x W^T + b. W is a parameter, which learns and may be wider than the compute dtype, or packed, for inference.
#ifndef RADLADS_MODEL_LINEAR_H_
#define RADLADS_MODEL_LINEAR_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <optional>

#include "kernels/quantized_linear/quantized_linear.h"
#include "model/inference.h"
#include "model/state.h"

namespace radlads {

// For inference on the CPU, where the weight is packed (fp32 or quantised) or x and weight are bf16, products are those of
// kernels/quantized_linear: a row gives the same bits whatever the other rows.
// Parameters "weight" [out,in] and, if asked for, "bias" [out]; uninitialised. An embedding is one too: its rows are
// looked up, and as a tied head it is multiplied with.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias);
  // x [...,in] -> [...,out], in x's dtype or in `out`. With a packed weight, x is fp32 or bf16 on the CPU and has no
  // gradient, else c10::Error.
  Tensor Forward(const Tensor& x) const { return Forward(x, x.scalar_type()); }
  Tensor Forward(const Tensor& x, at::ScalarType out) const;
  // ids [...] int64 -> rows of the weight [...,in]: of a parameter in its dtype and with its gradient, of a packed
  // one in fp32.
  Tensor Rows(const Tensor& ids) const;
  // The weight [out,in]: the live parameter, or a packed one as new numbers in `dtype` (fp32 or bf16).
  Tensor Weight(at::ScalarType dtype) const;

  // From now on the weight does not learn. A contiguous fp32 one on the CPU is packed (SetPacked); a bf16 one stays.
  void SetForInference();
  // The same, with weights of the same shape, packed, in place of the parameter, which is no more.
  void SetPacked(const WeightMatrix& weights);
  const std::optional<WeightMatrix>& packed() const { return packed_; }
  // Inference (inference.h), after SetForInference: x W^T + b from and to arrays of activations.
  LinearProduct Product(const InferencePass& pass, const void* x, void* y) const;
  // The same, added to the residual stream.
  LinearProduct Addition(const void* x, float* residual) const;
  const WeightMatrix& matrix() const { return *matrix_; }

  Tensor weight, bias;  // weight is undefined when it is packed

 private:
  bool for_inference_ = false;
  std::optional<WeightMatrix> packed_, matrix_;  // matrix_: packed_, or where the weight is
  Tensor inference_bias_;
};

// x [...,in] times a parameter stored as [in,out] (the low-rank matrices of RWKV), in x's dtype. A stack of matrices
// [N,in,out] takes x [N,...,in].
Tensor Project(const Tensor& x, const Tensor& matrix);
// From now on Project multiplies as a Linear for inference does: the shape of `matrix` stays, its memory is that of
// [out,in].
void SetProjectionForInference(Tensor& matrix);

}  // namespace radlads

#endif  // RADLADS_MODEL_LINEAR_H_
