// The eval service over gRPC (docs/formats/eval_service.md), with the standard health service and reflection.
#ifndef RADLADS_EVAL_SERVICE_SERVER_H_
#define RADLADS_EVAL_SERVICE_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/model_queue.h"

namespace radlads {

struct EvalServerOptions {
  std::string listen = "127.0.0.1:0";  // HOST:PORT; port 0 takes a free one
  std::string model_name;              // in replies
};

class EvalServer {
 public:
  // Listens and serves in threads of its own. `queue` and `metrics` must outlive it. FAILED_PRECONDITION when the
  // address cannot be had; INVALID_ARGUMENT for a tokenizer that knows no end-of-text token.
  static absl::StatusOr<std::unique_ptr<EvalServer>> Start(ModelQueue& queue,
                                                           std::shared_ptr<const Tokenizer> tokenizer,
                                                           prometheus::Registry& metrics,
                                                           const EvalServerOptions& options);
  // Drains.
  ~EvalServer();

  int port() const;

  // Reports NOT_SERVING; streams answer the batch in hand and end. Waits for them, 30 seconds at most; what is not
  // answered then is dropped.
  void Drain();

 private:
  class Impl;
  explicit EvalServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_SERVICE_SERVER_H_
