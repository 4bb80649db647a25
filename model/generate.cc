#include "model/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "model/token_ids.h"

namespace radlads {
namespace {

class Clock {
 public:
  // Seconds since construction or the last call.
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

absl::StatusOr<GenerateResult> Generate(Transformer& model, const std::vector<int64_t>& prompt,
                                        const GenerateOptions& options, const std::function<bool(int64_t id)>& on_token,
                                        ModelState* state) {
  RADLADS_RETURN_IF_ERROR(options.sampling.Check(model.config().vocab_size()));
  if (prompt.empty())
    return InvalidArgument("the prompt has no token; give at least one, the begin-of-text token for example");
  if (options.max_tokens < 0 || options.prompt_chunk < 1) {
    return InvalidArgument("max_tokens must be 0 or more and prompt_chunk 1 or more, found ", options.max_tokens,
                           " and ", options.prompt_chunk);
  }
  RADLADS_RETURN_IF_ERROR(CheckTokenIds(prompt, model.config().vocab_size()));

  at::NoGradGuard no_grad;
  ModelState own;
  ModelState& carried = state != nullptr ? *state : own;
  TokenSampler sampler(options.sampling);
  sampler.Read(prompt);
  GenerateResult result;
  Clock clock;
  Tensor hidden;  // [1,T,C] of what was read last
  for (size_t first = 0; first < prompt.size(); first += options.prompt_chunk) {
    const size_t last = std::min(prompt.size(), first + options.prompt_chunk);
    const std::vector<int64_t> piece(prompt.begin() + first, prompt.begin() + last);
    hidden = model.Forward(at::tensor(piece, at::kLong).unsqueeze(0), &carried);
  }
  for (int64_t count = 0; count < options.max_tokens; ++count) {
    if (count > 0) hidden = model.Forward(at::full({1, 1}, result.unread, at::kLong), &carried);
    const Tensor logits = model.Logits(hidden.select(1, hidden.size(1) - 1)).squeeze(0);
    auto id = sampler.Sample(logits);
    if (!id.ok()) return Annotate(id.status(), Concatenate("token ", count, " after the prompt"));
    result.unread = *id;
    const double seconds = clock.Lap();
    if (count == 0) {
      result.prompt_seconds = seconds;
    } else {
      result.token_seconds.push_back(seconds);
    }
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), *id) != options.stop_ids.end()) {
      result.stopped = true;
      break;
    }
    result.tokens.push_back(*id);
    if (on_token && !on_token(*id)) break;
  }
  result.state_bytes = carried.ByteSize();
  return result;
}

}  // namespace radlads
