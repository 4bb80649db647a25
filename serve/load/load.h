// Load for a server of docs/formats/http_api.md: streamed texts, many at once, and how long they take.
#ifndef RADLADS_SERVE_LOAD_LOAD_H_
#define RADLADS_SERVE_LOAD_LOAD_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/load/latency.h"

namespace radlads {

struct LoadOptions {
  std::string url = "http://127.0.0.1:8080";
  std::string key, model;
  // Closed loop: each of so many clients asks again as soon as it is answered. Open loop: the most that wait at once.
  int64_t concurrency = 8;
  double rate = 0;        // requests a second, at random times (a Poisson process): open loop; 0: closed loop
  int64_t requests = 64;  // in all
  double seconds = 0;     // instead of a number: until so much time has passed
  int64_t prompt_words = 64, max_tokens = 32;
  int64_t shared_words = 0;  // of prompt_words, the first ones are the same in all requests: a server may keep them
  int64_t sessions = 0;      // made first, kept open, gone on from in turn, and deleted; 0: texts that are not kept
  bool stream = true;        // false: replies come whole, as servers without streams give them
  uint64_t seed = 1;         // of the words and times

  absl::Status Check() const;
};

struct LoadResult {
  double seconds = 0;
  int64_t answered = 0, prompt_tokens = 0, reply_tokens = 0;
  int64_t cached_tokens = 0;              // of prompt_tokens, as far as the server says so
  std::map<std::string, int64_t> errors;  // how often, by what was said
  // From when a request was due, which is before it is sent where all clients are busy: a server that stalls is not
  // spared the requests that it kept from being sent. `between`: pieces of text in a stream.
  Latencies first_text, between, whole;

  std::string Table() const;
  std::string Json() const;
};

// INVALID_ARGUMENT for options out of range; UNAVAILABLE where no server answers at the beginning. Shows progress.
absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options);

}  // namespace radlads

#endif  // RADLADS_SERVE_LOAD_LOAD_H_
