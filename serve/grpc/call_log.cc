#include "serve/grpc/call_log.h"

#include <string_view>

#include "base/logging.h"
#include "base/status.h"
#include "serve/transport/json_fields.h"

namespace radlads {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The first of the client's metadata with this name; empty: none.
std::string_view Metadata(const grpc::ServerContextBase& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return "";
  return std::string_view(found->second.data(), found->second.size());
}

std::string Code(const absl::Status& status) {
  return std::to_string(static_cast<int>(status.code()));
}

std::string ErrorNote(const absl::Status& status) {
  return status.ok() ? "" : Concatenate(" error=", Dump(std::string(status.message())));
}

}  // namespace

absl::Status CheckKey(const Access& access, const grpc::ServerContextBase& context) {
  return access.CheckKey(Metadata(context, "authorization"), Metadata(context, "x-api-key"));
}

CallName CallName::Of(grpc::ServerContextBase& context, const char* method) {
  CallName call{.id = RequestId(Metadata(context, "x-request-id")), .client = context.peer(), .method = method};
  context.AddInitialMetadata("x-request-id", call.id);
  return call;
}

CallLog::CallLog(prometheus::Registry& metrics)
    : requests_(prometheus::BuildCounter()
                    .Name("radlads_grpc_requests_total")
                    .Help("Calls and texts of streams that ended, by gRPC status code.")
                    .Register(metrics)),
      seconds_(prometheus::BuildHistogram()
                   .Name("radlads_grpc_request_seconds")
                   .Help("Time until a call was answered, or a text at its end.")
                   .Register(metrics)),
      ended_streams_(prometheus::BuildCounter()
                         .Name("radlads_grpc_streams_total")
                         .Help("Streams that ended, by gRPC status code.")
                         .Register(metrics)),
      streams_(prometheus::BuildGauge()
                   .Name("radlads_grpc_streams")
                   .Help("Streams that are open.")
                   .Register(metrics)
                   .Add({})),
      texts_(metrics, "grpc") {}

void CallLog::Request(const CallName& call, const std::string& id, Clock::time_point start, const absl::Status& status,
                      const std::string& notes) {
  const double seconds = SecondsSince(start);
  requests_.Add({{"method", call.method}, {"code", Code(status)}}).Increment();
  seconds_.Add({{"method", call.method}}, SecondsBuckets()).Observe(seconds);
  Log().info("request id={} client={} method={} status={} seconds={:.3f}{}{}", id, call.client, call.method,
             absl::StatusCodeToString(status.code()), seconds, notes, ErrorNote(status));
}

void CallLog::Call(const CallName& call, const absl::Status& status, const std::string& notes) {
  Request(call, call.id, call.start, status, notes);
}

void CallLog::StreamEnded(const CallName& call, const absl::Status& status, int64_t texts) {
  streams_.Decrement();
  ended_streams_.Add({{"code", Code(status)}}).Increment();
  Log().info("stream id={} client={} status={} seconds={:.3f} texts={}{}", call.id, call.client,
             absl::StatusCodeToString(status.code()), SecondsSince(call.start), texts, ErrorNote(status));
}

void CallLog::FirstToken(Clock::time_point start) {
  texts_.FirstToken(SecondsSince(start));
}

void CallLog::Text(const CallName& stream, uint64_t id, Clock::time_point start, const absl::Status& status,
                   const std::string& model, const TextResult& result) {
  Request(stream, Concatenate(stream.id, "/", id), start, status, texts_.End(model, result));
}

}  // namespace radlads
