// Texts from their request to their end: where each goes on from, what is written down of it, who hears of it. Private
// to the session service.
#ifndef RADLADS_SERVE_SESSIONS_TEXT_RUNNER_H_
#define RADLADS_SERVE_SESSIONS_TEXT_RUNNER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/engine/engine.h"
#include "serve/sessions/prefix_cache.h"
#include "serve/sessions/served_text.h"
#include "serve/sessions/service_metrics.h"
#include "serve/sessions/session_service.h"
#include "serve/sessions/session_store.h"
#include "serve/sessions/state_layout.h"
#include "serve/sessions/stored_place.h"
#include "serve/sessions/work_queue.h"
#include "serve/text_service.h"

namespace radlads {

// Thread-safe.
class TextRunner {
 public:
  // `store` and what `metrics` was made with must outlive it.
  TextRunner(std::unique_ptr<Engine> engine, std::shared_ptr<const Tokenizer> tokenizer, StateLayout layout,
             std::string model_hash, SessionStore& store, ServiceMetrics& metrics,
             const SessionServiceOptions& options);
  // Cancels what is left.
  ~TextRunner();

  absl::StatusOr<uint64_t> Start(TextRequest request, TextCallbacks callbacks);
  void Cancel(uint64_t number);
  void Drain();
  absl::Status Warm(std::span<const std::vector<int64_t>> prompts, std::stop_token stop);

 private:
  absl::Status Compute(EngineRequest request, std::stop_token stop);
  absl::Status Check(const TextRequest& request) const;
  absl::StatusOr<StoredPlace> Begin(ServedText& text);
  absl::Status DropReplyEnd(ServedText& text, const StoredPlace& place);
  absl::StatusOr<EngineRequest> MakeRequest(ServedText& text, const StoredPlace& place);
  bool LoadLonger(std::span<const PrefixHash> hashes, PrefixCache::Match* match);

  // On the thread that hands out.
  void HandOut(std::vector<TextEvent> events);
  void WriteTokens(const std::vector<TextEvent>& events);
  void Deliver(TextEvent& event);
  // On the thread that stores.
  void StorePending(const ServedTextPtr& text, const HashedSnapshot& snapshot);
  TextResult StoreEnd(ServedText& text, const EngineResult& result, const PrefixHash& hash);
  absl::Status StoreSession(ServedText& text, const EngineResult& result, const PrefixHash& hash, TextResult* stored);
  SessionStore::Place PlaceOf(const Snapshot& snapshot, const PrefixHash& hash, int64_t tokens, bool message,
                              std::string* state) const;

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const StateLayout layout_;
  const std::string model_hash_;
  SessionStore& store_;
  ServiceMetrics& metrics_;
  const SessionServiceOptions options_;
  PrefixCache cache_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable ended_;
  std::map<uint64_t, ServedTextPtr> texts_;

  // The engine tells the first thread, which hands on to the second and gets back.
  const std::unique_ptr<Engine> engine_;
  std::unique_ptr<WorkQueue<TextEvent>> events_;
  std::unique_ptr<WorkQueue<std::function<void()>>> writes_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_TEXT_RUNNER_H_
