// A text under way, between the engine and those who write it down and hand it out. Private to the session service.
#ifndef RADLADS_SERVE_SESSIONS_SERVED_TEXT_H_
#define RADLADS_SERVE_SESSIONS_SERVED_TEXT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "data/tokenizer/tokenizer.h"
#include "serve/engine/engine.h"
#include "serve/sessions/prefix_hash.h"
#include "serve/sessions/session_store.h"
#include "serve/text/growing_json.h"
#include "serve/text/growing_text.h"
#include "serve/text_service.h"

namespace radlads {

// A snapshot, and the hash of the tokens that its state has read.
struct HashedSnapshot {
  SnapshotPtr snapshot;
  PrefixHash hash;
};

struct ServedText;

// What the engine's thread tells about a text, in order.
struct TextEvent {
  std::shared_ptr<ServedText> text;
  std::chrono::steady_clock::time_point time = std::chrono::steady_clock::now();
  TextPiece piece;
  std::optional<HashedSnapshot> snapshot;  // on the way
  // Of the last event.
  std::optional<EngineResult> result;
  PrefixHash end_hash{};  // of the result's snapshot
  // Of the one after that: everything is stored.
  std::optional<TextResult> stored;
};

struct ServedText {
  ServedText(std::shared_ptr<const Tokenizer> words, TextRequest asked, TextCallbacks callbacks);

  // Fixed once the engine has the text.
  uint64_t number = 0;  // the engine's
  TextRequest request;
  TextCallbacks callbacks;
  std::optional<SessionStore::Lease> lease;  // of the session that goes on; given back before on_done
  std::string session, parent;
  std::vector<int64_t> stop_ids;
  std::vector<int64_t> before;  // `keep`: the text before the prompt
  int64_t begin = 0;            // tokens of the text before the prompt
  int64_t replayed = 0;         // tokens of the reply that were known
  int64_t cached = 0;           // of the prompt
  int64_t hash_begin = 0;       // the place of the first of `hashes`
  int64_t stored_at = 0;        // place of the last stored state
  bool again = false;           // a reply that was cut goes on
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();

  // The engine's thread. Returns whether the text goes on.
  bool OnToken(int64_t id, const Tensor& logits, const std::function<void(TextEvent)>& emit);
  TextEvent OnEnd(EngineResult result);
  PrefixHash HashAt(int64_t place) const;
  // Takes a token that is known already: its text was handed out before. INVALID_ARGUMENT for one that the request does
  // not allow.
  absl::Status Replay(int64_t id);
  // Whether the token may come next: in `json`, or where nothing may end the text yet.
  bool Allows(int64_t id) const;
  bool TooShort() const { return static_cast<int64_t>(reply.size()) < request.min_tokens; }
  // By a stop string, or because the JSON is complete.
  bool Ended() const { return growing.ended() || (json && json->complete()); }

  // One more token of the reply.
  void Grow(int64_t id);

  const std::shared_ptr<const Tokenizer> tokenizer;
  GrowingText growing;
  std::optional<GrowingJson> json;  // the reply, if it is to be that
  std::vector<int64_t> reply;       // sampled or replayed
  std::vector<PrefixHash> hashes;   // of what the engine was given
  PrefixHash last_hash, full_hash;  // of the text without its last token, and with it
  absl::Status broken;              // of the scores

  std::atomic<bool> unwanted = false;  // ends with the next token
  std::atomic<bool> sampled = false;

  // The thread that hands out.
  bool logged = false;  // the prompt, and the beginning of a reply, are in the store
  bool left = false;    // nobody listens any more
  std::optional<HashedSnapshot> pending;
  absl::Status failure;  // of the store
  std::optional<std::chrono::steady_clock::time_point> last_token;
};
using ServedTextPtr = std::shared_ptr<ServedText>;

// How the text ended.
TextFinish FinishOf(const ServedText& text, const EngineResult& result);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SERVED_TEXT_H_
