#include "model/inference.h"

#include <ATen/ATen.h>

namespace radlads {

at::Tensor InferenceVector(const at::Tensor& parameter) {
  return parameter.defined() ? parameter.detach().to(at::kFloat).contiguous() : parameter;
}

WeightMatrix InferenceMatrix(const at::Tensor& projection) {
  const at::Tensor rows = projection.t();
  TORCH_CHECK(rows.is_contiguous(), "a projection ", projection.sizes(), " that is not laid out for inference");
  if (rows.scalar_type() == at::kFloat && rows.is_cpu()) {
    return WeightMatrix::Pack(rows.size(0), rows.size(1), rows.const_data_ptr<float>());
  }
  return WeightMatrix::Borrow(WeightKind::kBf16, rows.size(0), rows.size(1), rows.const_data_ptr());
}

at::Tensor OwnState(const at::Tensor& carried, at::IntArrayRef sizes, at::ScalarType dtype) {
  if (!carried.defined()) return at::zeros(sizes, dtype);
  TORCH_CHECK(carried.sizes() == sizes, "a state of ", carried.sizes(), ", expected ", sizes);
  const bool mine = carried.use_count() == 1 && carried.storage().use_count() == 1 && carried.is_contiguous() &&
                    carried.scalar_type() == dtype;
  return mine ? carried : carried.to(dtype).clone(at::MemoryFormat::Contiguous);
}

}  // namespace radlads
