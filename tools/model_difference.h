// Two models, tensor by tensor.
#ifndef RADLADS_TOOLS_MODEL_DIFFERENCE_H_
#define RADLADS_TOOLS_MODEL_DIFFERENCE_H_

#include <string>

#include "absl/status/statusor.h"

namespace radlads {

// Prints how two models of any formats differ under their Hugging Face names: tensors that one of them lacks, other
// shapes, and the largest and RMS differences of numbers. -> whether they are the same but for dtypes. `with_tensors`: a
// line for every tensor that differs; `as_json`: an object with all of this instead. Errors of reading them.
absl::StatusOr<bool> CompareModels(const std::string& path_a, const std::string& path_b, bool as_json, bool with_tensors);

}  // namespace radlads

#endif  // RADLADS_TOOLS_MODEL_DIFFERENCE_H_
