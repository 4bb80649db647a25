// Requests of the completion API between its transport, which knows JSON and HTTP, and the model, which knows tensors.
#ifndef RADLADS_EVAL_COMPLETION_H_
#define RADLADS_EVAL_COMPLETION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/sampling_options.h"

namespace radlads {

struct CompletionRequest {
  std::vector<int64_t> prompt;  // at least one id, all in the vocabulary
  int64_t max_tokens = 0;
  bool echo = false;                // the prompt is part of the reply
  std::optional<int64_t> logprobs;  // log probabilities, and so many of the likeliest tokens, at each place
  std::vector<std::string> stop;    // the text ends before the first of them
  std::vector<int64_t> stop_ids;    // and before the first of these tokens
  bool ignore_eos = false;          // the tokenizer's stop tokens do not end it
  int64_t min_tokens = 0;           // so many come before what ends it
  SamplingOptions sampling;
};

// A token in its place. The numbers are there if the request has `logprobs`, and the token is not the first of a
// prompt.
struct CompletionToken {
  int64_t id = 0;
  std::optional<float> logprob;
  // By falling probability: the likeliest, and the token itself at the end if it is not among them.
  std::vector<std::pair<int64_t, float>> top;
};

struct Completion {
  std::vector<CompletionToken> prompt;     // with `echo`
  std::vector<CompletionToken> generated;  // a token that ended the text is the last of them
  std::string text;                        // of the generated tokens, without the stop
  bool stopped = false;                    // by a stop token or text, else at max_tokens
};

// Thread-safe: concurrent calls are served together.
class CompletionModel {
 public:
  virtual ~CompletionModel() = default;
  // In the order of the requests: all or none. CANCELLED once `cancelled`, asked now and then on this thread, says that
  // nobody waits for the answer; empty: somebody does.
  virtual absl::StatusOr<std::vector<Completion>> Complete(std::vector<CompletionRequest> requests,
                                                           const std::function<bool()>& cancelled) = 0;
  virtual int64_t vocabulary() const = 0;
  virtual int64_t max_length() const = 0;  // tokens that the model reads, prompt and generated ones
};

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPLETION_H_
