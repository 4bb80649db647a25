#include "serve/http/http_text_server.h"

#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <atomic>
#include <charconv>
#include <ctime>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/loopback.h"
#include "base/status.h"
#include "serve/http/http_connections.h"
#include "serve/http/http_error.h"
#include "serve/http/http_reply.h"
#include "serve/http/path_methods.h"
#include "serve/http/read_body.h"
#include "serve/http/request_log.h"
#include "serve/http/session_calls.h"
#include "serve/http/text_call.h"
#include "serve/http/text_handler.h"
#include "serve/transport/access.h"
#include "serve/transport/json_fields.h"
#include "serve/web/web.h"

namespace radlads {
namespace {

using Reply = absl::StatusOr<std::string>;  // JSON

constexpr int64_t kMaxSessionsListed = 1000;
constexpr int64_t kTokensShown = 16384, kMaxTokensShown = 1 << 20;  // of a session

// Nothing from elsewhere, and in no frame.
constexpr char kPagePolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Of the errors that the library finds by itself.
std::string Reason(int code, size_t max_body) {
  switch (code) {
    case 413:
      return Concatenate("the body is larger than ", max_body, " bytes");
    default:
      return code < 500 ? "the request is not well-formed HTTP" : "the server failed";
  }
}

absl::StatusOr<int64_t> IntegerParameter(const httplib::Request& request, const char* name, int64_t otherwise,
                                         int64_t low, int64_t high) {
  if (!request.has_param(name)) return otherwise;
  const std::string text = request.get_param_value(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    return InvalidArgument("parameter ", name, " must be an integer from ", low, " to ", high, ", found ", Shown(text));
  }
  return value;
}

}  // namespace

class HttpTextServer::Impl {
 public:
  Impl(std::vector<ServedModel> models, prometheus::Registry& metrics, const HttpTextServerOptions& options)
      : models_(std::move(models)),
        options_(options),
        created_(std::time(nullptr)),
        starting_(options.starting),
        registry_(metrics),
        log_(metrics),
        own_work_(options.work == nullptr ? std::make_unique<RequestWork>() : nullptr),
        work_(options.work == nullptr ? *own_work_ : *options.work),
        texts_(models_, options.max_tokens, work_.memory(), log_),
        connections_(prometheus::BuildGauge()
                         .Name("radlads_http_connections")
                         .Help("Connections that are open.")
                         .Register(metrics)
                         .Add({})),
        access_({.keys = options.keys, .origins = options.cors_origins, .local = IsLoopbackHost(options.host)}),
        server_({.requests = options.requests,
                 .connections = options.connections,
                 .max_body = options.max_body,
                 .request = options.request_time,
                 .write = options.write_time,
                 .tls_certificate = options.tls_certificate,
                 .tls_key = options.tls_key}) {
    RADLADS_CHECK(!models_.empty());
    SetRules();
    AddPage();
    AddModels();
    AddTexts();
    AddSessions();
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
  void Ready() { starting_ = false; }
  void Shutdown() {
    texts_.Drain(std::chrono::steady_clock::now() + options_.drain_time);
    server_.stop();
  }

 private:
  using Handler = std::function<void(const httplib::Request&, const std::string& body, httplib::Response&)>;
  using SessionCall = std::function<Reply(const ServedModel&, const httplib::Request&, const std::string& body)>;
  using JsonCall = std::function<Reply(const ServedModel&, const httplib::Request&, const RequestJson& json)>;
  enum class Body { kNeeded, kOptional };

  void Get(const std::string& pattern, const char* route, Handler handler) {
    methods_.Add(pattern, "GET");
    server_.Get(pattern, [this, route, handler = std::move(handler)](const auto& request, auto& response) {
      log_.SetRoute(route);
      handler(request, "", response);
    });
  }
  // POST and DELETE.
  httplib::Server::HandlerWithContentReader WithBody(const char* route, Handler handler) {
    return [this, route, handler = std::move(handler)](const auto& request, auto& response, const auto& read) {
      log_.SetRoute(route);
      std::string body;
      MemoryBudget::Part memory(work_.memory());
      absl::Status room;
      const auto use = [&](std::string whole) {
        room = memory.Take(2 * static_cast<int64_t>(whole.size()));  // a session has another copy of its bytes
        if (room.ok()) body = std::move(whole);
      };
      if (!UseBody(read, options_.max_body, work_, response, use)) return;
      if (!room.ok()) return SendError(response, room);
      handler(request, body, response);
    };
  }
  void Post(const std::string& pattern, const char* route, Handler handler) {
    methods_.Add(pattern, "POST");
    server_.Post(pattern, WithBody(route, std::move(handler)));
  }
  void Delete(const std::string& pattern, const char* route, Handler handler) {
    methods_.Add(pattern, "DELETE");
    server_.Delete(pattern, WithBody(route, std::move(handler)));
  }
  // POST of a JSON object; the reply is that of a call on the model that the parameter `model` names.
  void PostJson(const std::string& pattern, const char* route, Body body, JsonCall call) {
    methods_.Add(pattern, "POST");
    server_.Post(pattern,
                 [this, route, body, call = std::move(call)](const auto& request, auto& response, const auto& read) {
                   log_.SetRoute(route);
                   MemoryBudget::Part memory(work_.memory());
                   absl::StatusOr<RequestJson> json = RequestJson::object();
                   const bool is_read = UseBody(read, options_.max_body, work_, response, [&](const std::string& text) {
                     if (body == Body::kNeeded || !text.empty()) json = ParseObject(text, &memory);
                   });
                   if (!is_read) return;
                   const auto model = FindModel(models_, request.get_param_value("model"));
                   SendJson(response, !json.ok()    ? Reply(json.status())
                                      : !model.ok() ? Reply(model.status())
                                                    : call(**model, request, *json));
                 });
  }
  // POST of a text that is asked for.
  void PostText(const std::string& path, const char* route, TextHandler::Parse parse) {
    methods_.Add(path, "POST");
    server_.Post(path, [this, route, parse](const auto& request, auto& response, const auto& read) {
      log_.SetRoute(route);
      absl::StatusOr<TextHandler::Asked> asked = absl::InternalError("not read");
      if (UseBody(read, options_.max_body, work_, response,
                  [&](const std::string& body) { asked = texts_.Read(parse, body); })) {
        texts_.Answer(std::move(asked), response);
      }
    });
  }

  // What holds for all requests.
  void SetRules() {
    using Outcome = httplib::Server::HandlerResponse;
    server_.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      log_.Begin(request);
      const std::string origin = request.get_header_value("Origin");
      if (request.method == "OPTIONS" && !access_.Allowed(origin).empty()) {
        response.set_header("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
        response.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Api-Key, X-Request-Id");
        response.set_header("Access-Control-Max-Age", "600");
        response.status = 204;
        return Outcome::Handled;
      }
      absl::Status allowed = access_.CheckSource(origin, request.get_header_value("Host"));
      if (allowed.ok() && !open_paths_.contains(request.path)) {
        allowed = access_.CheckKey(request.get_header_value("Authorization"), request.get_header_value("X-Api-Key"));
      }
      if (!allowed.ok()) SendError(response, allowed);
      return allowed.ok() && methods_.Check(request, response) ? Outcome::Unhandled : Outcome::Handled;
    });
    server_.set_post_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      log_.Stamp(request, response);
      response.set_header("X-Content-Type-Options", "nosniff");
      const std::string origin = request.get_header_value("Origin");
      if (access_.Allowed(origin).empty()) return;
      response.set_header("Access-Control-Allow-Origin", origin);
      response.set_header("Access-Control-Expose-Headers", "x-request-id, Retry-After");
      response.set_header("Vary", "Origin");
    });
    server_.set_error_handler([this](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int code = response.status;
      response.set_content(
          ErrorReply(code, Concatenate(request.method, " ", request.path, ": ", Reason(code, options_.max_body))),
          kJsonType);
    });
    server_.set_logger([this](const auto& request, const auto& response) { log_.End(request, response); });
    server_.set_refusal_logger([this](const RefusedRequest& request) { log_.Refused(request); });
  }

  void AddPage() {
    for (const WebFile& file : WebFiles()) {
      const std::string path(file.path);
      open_paths_.insert(path);
      Get(path, "page", [&file](const auto&, const auto&, auto& response) {
        response.set_header("Content-Security-Policy", kPagePolicy);
        response.set_header("Cache-Control", "no-cache");
        response.set_content(file.content.data(), file.content.size(), std::string(file.type));
      });
    }
    open_paths_.insert("/health");
    Get("/health", "/health", [this](const auto&, const auto&, auto& response) {
      if (starting_) response.status = 503;
      response.set_content(Dump({{"status", starting_ ? "starting" : "ok"}}), kJsonType);
    });
    Get("/metrics", "/metrics", [this](const auto&, const auto&, auto& response) {
      connections_.Set(static_cast<double>(server_.open()));
      response.set_content(prometheus::TextSerializer().Serialize(registry_.Collect()),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
  }

  void AddModels() {
    Get("/v1/models", "/v1/models", [this](const auto&, const auto&, auto& response) {
      ReplyJson data = ReplyJson::array();
      for (const ServedModel& model : models_) data.push_back(ModelJson(model, created_));
      response.set_content(Dump({{"object", "list"}, {"data", std::move(data)}}), kJsonType);
    });
    // A name may be a path.
    Get("/v1/models/(.+)", "/v1/models/{name}", [this](const auto& request, const auto&, auto& response) {
      const auto model = FindModel(models_, request.matches[1]);
      SendJson(response, model.ok() ? Reply(Dump(ModelJson(**model, created_))) : Reply(model.status()));
    });
  }

  void AddTexts() {
    PostText("/v1/chat/completions", "/v1/chat/completions", ParseChatCall);
    PostText("/v1/completions", "/v1/completions", ParseCompletionCall);
  }

  void AddSessions() {
    const std::string all = "/v1/sessions", one = "/v1/sessions/([^/]+)";
    Get(all, "/v1/sessions", OnModel([](const ServedModel& model, const auto& request, const auto&) -> Reply {
          RADLADS_ASSIGN_OR_RETURN(const int64_t limit, IntegerParameter(request, "limit", 100, 1, kMaxSessionsListed));
          return ListSessionsCall(model, request.get_param_value("after"), limit);
        }));
    PostJson(all, "/v1/sessions", Body::kOptional, [](const ServedModel& model, const auto&, const RequestJson& json) {
      return CreateSessionCall(model, json);
    });
    Post(all + "/import", "/v1/sessions/import",
         OnModel([](const ServedModel& model, const auto& request, const std::string& body) {
           return ImportSessionCall(model, body, request.get_param_value("id"));
         }));
    Get(one, "/v1/sessions/{id}", OnModel([](const ServedModel& model, const auto& request, const auto&) -> Reply {
          RADLADS_ASSIGN_OR_RETURN(const int64_t limit,
                                   IntegerParameter(request, "limit", kTokensShown, 1, kMaxTokensShown));
          std::optional<int64_t> first;
          if (request.has_param("first")) {
            RADLADS_ASSIGN_OR_RETURN(first, IntegerParameter(request, "first", 0, 0, INT64_MAX));
          }
          return GetSessionCall(model, request.matches[1], first, limit);
        }));
    Delete(one, "/v1/sessions/{id}", OnModel([](const ServedModel& model, const auto& request, const auto&) {
             return DeleteSessionCall(model, request.matches[1]);
           }));
    PostJson(one + "/fork", "/v1/sessions/{id}/fork", Body::kOptional,
             [](const ServedModel& model, const auto& request, const RequestJson& json) {
               return ForkSessionCall(model, request.matches[1], json);
             });
    PostJson(one + "/rewind", "/v1/sessions/{id}/rewind", Body::kNeeded,
             [](const ServedModel& model, const auto& request, const RequestJson& json) {
               return RewindSessionCall(model, request.matches[1], json);
             });
    Get(one + "/export", "/v1/sessions/{id}/export", [this](const auto& request, const auto&, auto& response) {
      const auto model = FindModel(models_, request.get_param_value("model"));
      auto blob = model.ok() ? (*model)->service->ExportSession(std::string(request.matches[1])) : model.status();
      if (!blob.ok()) return SendError(response, blob.status());
      response.set_header("Content-Disposition", "attachment; filename=\"session.radlads\"");
      response.set_content(*std::move(blob), "application/octet-stream");
    });
  }

  // A call on the model that the parameter `model` names.
  Handler OnModel(SessionCall call) {
    return [this, call = std::move(call)](const auto& request, const std::string& body, auto& response) {
      const auto model = FindModel(models_, request.get_param_value("model"));
      SendJson(response, model.ok() ? call(**model, request, body) : Reply(model.status()));
    };
  }

  const std::vector<ServedModel> models_;
  const HttpTextServerOptions options_;
  const int64_t created_;
  int port_ = 0;
  std::atomic<bool> starting_;
  std::set<std::string> open_paths_;  // for which no key is needed
  PathMethods methods_{"docs/formats/http_api.md of radlads has the paths"};
  prometheus::Registry& registry_;
  RequestLog log_;
  const std::unique_ptr<RequestWork> own_work_;
  RequestWork& work_;
  TextHandler texts_;
  prometheus::Gauge& connections_;
  const Access access_;
  HttpConnections server_;
};

HttpTextServer::HttpTextServer(std::vector<ServedModel> models, prometheus::Registry& metrics,
                               const HttpTextServerOptions& options)
    : impl_(std::make_unique<Impl>(std::move(models), metrics, options)) {}
HttpTextServer::~HttpTextServer() = default;
absl::Status HttpTextServer::Bind() {
  return impl_->Bind();
}
absl::Status HttpTextServer::Bind(BoundPort port) {
  return impl_->Bind(std::move(port));
}
int HttpTextServer::port() const {
  return impl_->port();
}
absl::Status HttpTextServer::Serve() {
  return impl_->Serve();
}
void HttpTextServer::Ready() {
  impl_->Ready();
}
void HttpTextServer::Shutdown() {
  impl_->Shutdown();
}

}  // namespace radlads
