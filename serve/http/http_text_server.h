// The streaming server over HTTP: OpenAI's API, sessions, and a page. docs/formats/http_api.md is the contract.
//
//   GET  /                          the page, with /style.css and /script.js
//   POST /v1/chat/completions       POST /v1/completions        whole, or streamed as server-sent events
//   GET  /v1/models                 GET /v1/models/{name}
//   GET, POST /v1/sessions          GET, DELETE /v1/sessions/{id}
//   POST /v1/sessions/{id}/fork     POST /v1/sessions/{id}/rewind
//   GET  /v1/sessions/{id}/export   POST /v1/sessions/import
//   GET  /health                    GET /metrics (Prometheus text)
//
// Errors are {"error": {"message", "type", "param", "code"}} (http_error.h). Every request that can be read is one log
// line, and its reply names it in x-request-id.
#ifndef RADLADS_SERVE_HTTP_HTTP_TEXT_SERVER_H_
#define RADLADS_SERVE_HTTP_HTTP_TEXT_SERVER_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/bound_port.h"
#include "serve/transport/request_work.h"
#include "serve/transport/served_model.h"

namespace prometheus {
class Registry;
}

namespace radlads {

struct HttpTextServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                        // 0: any that is free
  int64_t requests = 1024;                // worked on at once, streams among them; more wait
  int64_t connections = 16384;            // open at once
  size_t max_body = 64 << 20;             // bytes, decompressed; a session that is imported must fit
  // What requests share, with other servers too, and must outlive this one; none: the server has its own.
  RequestWork* work = nullptr;
  int64_t max_tokens = 1024;              // of a reply whose request does not say
  std::string tls_certificate, tls_key;   // PEM files; none: plain HTTP
  std::vector<std::string> keys;          // API keys (ReadKeys); none: everyone may ask
  std::vector<std::string> cors_origins;  // whose pages may ask, "*": all
  bool starting = false;                  // /health is 503 until Ready is called
  // Time for: requests to come whole; a client to take 64 KiB; texts to end by themselves after Shutdown.
  std::chrono::milliseconds request_time{20'000}, write_time{10'000}, drain_time{30'000};
};

class HttpTextServer {
 public:
  // `models`: one or more, with names of their own. `metrics` is what /metrics shows; some are added. It and the
  // services must outlive the server.
  HttpTextServer(std::vector<ServedModel> models, prometheus::Registry& metrics, const HttpTextServerOptions& options);
  ~HttpTextServer();

  // Takes the port. FAILED_PRECONDITION when it is not to be had; INVALID_ARGUMENT for a certificate or key that cannot
  // be used.
  absl::Status Bind();
  // One that was taken before.
  absl::Status Bind(BoundPort port);
  int port() const;
  // Serves until Shutdown; returns when requests under way are answered.
  absl::Status Serve();
  // From any thread: /health says that all is well.
  void Ready();
  // From any thread: no new connections, and no new texts on those that are there. Texts under way have `drain_time` to
  // end by themselves, then their streams end with an error event. Takes effect in Serve, which must be running. Call
  // it before TextService::Drain, whose texts it would otherwise wait for without that limit.
  void Shutdown();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_HTTP_TEXT_SERVER_H_
