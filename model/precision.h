// The dtype in which a model computes, chosen by name.
#ifndef RADLADS_MODEL_PRECISION_H_
#define RADLADS_MODEL_PRECISION_H_

#include <ATen/core/ScalarType.h>

#include <string>

#include "absl/status/statusor.h"

namespace radlads {

struct Precision {
  at::ScalarType dtype = at::kFloat;
  std::string reason;  // for the log
};

// "fp32", "bf16", or "auto": bf16 where the processor multiplies bf16 (AVX-512 BF16), else fp32. INVALID_ARGUMENT for
// anything else.
absl::StatusOr<Precision> ChoosePrecision(const std::string& precision);

}  // namespace radlads

#endif  // RADLADS_MODEL_PRECISION_H_
