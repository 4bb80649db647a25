// y = x W^T + b. W is a parameter, which learns and may be wider than the compute dtype, or quantised, for inference.
#ifndef RADLADS_MODEL_LINEAR_H_
#define RADLADS_MODEL_LINEAR_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <optional>

#include "kernels/quantized_linear/quantized_linear.h"
#include "model/state.h"

namespace radlads {

// Up to so many rows, a Linear for inference reads its weight in one pass (kernels/quantized_linear): on the CPU, x and
// weight both fp32 or both bf16. A row then gives the same bits whatever the other rows. Measured against at::linear on
// one thread of a Zen 4, 8960 x 1536: at 1, 8 and 64 rows 1.5, 1.8 and 1.5 times as fast in fp32, 2.2, 1.4 and 1.0
// times in bf16; beyond 64, at::linear is faster. Quantised weights take that path at any number of rows: to decode
// them for at::linear was slower up to 1000 rows and more.
inline constexpr int64_t kOnePassRows = 64;

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

  // From now on the weight does not learn, and few rows are multiplied in one pass.
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
// From now on Project reads `matrix` in one pass for few rows, as a Linear for inference does: its shape stays, its
// memory is that of [out,in].
void SetProjectionForInference(Tensor& matrix);

}  // namespace radlads

#endif  // RADLADS_MODEL_LINEAR_H_
