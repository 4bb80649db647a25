// A text service without a model, for tests of transports: sessions are kept as the real one keeps them, and what texts
// say is known.
#ifndef RADLADS_SERVE_TESTING_FAKE_TEXT_SERVICE_H_
#define RADLADS_SERVE_TESTING_FAKE_TEXT_SERVICE_H_

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "serve/text_service.h"

namespace radlads {

struct FakeOptions {
  int64_t vocabulary = 97;
  // Every text samples these, again and again, up to max_tokens or a token that the tokenizer stops at. Their log
  // probability is -0.5, and -1.5, -2.5 ... those of the next ids.
  std::vector<int64_t> reply;
  std::chrono::milliseconds token_time{0};  // for each of them
  int64_t texts = 1024;                     // at once
};

// Stop strings, sampling options and TTLs are taken and not looked at.
class FakeTextService : public TextService {
 public:
  FakeTextService(std::shared_ptr<const Tokenizer> tokenizer, FakeOptions options);
  ~FakeTextService() override;

  ServiceInfo info() const override { return {.model = "fake", .vocabulary = options_.vocabulary}; }
  absl::StatusOr<uint64_t> Start(TextRequest request, TextCallbacks callbacks) override;
  void Cancel(uint64_t number) override;
  absl::StatusOr<SessionInfo> CreateSession(std::string_view id, int64_t ttl_seconds) override;
  absl::StatusOr<SessionInfo> GetSession(std::string_view id) override;
  absl::StatusOr<std::vector<SessionInfo>> ListSessions(std::string_view after, int64_t limit) override;
  absl::Status DeleteSession(std::string_view id) override;
  absl::StatusOr<std::vector<SnapshotInfo>> Snapshots(std::string_view session) override;
  absl::StatusOr<std::vector<int64_t>> Tokens(std::string_view session, int64_t first, int64_t limit) override;
  absl::StatusOr<SessionInfo> ForkSession(std::string_view session, std::string_view snapshot,
                                          std::string_view id) override;
  absl::StatusOr<SessionInfo> RewindSession(std::string_view session, std::string_view snapshot) override;
  absl::StatusOr<std::string> ExportSession(std::string_view session) override;
  absl::StatusOr<SessionInfo> ImportSession(std::string_view blob, std::string_view id) override;
  void Drain() override;

  // Texts that go on now, how all of them ended, and the last request.
  int64_t running() const;
  std::vector<TextFinish> finished() const;
  TextRequest last_request() const;
  // Texts end with this from now on, after their first token; OK: no longer.
  void FailWith(absl::Status status);

 private:
  struct Session {
    SessionInfo info;
    std::vector<int64_t> ids;
    std::vector<SnapshotInfo> snapshots;
  };

  void Continue(uint64_t number, TextRequest request, TextCallbacks callbacks, std::vector<int64_t> ids);
  // With mutex_ held.
  absl::StatusOr<Session*> Find(std::string_view id);
  absl::StatusOr<Session*> Make(std::string_view id);
  SessionInfo InfoOf(const Session& session) const;
  void AddSnapshot(Session& session, std::string id);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const FakeOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Session> sessions_;
  std::map<uint64_t, bool> running_;  // whether it is cancelled
  std::vector<TextFinish> finished_;
  TextRequest last_request_;
  absl::Status failure_;
  uint64_t last_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TESTING_FAKE_TEXT_SERVICE_H_
