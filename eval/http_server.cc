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
#include <optional>
#include <utility>
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "eval/chat_json.h"
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
      return "there is nothing here; the paths are /v1/completions, /v1/chat/completions, /v1/models, "
             "/tokenizer_info, /tokenize, /detokenize, /health and /metrics";
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

// The whole body, decompressed, or nothing and the status of `response`. The library's own limit sees only the length
// that a client names, not what a chunked or compressed body grows to. What is too much is still read, or it would be
// taken for the next request of the connection.
std::optional<std::string> ReadBody(const httplib::ContentReader& read, httplib::Response& response) {
  std::string body;
  bool is_whole = true;
  const bool well_formed = read([&](const char* data, size_t size) {
    is_whole = is_whole && body.size() + size <= kMaxBody;
    if (is_whole) body.append(data, size);
    return true;
  });
  if (well_formed && is_whole) return body;
  if (response.status <= 0) response.status = well_formed ? 413 : 400;
  return std::nullopt;
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
    Post("/tokenize", [this](const auto& body, auto& response) {
      Send(response, TokenizeReply(body, *tokenizer_, model_.max_length()));
    });
    Post("/detokenize",
         [this](const auto& body, auto& response) { Send(response, DetokenizeReply(body, *tokenizer_)); });
    Post("/v1/completions", [this](const auto& body, auto& response) { Send(response, Completions(body)); });
    Post("/v1/chat/completions", [this](const auto& body, auto& response) { Send(response, Chat(body)); });
    const auto nowhere = [](const auto&, auto& response, const auto& read) {
      if (ReadBody(read, response)) response.status = 404;
    };
    server_.Post(".*", nowhere).Put(".*", nowhere).Patch(".*", nowhere).Delete(".*", nowhere);
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
  using Handler = std::function<void(const std::string& body, httplib::Response&)>;

  void Get(const std::string& path, Handler handler) {
    server_.Get(path,
                [counted = Counted(path, std::move(handler))](const auto&, auto& response) { counted("", response); });
  }
  void Post(const std::string& path, Handler handler) {
    server_.Post(path, [counted = Counted(path, std::move(handler))](const auto&, auto& response, const auto& read) {
      if (const auto body = ReadBody(read, response)) counted(*body, response);
    });
  }

  Handler Counted(const std::string& path, Handler handler) {
    prometheus::Histogram& seconds =
        seconds_.Add({{"path", path}}, prometheus::Histogram::BucketBoundaries{0.001, 0.01, 0.1, 1, 10, 100});
    return [this, path, &seconds, handler = std::move(handler)](const std::string& body, httplib::Response& response) {
      const auto start = std::chrono::steady_clock::now();
      handler(body, response);
      if (response.status <= 0) response.status = 200;
      seconds.Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      requests_.Add({{"path", path}, {"code", std::to_string(response.status)}}).Increment();
    };
  }

  absl::StatusOr<std::string> Completions(const std::string& body) {
    RADLADS_ASSIGN_OR_RETURN(const auto requests, ParseCompletionRequests(body, *tokenizer_, model_));
    RADLADS_ASSIGN_OR_RETURN(const auto completions, Complete(requests));
    return CompletionReply(Header("cmpl-"), requests, completions, *tokenizer_);
  }

  absl::StatusOr<std::string> Chat(const std::string& body) {
    RADLADS_ASSIGN_OR_RETURN(const auto request, ParseChatRequest(body, *tokenizer_, model_));
    RADLADS_ASSIGN_OR_RETURN(const auto completions, Complete({request}));
    return ChatReply(Header("chatcmpl-"), request, completions[0], *tokenizer_);
  }

  absl::StatusOr<std::vector<Completion>> Complete(const std::vector<CompletionRequest>& requests) {
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
    return completions;
  }

  ReplyHeader Header(const char* prefix) {
    return {.id = Concatenate(prefix, ++replies_), .model = options_.model_name, .created = std::time(nullptr)};
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
