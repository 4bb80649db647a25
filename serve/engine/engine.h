// Many texts that are continued at once: continuous batching of rows of state (Yu et al., 2022, OSDI "Orca").
//
// One thread computes. Every turn reads a piece of one waiting prompt, at most `prompt_tokens` long, and steps all
// texts that are past their prompt by one token, so that a long prompt never stalls them. Greedy or sampled, in fp32 on
// the CPU a text has the same tokens alone and among others (linear.h, kernels/wkv), and after a continuation from a
// snapshot the same as without the break.
#ifndef RADLADS_SERVE_ENGINE_ENGINE_H_
#define RADLADS_SERVE_ENGINE_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/sampling.h"
#include "model/state.h"
#include "model/transformer.h"

namespace radlads {

// Where a text stands; immutable, shared by all that continue from it.
struct Snapshot {
  ModelState state;  // one row; empty before the first token
  // Tokens of the text that the state has not read yet: most often the last one. A continuation reads them first.
  std::vector<int64_t> unread;
  int64_t tokens = 0;  // that the state has read
  // [W] fp32 on the CPU, of the token after those that the state has read: where on_snapshot is called at the end of a
  // prompt; else undefined. With them a text that has nothing more to read gets its first token at once.
  Tensor logits;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

enum class FinishReason { kStopToken, kCallback, kLength, kCancelled, kError };

struct EngineResult {
  FinishReason finish = FinishReason::kError;
  absl::Status status;   // of kError
  SnapshotPtr snapshot;  // after the last token; null after kCancelled and kError
  int64_t prompt_tokens = 0, sampled_tokens = 0;
};

struct EngineRequest {
  SnapshotPtr from;             // null: from nothing
  std::vector<int64_t> prompt;  // may be empty if `from` has unread tokens, or logits
  // Of `prompt` and `replay`, the tokens that `from` has read already: it is a place within this text, its `unread` is
  // not looked at. The tokens are the same as without it. All of them only if `from` has logits.
  int64_t read = 0;
  int64_t max_tokens = 256;       // with those of `replay`; 0: the prompt is read and nothing sampled
  SamplingOptions sampling;       // penalties count `prompt` and what is sampled
  std::vector<int64_t> stop_ids;  // end the text, as its last token
  // Tokens that an earlier run of the same request sampled: they are taken as they are, not sampled again, and not
  // given to on_token. At most max_tokens.
  std::vector<int64_t> replay;
  // Which tokens may come next (TokenSampler::Sample); empty: all. Asked between two calls of on_token.
  TokenSampler::Allows allows;
  // Where on_snapshot is called: after so many tokens of the text, `from` included, in rising order, as far as they are
  // read for the first token that is sampled, which on_token gets before; and each time `snapshot_every` more have been
  // sampled, 0: never.
  std::vector<int64_t> snapshot_at;
  int64_t snapshot_every = 0;
  // On the engine's thread, where they must not wait. `on_token` gets each token with the logits [W] fp32 that it was
  // sampled from, which are the engine's; false ends the text with this token. `on_done` is called once, last.
  std::function<bool(int64_t id, const Tensor& logits)> on_token;
  std::function<void(SnapshotPtr snapshot)> on_snapshot;
  std::function<void(EngineResult result)> on_done;
};

struct EngineOptions {
  int64_t active = 64;          // texts that step together; those of softmax models keep memory that grows
  int64_t waiting = 1024;       // requests that are accepted before there is room for them
  int64_t prompt_tokens = 256;  // of a prompt in one turn

  absl::Status Check() const;
};

struct EngineStats {
  int64_t waiting = 0, reading = 0, active = 0;     // now
  int64_t prompt_tokens = 0, sampled_tokens = 0;    // since the start
  int64_t finished = 0, cancelled = 0, failed = 0;  // requests
  int64_t state_bytes = 0;                          // of what is active now
};

// Thread-safe.
class Engine {
 public:
  // `model` is one for inference (LoadForInference) and must outlive it. INVALID_ARGUMENT for options out of range.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(Transformer& model, const EngineOptions& options);
  // Cancels what is left.
  virtual ~Engine() = default;

  // -> a number for Cancel. RESOURCE_EXHAUSTED when as many requests wait as may; INVALID_ARGUMENT, before any work,
  // names what is wrong with the request; UNAVAILABLE after Drain.
  virtual absl::StatusOr<uint64_t> Submit(EngineRequest request) = 0;
  // Ends a request within a token; its on_done is called with kCancelled unless it has ended by itself.
  virtual void Cancel(uint64_t number) = 0;
  // Accepts nothing more and returns when all that was accepted has ended.
  virtual void Drain() = 0;
  virtual EngineStats stats() const = 0;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_ENGINE_ENGINE_H_
