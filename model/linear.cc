#include "model/linear.h"

#include <torch/types.h>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/quantized_linear/quantized_linear_op.h"

namespace radlads {
namespace {

// Whether x [...,in] and weight [out,in] can be multiplied by the kernel of inference.
bool IsForKernel(const Tensor& x, const Tensor& weight) {
  const auto type = weight.scalar_type();
  return x.scalar_type() == type && (type == at::kFloat || type == at::kBFloat16) && x.is_cpu() && weight.is_cpu() &&
         weight.is_contiguous() && !weight.requires_grad() && x.dim() > 0 &&
         !(at::GradMode::is_enabled() && x.requires_grad());
}

Tensor Multiply(const Tensor& x, const Tensor& weight, const Tensor& bias, at::ScalarType out) {
  const WeightKind kind = weight.scalar_type() == at::kFloat ? WeightKind::kFp32 : WeightKind::kBf16;
  return QuantizedLinear(x, WeightMatrix::Borrow(kind, weight.size(0), weight.size(1), weight.const_data_ptr()), bias,
                         out);
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::empty({out, in}));
  if (with_bias) bias = register_parameter("bias", torch::empty({out}));
}

Tensor Linear::Forward(const Tensor& x, at::ScalarType out) const {
  if (packed_) return QuantizedLinear(x, *packed_, bias, out);
  if (for_inference_ && IsForKernel(x, weight) && (out == at::kFloat || out == at::kBFloat16)) {
    return Multiply(x, weight, bias, out);
  }
  const auto dtype = x.scalar_type();
  return at::linear(x, weight.to(dtype), bias.defined() ? c10::optional<Tensor>(bias.to(dtype)) : c10::nullopt).to(out);
}

Tensor Linear::Rows(const Tensor& ids) const {
  if (!packed_) return at::embedding(weight, ids);
  const Tensor list = ids.contiguous();
  std::vector<int64_t> sizes = ids.sizes().vec();
  sizes.push_back(packed_->in());
  Tensor rows = at::empty(sizes, at::kFloat);
  const int64_t* id = list.const_data_ptr<int64_t>();
  float* to = rows.mutable_data_ptr<float>();
  ParallelFor(list.numel(), 16, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) packed_->Read(id[i], 1, to + i * packed_->in(), /*bf16=*/false);
  });
  return rows;
}

Tensor Linear::Weight(at::ScalarType dtype) const {
  if (!packed_) return weight;
  RADLADS_CHECK(dtype == at::kFloat || dtype == at::kBFloat16) << "packed weights as " << dtype;
  Tensor numbers = at::empty({packed_->out(), packed_->in()}, dtype);
  packed_->Read(0, packed_->out(), numbers.mutable_data_ptr(), dtype == at::kBFloat16);
  return numbers;
}

void Linear::SetForInference() {
  if (weight.defined() && weight.scalar_type() == at::kFloat && weight.is_cpu() && weight.is_contiguous()) {
    return SetPacked(WeightMatrix::Pack(weight.size(0), weight.size(1), weight.const_data_ptr<float>()));
  }
  for_inference_ = true;
  for (Tensor& parameter : parameters()) parameter.set_requires_grad(false);
  inference_bias_ = InferenceVector(bias);
  matrix_ = packed_ ? packed_ : std::optional(InferenceMatrix(weight.t()));
}

LinearProduct Linear::Product(const InferencePass& pass, const void* x, void* y) const {
  return {.w = &*matrix_, .x = x, .y = y, .y_bf16 = pass.bf16, .bias = Floats(inference_bias_)};
}

LinearProduct Linear::Addition(const void* x, float* residual) const {
  return {.w = &*matrix_, .x = x, .y = residual, .y_bf16 = false, .bias = Floats(inference_bias_), .add = true};
}

void Linear::SetPacked(const WeightMatrix& weights) {
  RADLADS_CHECK(weights.packed()) << WeightKindName(weights.kind()) << " weights are parameters";
  RADLADS_CHECK(!weight.defined() || weight.sizes() == (at::IntArrayRef{weights.out(), weights.in()}))
      << "weights [" << weights.out() << ", " << weights.in() << "] for " << weight.sizes();
  packed_ = weights;
  if (weight.defined()) parameters_.erase("weight");
  weight = Tensor();
  SetForInference();
}

Tensor Project(const Tensor& x, const Tensor& matrix) {
  const Tensor numbers = matrix.to(x.scalar_type());
  if (matrix.dim() == 3 && IsForKernel(x[0], numbers[0].t())) {
    std::vector<Tensor> products;
    for (int64_t i = 0; i < matrix.size(0); ++i) products.push_back(Project(x[i], numbers[i]));
    return at::stack(products);
  }
  if (matrix.dim() == 2 && IsForKernel(x, numbers.t())) {
    return Multiply(x, numbers.t(), /*bias=*/Tensor(), x.scalar_type());
  }
  return at::matmul(x, numbers);
}

void SetProjectionForInference(Tensor& matrix) {
  matrix.set_requires_grad(false);
  matrix.set_data(matrix.transpose(-2, -1).contiguous().transpose(-2, -1));
}

}  // namespace radlads
