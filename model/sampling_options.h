// How the next token is chosen.
#ifndef RADLADS_MODEL_SAMPLING_OPTIONS_H_
#define RADLADS_MODEL_SAMPLING_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace radlads {

struct SamplingOptions {
  double temperature = 0;  // logits are divided by it; 0 takes the likeliest token (the lowest id among equals)
  int64_t top_k = 0;       // only the k likeliest tokens; 0 means all
  double top_p = 1;  // only the likeliest tokens that together have this probability (after temperature and top_k)
  uint64_t seed = 0;

  // INVALID_ARGUMENT names the option that is out of range.
  absl::Status Check() const;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_SAMPLING_OPTIONS_H_
