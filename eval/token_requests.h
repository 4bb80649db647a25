// What is asked of a model, in token ids, and its answers.
#ifndef RADLADS_EVAL_TOKEN_REQUESTS_H_
#define RADLADS_EVAL_TOKEN_REQUESTS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "model/sampling_options.h"
#include "model/token_score.h"

namespace radlads {

// What does the model expect after each token of a sequence?
struct TokenScoreRequest {
  std::vector<int64_t> ids;  // what the model reads, from nothing before it
  // The model is asked after ids[first], ids[first + 1] and so on to the last; targets[i] is the token that follows
  // ids[first + i] and whose probability is asked for, or -1.
  int64_t first = 0;
  std::vector<int64_t> targets;  // ids.size() - first
  int64_t top = 0;               // how many of the likeliest tokens to name at each place

  // INVALID_ARGUMENT for an id outside of the vocabulary, no ids, or `first` or `targets` that do not fit.
  absl::Status Check(int64_t vocabulary) const;
};

// Result of request `index`, targets.size() places; called once each, as results come.
using TokenScoreCallback = std::function<void(int64_t index, std::vector<TokenScore> scores)>;

// How does a text go on?
struct ContinueRequest {
  std::vector<int64_t> ids;  // the text so far
  int64_t max_tokens = 256;
  SamplingOptions sampling;
  std::vector<int64_t> stop_ids;  // end the text, as its last token
  int64_t min_tokens = 0;         // so many come before one of them
  int64_t top = 0;                // how many of the likeliest tokens to name with each token

  // Every token is the likeliest that the model gives, as it is.
  bool TakesLikeliest() const;

  // INVALID_ARGUMENT for no ids, an id outside of the vocabulary, a negative max_tokens, or bad sampling options.
  absl::Status Check(int64_t vocabulary) const;
};

// Request `index` goes on with `id`; `score` is that of `id` before temperature, top_k and top_p. Returning false ends
// the text with this token.
using ContinueCallback = std::function<bool(int64_t index, int64_t id, const TokenScore& score)>;
// After the last token of request `index`.
using ContinuedCallback = std::function<void(int64_t index)>;

// Whether somebody still waits for the answer to request `index`. Cheap: asked before each piece of work. Once false,
// the request is dropped, and no callback is called for it any more. Empty: all are wanted.
using WantedCallback = std::function<bool(int64_t index)>;

}  // namespace radlads

#endif  // RADLADS_EVAL_TOKEN_REQUESTS_H_
