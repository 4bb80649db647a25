// What can be asked of a model that is served: texts that go on, and sessions whose state is kept.
//
// Free of tensors, so that transports do not know LibTorch; virtual, so that their tests need no model. A session is a
// text of tokens that only grows at its end; a snapshot is a place in it where the state of the model is kept.
// Snapshots never change: any number of texts may go on from one, and a session can be set back to one of its own.
#ifndef RADLADS_SERVE_TEXT_SERVICE_H_
#define RADLADS_SERVE_TEXT_SERVICE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/sampling_options.h"

namespace radlads {

// What a text goes on from, and how.
struct TextRequest {
  // At most one of both; neither: from nothing. A session's end moves on, and only one text at a time may do that; a
  // snapshot stays what it is, and the text is one that is not kept unless `keep` is set.
  std::string session, snapshot;
  // Is read first; may be empty where something was left unread. Without it, a session that is `cut` goes on with that
  // reply: its tokens count for the seed and the penalties, so that it ends as it would have.
  std::vector<int64_t> prompt;
  // So many first tokens of `prompt` end a reply, as a chat template does before the next turn: they are not read where
  // the text that goes on ends with the last of them, which the model has then sampled itself.
  int64_t reply_end = 0;
  int64_t max_tokens = 256;  // 0: only the prompt is read
  SamplingOptions sampling;
  bool json = false;                // the reply is one JSON object, in UTF-8, and ends with it
  std::vector<std::string> stop;    // the text ends before the first of them
  std::vector<int64_t> stop_ids;    // and before the first of these tokens
  bool ignore_eos = false;          // the tokenizer's stop tokens do not end it
  int64_t min_tokens = 0;           // so many come before what ends it; not with `json`
  std::optional<int64_t> logprobs;  // of each token, and so many of the likeliest, at most 20
  bool keep =
      false;  // without `session`: a new session is made of it, so that the reply's snapshot can be gone on from
  // Of the snapshot after the reply, where one is kept; ALREADY_EXISTS for one in use. Empty: the service makes one.
  std::string snapshot_id;
};

struct TextToken {
  int64_t id = 0;
  float logprob = 0;                           // natural; before temperature and penalties. With `logprobs`, as `top`
  std::vector<std::pair<int64_t, float>> top;  // by falling probability
};

// Text that became certain, well-formed UTF-8, and the tokens since the last piece. Text that may be the beginning of a
// stop string is held back until it is known. A piece may have no text, or no tokens (at the end).
struct TextPiece {
  std::string text;
  std::vector<TextToken> tokens;
};

enum class TextFinish { kStop, kLength, kCancelled, kError };

// A text that ends with kError leaves its session as it was before, one that was cancelled before its first token too;
// after that, a session ends with the last token that was sampled. Tokens of a stop string or a stop token are part of
// the session, not of the text of the pieces.
struct TextResult {
  TextFinish finish = TextFinish::kError;
  absl::Status status;            // of kError
  std::string session, snapshot;  // where to go on from; empty if nothing is kept
  int64_t prompt_tokens = 0;      // of the request, without a `reply_end` that was not read
  int64_t cached_tokens = 0;      // of these, not read again: the state after them was at hand
  int64_t reply_tokens = 0;
  int64_t text_tokens = 0;  // of the whole text, from its beginning
  int64_t state_bytes = 0;  // of the state after the last token
};

// Called on the service's own thread, where they must not wait, one at a time; `on_done` once, last.
struct TextCallbacks {
  std::function<bool(TextPiece piece)> on_piece;  // false: nobody wants more; finish is kCancelled
  std::function<void(TextResult result)> on_done;
};

struct SnapshotInfo {
  std::string id;
  int64_t tokens = 0;   // of the text up to here
  int64_t bytes = 0;    // of its state
  int64_t created = 0;  // seconds since 1970
};

struct SessionInfo {
  std::string id;
  int64_t tokens = 0;                          // of the text
  int64_t state_bytes = 0;                     // of its last state
  int64_t stored_bytes = 0;                    // of all its snapshots, and the tokens
  int64_t created = 0, used = 0, expires = 0;  // seconds since 1970; expires 0: never
  std::string parent;                          // the session that it was forked from, if any
  bool busy = false;                           // a text goes on from its end right now
  bool cut = false;                            // a crash ended its last reply
};

struct ServiceInfo {
  std::string model;  // a name for replies
  int64_t vocabulary = 0;
  int64_t context = 0;       // tokens that a text may have; 0: no limit (recurrent)
  bool state_grows = false;  // softmax layers keep memory for every token
};

// Thread-safe. Ids are 1 to 64 of [A-Za-z0-9_-]: INVALID_ARGUMENT otherwise; NOT_FOUND where there is none;
// FAILED_PRECONDITION for a session that is busy; RESOURCE_EXHAUSTED where a limit is met, with the limit and what to
// do, and of the kind NoRoom (error_code.h) where nothing more can be kept; ABORTED for a snapshot that was dropped to keep
// within the limit.
class TextService {
 public:
  virtual ~TextService() = default;
  virtual ServiceInfo info() const = 0;

  // -> a number for Cancel. Errors of the request itself come at once, and then no callback is called.
  virtual absl::StatusOr<uint64_t> Start(TextRequest request, TextCallbacks callbacks) = 0;
  // Ends the text within a token; on_done is called with kCancelled unless it has ended by itself.
  virtual void Cancel(uint64_t number) = 0;

  // `id` empty: a new one is made; ALREADY_EXISTS for one in use. ttl_seconds: forgotten when unused for so long; 0:
  // the server's own.
  virtual absl::StatusOr<SessionInfo> CreateSession(std::string_view id, int64_t ttl_seconds) = 0;
  virtual absl::StatusOr<SessionInfo> GetSession(std::string_view id) = 0;
  // In the order of ids, those after `after`, at most `limit`.
  virtual absl::StatusOr<std::vector<SessionInfo>> ListSessions(std::string_view after, int64_t limit) = 0;
  virtual absl::Status DeleteSession(std::string_view id) = 0;
  // The snapshots that can be rewound to, in the order of the text.
  virtual absl::StatusOr<std::vector<SnapshotInfo>> Snapshots(std::string_view session) = 0;
  // The tokens of the text from `first` on, at most `limit`.
  virtual absl::StatusOr<std::vector<int64_t>> Tokens(std::string_view session, int64_t first, int64_t limit) = 0;
  // All of them.
  absl::StatusOr<std::vector<int64_t>> Tokens(std::string_view session, int64_t first) {
    return Tokens(session, first, INT64_MAX);
  }
  // A new session that begins as `session` does, up to its end or to `snapshot`. `id` as for CreateSession.
  virtual absl::StatusOr<SessionInfo> ForkSession(std::string_view session, std::string_view snapshot,
                                                  std::string_view id) = 0;
  // The text ends at `snapshot` again; later ones are dropped.
  virtual absl::StatusOr<SessionInfo> RewindSession(std::string_view session, std::string_view snapshot) = 0;
  // A session at its end, as one blob (docs/formats/session.md), and a session made of one: all or nothing.
  // INVALID_ARGUMENT names what differs where the blob is damaged or of another model.
  virtual absl::StatusOr<std::string> ExportSession(std::string_view session) = 0;
  virtual absl::StatusOr<SessionInfo> ImportSession(std::string_view blob, std::string_view id) = 0;

  // No more texts; returns when all have ended and everything is stored.
  virtual void Drain() = 0;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TEXT_SERVICE_H_
