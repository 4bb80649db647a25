// A small model as a service, for tests.
#ifndef RADLADS_SERVE_SESSIONS_SERVICE_TESTING_H_
#define RADLADS_SERVE_SESSIONS_SERVICE_TESTING_H_

#include <prometheus/registry.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "model/transformer.h"
#include "serve/sessions/session_service.h"

namespace radlads {

// An empty folder of its own.
std::string NewDirectory();
// Sampling that ends no text by itself: greedy, or with everything that depends on what was sampled before.
SamplingOptions Greedy();
SamplingOptions Seeded(uint64_t seed);

class SmallService {
 public:
  explicit SmallService(const std::string& kind, SessionServiceOptions options = {.directory = NewDirectory()});
  // As after the end of the process, the model kept.
  void Reopen();
  TextService* operator->() { return service_.get(); }
  TextService& operator*() { return *service_; }
  Transformer& model() { return *model_; }
  absl::Status Warm(std::span<const std::vector<int64_t>> prompts, std::stop_token stop = {}) {
    return service_->Warm(prompts, std::move(stop));
  }
  double Metric(const std::string& name, const std::string& label_value) const;
  SessionServiceOptions options;

 private:
  const std::shared_ptr<Transformer> model_;
  std::unique_ptr<prometheus::Registry> metrics_;
  std::unique_ptr<SessionService> service_;
};

// One after the other.
std::vector<int64_t> Joined(const std::vector<std::vector<int64_t>>& parts);
// The reply to a prompt that nothing came before.
std::vector<int64_t> Reply(SmallService& service, const std::vector<int64_t>& prompt, int64_t tokens,
                           const SamplingOptions& sampling);
// In `session`; checks what the result says of it.
std::vector<int64_t> Say(SmallService& service, const std::string& session, const std::vector<int64_t>& prompt,
                         int64_t tokens, const SamplingOptions& sampling);

// A text as its reader sees it.
class Reader {
 public:
  // Fails the test where the request is refused.
  Reader(TextService& service, TextRequest request, int64_t leave_after = -1);
  ~Reader() { Wait(); }
  const TextResult& Wait();
  void WaitForTokens(size_t count);
  void Cancel() { service_.Cancel(number_); }
  // After Wait.
  const std::vector<int64_t>& ids() const { return ids_; }
  const std::vector<TextToken>& tokens() const { return tokens_; }
  const std::string& text() const { return text_; }

 private:
  TextService& service_;
  uint64_t number_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int64_t> ids_;
  std::vector<TextToken> tokens_;
  std::string text_;
  TextResult result_;
  bool done_ = false;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SERVICE_TESTING_H_
