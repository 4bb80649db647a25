// What is in a model file or directory, for people and for programs.
#ifndef RADLADS_TOOLS_MODEL_DESCRIPTION_H_
#define RADLADS_TOOLS_MODEL_DESCRIPTION_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace radlads {

// "path", "format", and what there is of "model" (the config), "tokenizer", "metadata", "parameters", "bytes", "dtypes"
// and "tensors" (name, dtype, shape, bytes, file). `path`: a Hugging Face directory, a file of weights of any format, an
// index of shards, a config.json or tokenizer.json, all recognised by content. Errors of reading them.
absl::StatusOr<nlohmann::ordered_json> DescribeModel(const std::string& path);

// As text on standard output, with a line for every tensor if `with_tensors`.
void PrintDescription(const nlohmann::ordered_json& description, bool with_tensors);

}  // namespace radlads

#endif  // RADLADS_TOOLS_MODEL_DESCRIPTION_H_
