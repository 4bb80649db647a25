// The HTTP server of the eval service: what lm_eval's local-completions, local-chat-completions and gguf
// clients ask for.
//
//   POST /v1/completions, POST /v1/chat/completions, GET /v1/models, GET /tokenizer_info, POST /tokenize,
//   POST /detokenize, GET /health, GET /metrics (Prometheus text)
//
// Bodies are in completion_json.h and chat_json.h. Errors are {"error": {"message", ...}} with 400 for what the client can
// mend, 413 for a body of more than 64 MiB, 503 while what requests and their replies may need of memory is more than an
// eighth of what there is, 500 for the rest: never a 200 with a part of the answer. What a client asked for is dropped
// when it closes its connection before the answer.
#ifndef RADLADS_EVAL_HTTP_SERVER_H_
#define RADLADS_EVAL_HTTP_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/bound_port.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"

namespace prometheus {
class Registry;
}

namespace radlads {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;         // 0: any that is free
  int connections = 64;    // whose requests are worked on at once; more wait
  std::string model_name;  // in replies
};

class HttpServer {
 public:
  // `metrics` is what /metrics shows; some are added. It and `model` must outlive the server.
  HttpServer(CompletionModel& model, std::shared_ptr<const Tokenizer> tokenizer, prometheus::Registry& metrics,
             const HttpServerOptions& options);
  ~HttpServer();

  // Takes the port. FAILED_PRECONDITION when it is not to be had.
  absl::Status Bind();
  // One that was taken before.
  absl::Status Bind(BoundPort port);
  int port() const;
  // Serves until Shutdown; returns when requests under way are answered.
  absl::Status Serve();
  // From any thread: no new requests. Takes effect in Serve, which must be running.
  void Shutdown();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_HTTP_SERVER_H_
