// y = x W^T + b. W is a parameter, which learns and may be wider than the compute dtype, or quantised, for inference.
#ifndef RADLADS_MODEL_LINEAR_H_
#define RADLADS_MODEL_LINEAR_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <optional>

#include "kernels/quantized_linear/quantized_linear.h"
#include "model/state.h"

namespace radlads {

// For inference on the CPU, x and weight both fp32 or both bf16, or the weight quantised, products are those of
// kernels/quantized_linear: a row gives the same bits whatever the other rows.
// Parameters "weight" [out,in] and, if asked for, "bias" [out]; uninitialised. An embedding is one too: its rows are
// looked up, and as a tied head it is multiplied with.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool with_bias);
  // x [...,in] -> [...,out], in x's dtype or in `out`. With a quantised weight, x is fp32 or bf16 on the CPU and has no
  // gradient, else c10::Error.
  Tensor Forward(const Tensor& x) const { return Forward(x, x.scalar_type()); }
  Tensor Forward(const Tensor& x, at::ScalarType out) const;
  // ids [...] int64 -> rows of the weight [...,in]: of a parameter in its dtype and with its gradient, of a quantised
  // one in fp32.
  Tensor Rows(const Tensor& ids) const;
  // The weight [out,in]: the live parameter, or a quantised one as new numbers in `dtype` (fp32 or bf16).
  Tensor Weight(at::ScalarType dtype) const;

  // From now on the weight does not learn. Measured against at::linear on one thread of a Zen 4, 8960 x 1536: at 1, 8
  // and 64 rows 1.5, 1.8 and 1.5 times as fast in fp32, 2.2, 1.4 and 1.0 times in bf16; at 1024 rows 1.2 and 1.0, the
  // transposed shape 0.85; 576 x 1536 between 0.9 and 1.2 at any number.
  void SetForInference();
  // The same, with quantised weights of the same shape in place of the parameter, which is no more.
  void SetQuantized(const WeightMatrix& weights);
  const std::optional<WeightMatrix>& quantized() const { return quantized_; }

  Tensor weight, bias;  // weight is undefined when it is quantised

 private:
  bool for_inference_ = false;
  std::optional<WeightMatrix> quantized_;
};

// x [...,in] times a parameter stored as [in,out] (the low-rank matrices of RWKV), in x's dtype. A stack of matrices
// [N,in,out] takes x [N,...,in].
Tensor Project(const Tensor& x, const Tensor& matrix);
// From now on Project multiplies as a Linear for inference does: the shape of `matrix` stays, its memory is that of
// [out,in].
void SetProjectionForInference(Tensor& matrix);

}  // namespace radlads

#endif  // RADLADS_MODEL_LINEAR_H_
