#include "serve/http/request_log.h"

#include <openssl/rand.h>

#include <string_view>
#include <utility>
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "serve/http/http_error.h"
#include "serve/http/json_fields.h"

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

const prometheus::Histogram::BucketBoundaries& Seconds() {
  static const prometheus::Histogram::BucketBoundaries bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                                 0.25,  0.5,    1,     2.5,  10,    60,   600};
  return bounds;
}

bool IsRequestId(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  return id.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
         std::string_view::npos;
}

const char* FinishName(TextFinish finish) {
  switch (finish) {
    case TextFinish::kStop:
      return "stop";
    case TextFinish::kLength:
      return "length";
    case TextFinish::kCancelled:
      return "cancelled";
    case TextFinish::kError:
      return "error";
  }
  return "";
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

std::string RandomHex(int count) {
  std::vector<unsigned char> bytes((count + 1) / 2);
  RADLADS_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1) << "no random numbers";
  std::string text;
  for (const unsigned char byte : bytes) {
    static constexpr char kHex[] = "0123456789abcdef";
    text += {kHex[byte >> 4], kHex[byte & 15]};
  }
  return text.substr(0, count);
}

RequestLog::RequestLog(prometheus::Registry& metrics)
    : requests_(
          prometheus::BuildCounter().Name("radlads_http_requests_total").Help("Requests answered.").Register(metrics)),
      seconds_(prometheus::BuildHistogram()
                   .Name("radlads_http_request_seconds")
                   .Help("Time until a request was answered, streams to their end.")
                   .Register(metrics)),
      first_token_(prometheus::BuildHistogram()
                       .Name("radlads_http_first_token_seconds")
                       .Help("Time until the first token of a text was there.")
                       .Register(metrics)
                       .Add({}, Seconds())),
      tokens_(prometheus::BuildCounter()
                  .Name("radlads_http_tokens_total")
                  .Help("Tokens of texts: of prompts, of these not read again, of replies.")
                  .Register(metrics)) {}

void RequestLog::Begin(const httplib::Request& request) {
  exchange = {};
  const std::string id = request.get_header_value("X-Request-Id");
  if (IsRequestId(id)) exchange.id = id;
}

void RequestLog::SetRoute(const char* route) {
  exchange.route = route;
}

void RequestLog::Note(const std::string& word) {
  exchange.notes += word;
}

void RequestLog::FirstToken() {
  first_token_.Observe(SecondsSince(exchange.start));
}

void RequestLog::Text(const std::string& model, const TextResult& result) {
  Note(Concatenate(" model=", Dump(model), " prompt_tokens=", result.prompt_tokens, " cached_tokens=",
                   result.cached_tokens, " reply_tokens=", result.reply_tokens, " finish=", FinishName(result.finish)));
  for (const auto& [kind, count] :
       {std::pair("prompt", result.prompt_tokens), {"cached", result.cached_tokens}, {"reply", result.reply_tokens}}) {
    tokens_.Add({{"model", model}, {"kind", kind}}).Increment(static_cast<double>(count));
  }
  if (result.finish == TextFinish::kCancelled) exchange.status = kClientLeft;
}

void RequestLog::Stamp(httplib::Response& response) {
  if (exchange.id.empty()) exchange.id = "req-" + RandomHex(16);
  response.set_header("x-request-id", exchange.id);
}

void RequestLog::End(const httplib::Request& request, const httplib::Response& response) {
  const double seconds = SecondsSince(exchange.start);
  const int status = exchange.status != 0 ? exchange.status : response.status;
  requests_.Add({{"path", exchange.route}, {"code", std::to_string(status)}}).Increment();
  seconds_.Add({{"path", exchange.route}}, Seconds()).Observe(seconds);
  const bool routine = std::string_view(exchange.route) == "/health" || std::string_view(exchange.route) == "/metrics";
  Log().log(routine ? spdlog::level::debug : spdlog::level::info,
            "request id={} client={} method={} path={} status={} seconds={:.3f}{}", exchange.id, request.remote_addr,
            request.method, Dump(request.path.substr(0, kLongestPath)), status, seconds, exchange.notes);
  exchange = {};
}

}  // namespace radlads
