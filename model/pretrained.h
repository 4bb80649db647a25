// Models on disk: a Hugging Face directory (config.json, *.safetensors, tokenizer files), a GGUF file, or a run
// of //distill:train (its final/ or newest step-*/).
#ifndef RADLADS_MODEL_PRETRAINED_H_
#define RADLADS_MODEL_PRETRAINED_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/transformer.h"

namespace radlads {

// run directory -> the Hugging Face directory inside it (final/, else the newest step-*/); others unchanged.
absl::StatusOr<std::string> ResolveModelDirectory(const std::string& path);

// The architecture of the model at `path`, from its config.json or GGUF metadata.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path);

// Loads architecture and weights, converted to `dtype`, quantised ones too. Strict: every missing, extra or misshapen tensor is listed
// in one INVALID_ARGUMENT, with the nearest name.
absl::StatusOr<std::shared_ptr<Transformer>> LoadTransformer(const std::string& path, at::ScalarType dtype = at::kFloat);

// The same for inference: no parameter learns, weights that are stored as Q8 or Q4 (docs/formats/quantized.md, or in a
// GGUF file as Q8_0, Q4_1 or Q4_0) stay so, and all lie on huge pages. `dtype` is fp32 or bf16: that of the other
// weights, and of the activations. On another device than the CPU, quantised weights become numbers of `dtype`.
absl::StatusOr<std::shared_ptr<Transformer>> LoadForInference(const std::string& path, at::ScalarType dtype,
                                                              at::Device device = at::kCPU);

// Copies the weights at `path` into `model`, strict as LoadTransformer.
absl::Status LoadWeights(const std::string& path, Transformer& model);

// A student of `teacher` with the architecture `config`: shared parts (embedding, norms, channel mixers, head,
// q/k/v/o projections) are copied bit for bit, the rest is initialised from `seed`. Layers that keep softmax attention are copied whole.
// All shape mismatches are listed at once. The teacher's weights must not be quantised.
absl::StatusOr<std::shared_ptr<Transformer>> CreateStudent(const ModelConfig& config, Transformer& teacher, int64_t seed,
                                                           at::ScalarType dtype = at::kFloat);

// A model with random weights, for pretraining: embeddings, head and channel mixers from N(0, 0.02), mixers as they
// initialise themselves without a teacher.
absl::StatusOr<std::shared_ptr<Transformer>> CreateRandom(const ModelConfig& config, int64_t seed,
                                                          at::ScalarType dtype = at::kFloat);

// Fills what `student` leaves unset (sizes, rope, eps, biases, token ids, ...) from `teacher`, so that a student recipe
// need only say tmix and its knobs. INVALID_ARGUMENT where the two contradict each other.
absl::StatusOr<ModelConfig> StudentConfig(const ModelConfig& student, const ModelConfig& teacher);

// Writes config.json and model.safetensors (BF16 when `dtype` says so) into the existing `directory`. FAILED_PRECONDITION for
// a model with quantised weights.
// `tokenizer_from`, if not empty, is a directory whose tokenizer files are copied (TokenizerFilesToCopy).
absl::Status SaveTransformer(Transformer& model, const std::string& directory, at::ScalarType dtype,
                             const std::string& tokenizer_from);

}  // namespace radlads

#endif  // RADLADS_MODEL_PRETRAINED_H_
