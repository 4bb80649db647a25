// Checks and conversions of the arguments of a recurrence as torch operator (operator.h), on any device. A wrong
// argument throws c10::Error with the name of the operator and of the argument, what was found and what was expected.
#ifndef RADLADS_KERNELS_WKV_ARGUMENTS_H_
#define RADLADS_KERNELS_WKV_ARGUMENTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/wkv/shape.h"

namespace radlads {

using OptionalTensor = std::optional<at::Tensor>;

// Operands stand in the order r (or q), log_w, k, v and, with the delta term, a, b. All are [B,T,H,K], but v is
// [B,T,H,V].
inline constexpr size_t kWkvLogDecay = 1, kWkvValue = 3;

// Shapes, dtypes (float32, bfloat16, float16 in any mixture, or float64 throughout; the output float32 or bfloat16, or
// float64 with the rest) and devices (one for all).
void CheckWkvArguments(const char* op, std::span<const char* const> names, at::TensorList operands,
                       const OptionalTensor& initial_state, const OptionalTensor& reset,
                       std::optional<at::ScalarType> output_type);

// The rest takes arguments that have been checked.
WkvShape WkvShapeOf(at::TensorList operands);

// float64 if the operands are, else float32.
at::ScalarType WkvComputeType(at::TensorList operands);

// `tensor` in `type`, contiguous; an absent or undefined tensor gives an undefined one.
at::Tensor WkvOperand(const OptionalTensor& tensor, at::ScalarType type);

// The elements of a tensor that WkvOperand made; an undefined tensor gives an empty span.
template <typename T>
std::span<const T> ConstSpan(const at::Tensor& tensor);
template <typename T>
std::span<T> MutableSpan(const at::Tensor& tensor);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_ARGUMENTS_H_
