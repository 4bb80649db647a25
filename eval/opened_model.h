// A model with its tokenizer, as the programs of this folder open it.
#ifndef RADLADS_EVAL_OPENED_MODEL_H_
#define RADLADS_EVAL_OPENED_MODEL_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace radlads {

struct ModelFlags {
  std::string model, dtype = "fp32";
  int64_t batch_tokens = 4096;
  int threads = 0;
};
void AddModelFlags(CLI::App& app, ModelFlags& flags);

struct OpenedModel {
  std::string dtype;  // "fp32" or "bf16"
  // Directory, files with sizes and times, dtype and tokenizer: changes when answers may.
  std::string identity;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<Transformer> model;
};

// Sets the number of threads, too. Errors of finding and reading the model, NOT_FOUND when no tokenizer lies beside or in it.
// `tokenizer`: a directory that has another one; what ends a text by the files of the model does so all the same.
absl::StatusOr<OpenedModel> OpenModel(const ModelFlags& flags, const std::string& tokenizer = "");

}  // namespace radlads

#endif  // RADLADS_EVAL_OPENED_MODEL_H_
