// One model for many callers at once.
#ifndef RADLADS_EVAL_MODEL_QUEUE_H_
#define RADLADS_EVAL_MODEL_QUEUE_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "eval/token_model.h"

namespace prometheus {
class Registry;
}

namespace radlads {

// Asked about five to twenty times a second, on the thread of the call that it belongs to.
using CancelledCallback = std::function<bool()>;

// A thread that owns the model. What its callers ask for while it is busy becomes its next batch, whoever asks and by
// whatever transport. A model that has nothing to do waits until 5 ms after the last arrival, 50 ms in all, for more.
// Thread-safe. Destroy it when no call is under way.
//
// Metrics: radlads_eval_model_requests{state="waiting"|"running"} and
// radlads_eval_model_requests_total{result="answered"|"cancelled"|"failed"}, in token requests, and
// radlads_eval_model_busy_seconds_total.
class ModelQueue {
 public:
  // `model` is one for inference, used by nobody else; it and `metrics` must outlive the queue. INVALID_ARGUMENT for
  // options out of range.
  static absl::StatusOr<std::unique_ptr<ModelQueue>> Create(Transformer& model, const TokenModelOptions& options,
                                                            prometheus::Registry& metrics);
  ~ModelQueue();

  // The model for a caller, who may leave: once `cancelled` says so, a call ends with CANCELLED at once. What of it
  // waits is never computed, what is being generated ends with the next token, what is being scored with the next
  // batch; others do not notice. INVALID_ARGUMENT is the fate of one call; DATA_LOSS and INTERNAL, that of all in a
  // batch. The result may be used by many threads and must not outlive the queue.
  std::unique_ptr<TokenModel> Caller(CancelledCallback cancelled = {});

  int64_t vocabulary() const;
  int64_t max_length() const;

 private:
  class Impl;
  class QueuedModel;
  explicit ModelQueue(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_MODEL_QUEUE_H_
