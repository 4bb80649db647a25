// Rotary tables of the Hugging Face models: frequencies with every rope_type we know, cosines and sines by position.
#ifndef RADLADS_MODEL_ROPE_TABLES_H_
#define RADLADS_MODEL_ROPE_TABLES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "configs/config.pb.h"

namespace radlads {

// INVALID_ARGUMENT for an unknown type or missing parameters of a known one.
absl::Status CheckRope(const RopeConfig& rope);

// The angle between positions of each pair of dimensions [D/2], in double. `rope` must pass CheckRope.
at::Tensor RopeFrequencies(const RopeConfig& rope, int64_t head_dim);

// Cosines and sines [N,D] (both halves alike: rotate_half layout) of the `positions` [N] int64, in `dtype` (float or
// double), to which RopeFrequencies are rounded once. Both are on the device of the result.
std::pair<at::Tensor, at::Tensor> RopeTables(const RopeConfig& rope, const at::Tensor& frequencies,
                                             const at::Tensor& positions, at::ScalarType dtype);

}  // namespace radlads

#endif  // RADLADS_MODEL_ROPE_TABLES_H_
