// A GGUF file for llama.cpp.
#ifndef RADLADS_TOOLS_GGUF_FILE_H_
#define RADLADS_TOOLS_GGUF_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "tools/checkpoint.h"

namespace radlads {

// Why stock llama.cpp cannot run such a model; empty if it can: llama, qwen2 and qwen3 as transformers has them, and
// RAD-RWKV6 in all layers with full-rank gate, token shift and balanced state, without rope and group norm (rwkv6qwen2).
std::string WhyNotLlamaCpp(const ModelConfig& config);

// Writes `path`, whole or not at all. What llama.cpp cannot run gets the architecture "radlads", Hugging Face's tensor
// names and its config.json, and says why in general.description; radlads reads it all the same. `dtype` is that of the
// matrices (keep, fp32, bf16, fp16, q8_0, q4_0), everything else is fp32: quantised ones keep their blocks (Q8_0, Q4_1)
// with "keep"; q4_0 gives embedding and head q8_0; rows that are no multiple of 32 become fp16 instead.
// -> what to tell the user about the result.
absl::StatusOr<std::string> WriteGgufFile(const Checkpoint& checkpoint, const std::string& path, const std::string& dtype,
                                          const std::string& name);

}  // namespace radlads

#endif  // RADLADS_TOOLS_GGUF_FILE_H_
