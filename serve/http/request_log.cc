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
  Clock::time_point start = Clock::now();
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

void RequestLog::Stamp(httplib::Response& response) {
  if (exchange.id.empty()) exchange.id = RequestId("");
  response.set_header("x-request-id", exchange.id);
}

void RequestLog::End(const httplib::Request& request, const httplib::Response& response) {
  const double seconds = SecondsSince(exchange.start);
  const int status = exchange.status != 0 ? exchange.status : response.status;
  requests_.Add({{"path", exchange.route}, {"code", std::to_string(status)}}).Increment();
  seconds_.Add({{"path", exchange.route}}, SecondsBuckets()).Observe(seconds);
  const bool routine = std::string_view(exchange.route) == "/health" || std::string_view(exchange.route) == "/metrics";
  Log().log(routine ? spdlog::level::debug : spdlog::level::info,
            "request id={} client={} method={} path={} status={} seconds={:.3f}{}", exchange.id, request.remote_addr,
            request.method, Dump(request.path.substr(0, kLongestPath)), status, seconds, exchange.notes);
  exchange = {};
}

}  // namespace radlads
