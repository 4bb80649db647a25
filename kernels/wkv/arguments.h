// Checks and conversions that the torch operators wkv6 and wkv7 share. A wrong argument throws
// c10::Error with the name of the operator and of the argument, what was found and what was
// expected.
#ifndef RADLADS_KERNELS_WKV_ARGUMENTS_H_
#define RADLADS_KERNELS_WKV_ARGUMENTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/wkv/shape.h"

namespace radlads {

using NamedTensors = std::vector<std::pair<const char*, at::Tensor>>;

// `keys` are the arguments of shape [B,T,H,K], at least one.
WkvShape CheckWkvShape(const char* op, const NamedTensors& keys, const at::Tensor& v,
                       const std::optional<at::Tensor>& initial_state,
                       const std::optional<at::Tensor>& reset);

// float64 if all tensors are, else float32; mixtures with float64 and dtypes that are not floating
// point are refused.
at::ScalarType WkvComputeType(const char* op, const NamedTensors& tensors);

// `tensor` in `type`, contiguous; an absent or undefined tensor gives an undefined one.
at::Tensor WkvOperand(const std::optional<at::Tensor>& tensor, at::ScalarType type);

// The elements of a tensor that WkvOperand made; an undefined tensor gives an empty span.
template <typename T>
std::span<const T> ConstSpan(const at::Tensor& tensor);
template <typename T>
std::span<T> MutableSpan(const at::Tensor& tensor);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_ARGUMENTS_H_
