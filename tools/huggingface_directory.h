// A directory that transformers.AutoModelForCausalLM.from_pretrained loads.
#ifndef RADLADS_TOOLS_HUGGINGFACE_DIRECTORY_H_
#define RADLADS_TOOLS_HUGGINGFACE_DIRECTORY_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "tools/checkpoint.h"
#include "tools/model_card.h"

namespace radlads {

// Writes `directory`, whole or not at all; what was there is replaced. A student, hybrids included, comes with its model
// code (trust_remote_code), a softmax model as the plain architecture that transformers has. `dtype`: keep, fp32, bf16 or
// fp16. Tensors are read, converted and written a piece at a time. UNIMPLEMENTED for a softmax model that differs from
// what transformers has under its name.
absl::Status WriteHuggingFaceDirectory(const Checkpoint& checkpoint, const std::string& directory, const std::string& dtype,
                                       uint64_t max_shard_bytes, const ModelCardSources& card);

}  // namespace radlads

#endif  // RADLADS_TOOLS_HUGGINGFACE_DIRECTORY_H_
