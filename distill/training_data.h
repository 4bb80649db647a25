// The data that a configuration names: opened, compared with the model, and planned.
#ifndef RADLADS_DISTILL_TRAINING_DATA_H_
#define RADLADS_DISTILL_TRAINING_DATA_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "configs/config.pb.h"
#include "data/batches.h"

namespace radlads {

// train.data_file or train.data_mixture at model.ctx_len. `model` is the model that will read it, whole (vocab_size,
// eos_token_id), `tokenizer_from` the directory of its tokenizer, or ''. FAILED_PRECONDITION, naming both tokenizers,
// when a dataset says that it was made with another one or has more ids; INVALID_ARGUMENT when train.reset_at_document
// could not see where its documents end. Data that does not say its tokenizer is compared id by id as it is read.
absl::StatusOr<std::shared_ptr<const Batches>> OpenTrainingData(const Config& config, const ModelConfig& model,
                                                                const std::string& tokenizer_from);

// train.validation_data_file, in order. Errors as above.
absl::StatusOr<std::shared_ptr<const SampleSource>> OpenValidationData(const Config& config, const ModelConfig& model,
                                                                       const std::string& tokenizer_from);

// Logs what `samples` samples, all of a run, are taken from.
void LogPlan(const Batches& batches, int64_t samples);

}  // namespace radlads

#endif  // RADLADS_DISTILL_TRAINING_DATA_H_
