// What is logged and counted of texts, whichever the transport.
#ifndef RADLADS_SERVE_TRANSPORT_TEXT_LOG_H_
#define RADLADS_SERVE_TRANSPORT_TEXT_LOG_H_

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>
#include <string_view>

#include "serve/text_service.h"

namespace radlads {

// `count` hexadecimal digits that nobody can guess.
std::string RandomHex(int count);

// The client's own, x-request-id, if that is 1 to 64 of [A-Za-z0-9._-]; else a new one.
std::string RequestId(std::string_view given);

// For histograms of times of requests.
const prometheus::Histogram::BucketBoundaries& SecondsBuckets();

// radlads_<transport>_first_token_seconds and radlads_<transport>_tokens_total. Thread-safe.
class TextLog {
 public:
  TextLog(prometheus::Registry& metrics, const std::string& transport);

  // After so many seconds.
  void FirstToken(double seconds) { first_token_.Observe(seconds); }
  // Counts a text that ended -> words for its log line: " model=... finish=...".
  std::string End(const std::string& model, const TextResult& result);

 private:
  prometheus::Histogram& first_token_;
  prometheus::Family<prometheus::Counter>& tokens_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_TEXT_LOG_H_
