#include "serve/http/request_log.h"

#include <string_view>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "serve/http/http_error.h"
#include "serve/transport/json_fields.h"

namespace radlads {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLongestPath = 200;

// The request of a thread.
struct Exchange {
  std::string id;
  Clock::time_point start;
  const char* route = "other";
  std::string notes;
  int status = 0;  // that the client did not see
};
thread_local Exchange exchange;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

RequestLog::RequestLog(prometheus::Registry& metrics)
    : requests_(
          prometheus::BuildCounter().Name("radlads_http_requests_total").Help("Requests answered.").Register(metrics)),
      seconds_(prometheus::BuildHistogram()
                   .Name("radlads_http_request_seconds")
                   .Help("Time until a request was answered, streams to their end.")
                   .Register(metrics)),
      texts_(metrics, "http") {}

void RequestLog::Begin(const httplib::Request& request) {
  exchange = {};
  exchange.id = RequestId(request.get_header_value("X-Request-Id"));
  exchange.start = HttpConnections::WholeSince();
}

void RequestLog::SetRoute(const char* route) {
  exchange.route = route;
}

void RequestLog::Note(const std::string& word) {
  exchange.notes += word;
}

void RequestLog::FirstToken() {
  texts_.FirstToken(SecondsSince(exchange.start));
}

void RequestLog::Text(const std::string& model, const TextResult& result) {
  Note(texts_.End(model, result));
  if (result.finish == TextFinish::kCancelled) exchange.status = kClientLeft;
}

void RequestLog::Stamp(const httplib::Request& request, httplib::Response& response) {
  if (exchange.id.empty()) Begin(request);  // the library refused it before anybody was asked
  response.set_header("x-request-id", exchange.id);
}

void RequestLog::End(const httplib::Request& request, const httplib::Response& response) {
  Ended(exchange.id, exchange.route, HttpConnections::Client(), request.method, request.path,
        exchange.status != 0 ? exchange.status : response.status, SecondsSince(exchange.start), exchange.notes);
  exchange = {};
}

void RequestLog::Refused(const RefusedRequest& request) {
  Ended(RequestId(""), "other", request.client, request.method, request.target.substr(0, request.target.find('?')),
        request.status, request.seconds, Concatenate(" error=", Dump(request.message)));
}

void RequestLog::Ended(const std::string& id, const char* route, const std::string& client, const std::string& method,
                       const std::string& path, int status, double seconds, const std::string& notes) {
  requests_.Add({{"path", route}, {"code", std::to_string(status)}}).Increment();
  seconds_.Add({{"path", route}}, SecondsBuckets()).Observe(seconds);
  const bool routine = std::string_view(route) == "/health" || std::string_view(route) == "/metrics";
  Log().log(routine ? spdlog::level::debug : spdlog::level::info,
            "request id={} client={} method={} path={} status={} seconds={:.3f}{}", id, client, method,
            Dump(path.substr(0, kLongestPath)), status, seconds, notes);
}

}  // namespace radlads
