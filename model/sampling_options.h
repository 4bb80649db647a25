// How the next token is drawn from logits. Free of tensors.
#ifndef RADLADS_MODEL_SAMPLING_OPTIONS_H_
#define RADLADS_MODEL_SAMPLING_OPTIONS_H_

#include <cstdint>
#include <map>

#include "absl/status/status.h"

namespace radlads {

// What is applied to logits, in this order.
struct SamplingOptions {
  std::map<int64_t, double> logit_bias;  // added, by token
  // Keskar et al., 2019 (arXiv 1909.05858): logits of tokens that came before, in prompt or text, are divided by it if
  // above 0, else multiplied. Above 0; 1: nothing.
  double repetition_penalty = 1;
  // As OpenAI's API: subtracted from the logits of tokens that were sampled before, once, and for each time. [-2, 2].
  double presence_penalty = 0;
  double frequency_penalty = 0;
  double temperature = 0;  // logits are divided by it; 0 takes the likeliest token (the lowest id among equals)
  int64_t top_k = 0;       // only the k likeliest tokens; 0 means all
  double top_p = 1;        // only the likeliest tokens that together have this probability
  double min_p = 0;        // only tokens at least so likely as min_p times the likeliest (arXiv 2407.01082)
  uint64_t seed = 0;

  // INVALID_ARGUMENT names the option that is out of range. Ids of `logit_bias` are in [0, vocabulary).
  absl::Status Check(int64_t vocabulary) const;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_SAMPLING_OPTIONS_H_
