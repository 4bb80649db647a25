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
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "eval/chat_json.h"
#include "eval/completion_json.h"
#include "serve/http/http_connections.h"
#include "serve/http/http_error.h"
#include "serve/http/http_reply.h"
#include "serve/http/path_methods.h"
#include "serve/http/read_body.h"
#include "serve/transport/request_work.h"

namespace radlads {
namespace {

constexpr size_t kMaxBody = 64 << 20;

// Of the errors that the library finds by itself.
const char* Reason(int code) {
  switch (code) {
    case 413:
      return "the body is larger than 67108864 bytes";
    default:
      return code < 500 ? "the request is not well-formed HTTP" : "the server failed";
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
    Get("/health", [](const auto&, auto& response) { response.set_content("{\"status\":\"ok\"}", kJsonType); });
    Get("/metrics", [this](const auto&, auto& response) {
      response.set_content(prometheus::TextSerializer().Serialize(registry_.Collect()),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
    Get("/v1/models", [this](const auto&, auto& response) { response.set_content(Models(), kJsonType); });
    Get("/tokenizer_info", [this](const auto&, auto& response) {
      response.set_content(TokenizerInfoReply(*tokenizer_, model_.max_length()), kJsonType);
    });
    Post<std::string>(
        "/tokenize",
        [this](const auto& body, auto& memory) {
          return TokenizeReply(body, *tokenizer_, model_.max_length(), &memory);
        },
        [](std::string reply) { return reply; });
    Post<std::string>(
        "/detokenize", [this](const auto& body, auto& memory) { return DetokenizeReply(body, *tokenizer_, &memory); },
        [](std::string reply) { return reply; });
    Post<std::vector<CompletionRequest>>(
        "/v1/completions",
        [this](const auto& body, auto& memory) { return ParseCompletionRequests(body, *tokenizer_, model_, &memory); },
        [this](const auto& requests) { return Completions(requests); });
    Post<CompletionRequest>(
        "/v1/chat/completions",
        [this](const auto& body, auto& memory) { return ParseChatRequest(body, *tokenizer_, model_, &memory); },
        [this](const auto& request) { return Chat(request); });
    using Outcome = httplib::Server::HandlerResponse;
    server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      return methods_.Check(request, response) ? Outcome::Unhandled : Outcome::Handled;
    });
    // What no handler answered: a body that is too large.
    server_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int code = response.status;
      response.set_content(ErrorReply(code, Concatenate(request.method, " ", request.path, ": ", Reason(code))),
                           kJsonType);
    });
  }

  absl::Status Bind(BoundPort port) {
    port_ = port.port();
    return server_.Bind(std::move(port));
  }
  absl::Status Bind() {
    RADLADS_ASSIGN_OR_RETURN(BoundPort port, BoundPort::Take({.host = options_.host, .port = options_.port}));
    return Bind(std::move(port));
  }

  int port() const { return port_; }

  absl::Status Serve() { return server_.Serve(); }

  void Shutdown() { server_.stop(); }

 private:
  using Reply = absl::StatusOr<std::string>;  // JSON

  void Get(const std::string& path, std::function<void(const httplib::Request&, httplib::Response&)> handler) {
    methods_.Add(path, "GET");
    server_.Get(path, [this, path, handler = std::move(handler)](const auto& request, auto& response) {
      Count(path, response, [&] { handler(request, response); });
    });
  }
  // `parse` makes `Asked` of a body and takes the memory of that, which is kept while `answer` makes the reply of it.
  template <typename Asked>
  void Post(const std::string& path,
            std::function<absl::StatusOr<Asked>(const std::string& body, MemoryBudget::Part& memory)> parse,
            std::function<Reply(Asked asked)> answer) {
    methods_.Add(path, "POST");
    server_.Post(path, [=, this](const auto& request, auto& response, const auto& read) {
      Count(path, response, [&] {
        MemoryBudget::Part memory(work_.memory());
        absl::StatusOr<Asked> asked = absl::InternalError("not read");
        const auto use = [&](const std::string& body) { asked = parse(body, memory); };
        if (!UseBody(read, kMaxBody, work_, response, use)) return;
        SendJson(response, asked.ok() ? answer(*std::move(asked)) : Reply(asked.status()));
      });
    });
  }

  // The answer of `handler` for the metrics.
  void Count(const std::string& path, httplib::Response& response, const std::function<void()>& handler) {
    const auto start = std::chrono::steady_clock::now();
    handler();
    if (response.status <= 0) response.status = 200;
    seconds_.Add({{"path", path}}, prometheus::Histogram::BucketBoundaries{0.001, 0.01, 0.1, 1, 10, 100})
        .Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    requests_.Add({{"path", path}, {"code", std::to_string(response.status)}}).Increment();
  }

  Reply Completions(const std::vector<CompletionRequest>& requests) {
    RADLADS_ASSIGN_OR_RETURN(const auto completions, Complete(requests));
    return CompletionReply(Header("cmpl-"), requests, completions, *tokenizer_);
  }

  Reply Chat(const CompletionRequest& request) {
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
  PathMethods methods_{
      "the paths are /v1/completions, /v1/chat/completions, /v1/models, /tokenizer_info, /tokenize, /detokenize, "
      "/health and /metrics"};
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
  RequestWork work_;
  HttpConnections server_{{.requests = options_.connections, .max_body = kMaxBody}};
};

HttpServer::HttpServer(CompletionModel& model, std::shared_ptr<const Tokenizer> tokenizer,
                       prometheus::Registry& metrics, const HttpServerOptions& options)
    : impl_(std::make_unique<Impl>(model, std::move(tokenizer), metrics, options)) {}
HttpServer::~HttpServer() = default;
absl::Status HttpServer::Bind() {
  return impl_->Bind();
}
absl::Status HttpServer::Bind(BoundPort port) {
  return impl_->Bind(std::move(port));
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
