#include "eval/http_server.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "eval/completion_json.h"
#include "eval/http_connections.h"

namespace radlads {
namespace {

constexpr size_t kMaxBody = 64 << 20;
constexpr char kJson[] = "application/json";
constexpr int kClientLeft = 499;  // nobody reads it; for the metrics

void SendError(httplib::Response& response, const absl::Status& status) {
  response.status = absl::IsCancelled(status) ? kClientLeft : HttpStatus(status);
  response.set_content(ErrorReply(status), kJson);
}

// Of the errors that the library finds by itself.
const char* Reason(int code) {
  switch (code) {
    case 404:
      return "there is nothing here; the paths are /v1/completions, /v1/models, /tokenizer_info, /tokenize, "
             "/detokenize, /health and /metrics";
    case 413:
      return "the body is larger than 64 MiB";
    default:
      return code < 500 ? "the request is not well-formed HTTP" : "the server failed";
  }
}

void Send(httplib::Response& response, const absl::StatusOr<std::string>& reply) {
  if (reply.ok()) {
    response.set_content(*reply, kJson);
  } else {
    SendError(response, reply.status());
  }
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(CompletionModel& model, std::shared_ptr<const Tokenizer> tokenizer, prometheus::Registry& metrics,
       const HttpServerOptions& options)
      : model_(model),
        tokenizer_(std::move(tokenizer)),
        options_(options),
        started_(std::time(nullptr)),
        registry_(metrics) {
    server_.new_task_queue = [connections = options.connections] { return new httplib::ThreadPool(connections); };
    server_.set_payload_max_length(kMaxBody);
    server_.set_tcp_nodelay(true);
    // Not the library's SO_REUSEPORT, with which two servers share a port and neither says so.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_.set_keep_alive_max_count(1 << 30);
    Get("/health", [](const auto&, auto& response) { response.set_content("{\"status\":\"ok\"}", kJson); });
    Get("/metrics", [this](const auto&, auto& response) {
      response.set_content(prometheus::TextSerializer().Serialize(registry_.Collect()),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
    Get("/v1/models", [this](const auto&, auto& response) { response.set_content(Models(), kJson); });
    Get("/tokenizer_info", [this](const auto&, auto& response) {
      response.set_content(TokenizerInfoReply(*tokenizer_, model_.max_length()), kJson);
    });
    Post("/tokenize", [this](const auto& request, auto& response) {
      Send(response, TokenizeReply(request.body, *tokenizer_, model_.max_length()));
    });
    Post("/detokenize",
         [this](const auto& request, auto& response) { Send(response, DetokenizeReply(request.body, *tokenizer_)); });
    Post("/v1/completions", [this](const auto& request, auto& response) { Send(response, Completions(request.body)); });
    // What no handler answered: an unknown path, a body that is too large.
    server_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int code = response.status;
      response.set_content(
          nlohmann::json{{"error",
                          {{"message", Concatenate(request.method, " ", request.path, ": ", Reason(code))},
                           {"type", "invalid_request_error"},
                           {"param", nullptr},
                           {"code", code}}}}
              .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
          kJson);
    });
  }

  absl::Status Bind() {
    if (options_.port == 0) {
      port_ = server_.bind_to_any_port(options_.host);
    } else if (server_.bind_to_port(options_.host, options_.port)) {
      port_ = options_.port;
    }
    if (port_ > 0) return absl::OkStatus();
    return FailedPrecondition("cannot listen on ", options_.host, ":", options_.port,
                              "; is another server there? Choose another --port");
  }

  int port() const { return port_; }

  absl::Status Serve() {
    if (server_.listen_after_bind()) return absl::OkStatus();
    return absl::InternalError(Concatenate("the server on port ", port_, " stopped by itself"));
  }

  void Shutdown() { server_.stop(); }

 private:
  using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;

  void Get(const std::string& path, Handler handler) { server_.Get(path, Counted(path, std::move(handler))); }
  void Post(const std::string& path, Handler handler) { server_.Post(path, Counted(path, std::move(handler))); }

  Handler Counted(const std::string& path, Handler handler) {
    prometheus::Histogram& seconds =
        seconds_.Add({{"path", path}}, prometheus::Histogram::BucketBoundaries{0.001, 0.01, 0.1, 1, 10, 100});
    return [this, path, &seconds, handler = std::move(handler)](const httplib::Request& request,
                                                                httplib::Response& response) {
      const auto start = std::chrono::steady_clock::now();
      handler(request, response);
      if (response.status <= 0) response.status = 200;
      seconds.Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      requests_.Add({{"path", path}, {"code", std::to_string(response.status)}}).Increment();
    };
  }

  absl::StatusOr<std::string> Completions(const std::string& body) {
    RADLADS_ASSIGN_OR_RETURN(const auto requests, ParseCompletionRequests(body, *tokenizer_, model_));
    auto completions = model_.Complete(requests, HttpConnections::ClientLeft);
    if (absl::IsCancelled(completions.status())) return completions.status();
    if (!completions.ok()) {
      Log().error("a batch failed: {}", std::string(completions.status().message()));
      return completions.status();
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      prompt_tokens_.Increment(requests[i].prompt.size());
      generated_tokens_.Increment((*completions)[i].generated.size());
    }
    const ReplyHeader header{
        .id = Concatenate("cmpl-", ++replies_), .model = options_.model_name, .created = std::time(nullptr)};
    return CompletionReply(header, requests, *completions, *tokenizer_);
  }

  std::string Models() const {
    return nlohmann::json{{"object", "list"},
                          {"data", nlohmann::json::array({{{"id", options_.model_name},
                                                           {"object", "model"},
                                                           {"created", started_},
                                                           {"owned_by", "radlads"},
                                                           {"max_model_len", model_.max_length()}}})}}
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  CompletionModel& model_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const HttpServerOptions options_;
  const int64_t started_;
  int port_ = 0;
  std::atomic<int64_t> replies_ = 0;
  prometheus::Registry& registry_;
  prometheus::Family<prometheus::Counter>& requests_ =
      prometheus::BuildCounter().Name("radlads_eval_requests_total").Help("Requests answered.").Register(registry_);
  prometheus::Family<prometheus::Histogram>& seconds_ = prometheus::BuildHistogram()
                                                            .Name("radlads_eval_request_seconds")
                                                            .Help("Time to answer a request.")
                                                            .Register(registry_);
  prometheus::Family<prometheus::Counter>& tokens_ = prometheus::BuildCounter()
                                                         .Name("radlads_eval_tokens_total")
                                                         .Help("Tokens of completions that were answered.")
                                                         .Register(registry_);
  prometheus::Counter& prompt_tokens_ = tokens_.Add({{"kind", "prompt"}});
  prometheus::Counter& generated_tokens_ = tokens_.Add({{"kind", "generated"}});
  HttpConnections server_;
};

HttpServer::HttpServer(CompletionModel& model, std::shared_ptr<const Tokenizer> tokenizer,
                       prometheus::Registry& metrics, const HttpServerOptions& options)
    : impl_(std::make_unique<Impl>(model, std::move(tokenizer), metrics, options)) {}
HttpServer::~HttpServer() = default;
absl::Status HttpServer::Bind() {
  return impl_->Bind();
}
int HttpServer::port() const {
  return impl_->port();
}
absl::Status HttpServer::Serve() {
  return impl_->Serve();
}
void HttpServer::Shutdown() {
  impl_->Shutdown();
}

}  // namespace radlads
