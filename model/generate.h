// Continuing a text token by token, with carried state: a recurrent model does the same work for every token, however
// many came before.
#ifndef RADLADS_MODEL_GENERATE_H_
#define RADLADS_MODEL_GENERATE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/sampling.h"
#include "model/state.h"
#include "model/transformer.h"

namespace radlads {

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_tokens = 256;
  std::vector<int64_t> stop_ids;  // end the text; they are not part of it
  int64_t prompt_chunk = 512;     // tokens of the prompt that go through the model at once
};

struct GenerateResult {
  std::vector<int64_t> tokens;
  bool stopped = false;  // at a stop id; else at max_tokens or by the callback
  // Sampled, but not yet read by the state: the last token, or the stop id. A continued conversation begins with it.
  // -1 when nothing was sampled (max_tokens = 0).
  int64_t unread = -1;
  double prompt_seconds = 0;
  std::vector<double> token_seconds;  // of each token after the first, which comes with the prompt
  int64_t state_bytes = 0;            // of the state at the end
};

// Reads `prompt` (at least one id) and samples up to max_tokens tokens. `on_token` sees each as it is sampled, stop ids
// excepted, and ends the text by returning false. With `state`, continues from it and leaves in it the state after
// prompt and tokens but `unread`. INVALID_ARGUMENT for an empty prompt, an id outside of the vocabulary or bad options.
absl::StatusOr<GenerateResult> Generate(Transformer& model, const std::vector<int64_t>& prompt,
                                        const GenerateOptions& options,
                                        const std::function<bool(int64_t id)>& on_token = {},
                                        ModelState* state = nullptr);

}  // namespace radlads

#endif  // RADLADS_MODEL_GENERATE_H_
