// The service of one model: texts by its engine, sessions in its store.
//
// A token is written down before anybody sees it, so that after a crash a session stands where its reader does, or one
// token further. States are stored at the ends of messages and on the way, on a thread of their own. In fp32 on the CPU
// a text has the same tokens however its beginning is reached: read, continued, forked, taken from the prefix cache, or
// replayed after a crash.
#ifndef RADLADS_SERVE_SESSIONS_SESSION_SERVICE_H_
#define RADLADS_SERVE_SESSIONS_SESSION_SERVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "model/transformer.h"
#include "serve/engine/engine.h"
#include "serve/sessions/session_store.h"
#include "serve/text_service.h"

namespace prometheus {
class Registry;
}

namespace radlads {

// A size that is chosen from `memory`.
inline constexpr int64_t kFromMemory = -1;

struct SessionServiceOptions {
  std::string model = "model";  // a name for replies, metrics and messages
  EngineOptions engine;
  std::string directory;  // of the store; made where there is none
  SessionStoreOptions store;
  int64_t cache_bytes = int64_t{1} << 30;  // of states in memory, for prompts that begin alike; 0: none
  // Bytes that this service may take. Where engine.active, engine.waiting or cache_bytes is kFromMemory, it decides
  // (service_sizes.h).
  int64_t memory = 0;
  std::optional<int64_t> device_memory;  // the same, of the model's device where that is not the CPU
  int64_t snapshot_tokens = 512;  // a state is stored after so many tokens of a reply, and at its end
  // A larger state, of a softmax model, is not stored but made again from the tokens when it is needed.
  int64_t state_bytes = int64_t{64} << 20;
  int64_t context = 0;  // tokens that a text may have; 0: no limit

  absl::Status Check() const;
};

class SessionService : public TextService {
 public:
  // `model` is one for inference (LoadForInference); it and `metrics` must outlive the service. INVALID_ARGUMENT for
  // options out of range; errors of opening the store, SessionStore::Open.
  static absl::StatusOr<std::unique_ptr<SessionService>> Create(Transformer& model,
                                                                std::shared_ptr<const Tokenizer> tokenizer,
                                                                const SessionServiceOptions& options,
                                                                prometheus::Registry& metrics);

  // Computes two steps, so that all weights are in memory, then reads each prompt and keeps its state there for good:
  // texts that begin so find it. Returns when that is done, or soon after `stop` with CANCELLED. INVALID_ARGUMENT for
  // ids outside of the vocabulary or more tokens than a text may have; RESOURCE_EXHAUSTED for states that do not fit
  // cache_bytes.
  virtual absl::Status Warm(std::span<const std::vector<int64_t>> prompts, std::stop_token stop = {}) = 0;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SESSION_SERVICE_H_
