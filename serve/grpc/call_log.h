// Who calls, and one log line and the metrics of every call and every text of a stream.
#ifndef RADLADS_SERVE_GRPC_CALL_LOG_H_
#define RADLADS_SERVE_GRPC_CALL_LOG_H_

#include <grpcpp/grpcpp.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "serve/text_service.h"
#include "serve/transport/access.h"
#include "serve/transport/text_log.h"

namespace radlads {

// The metadata `authorization: Bearer KEY` has one of the keys, if there are any: Access::CheckKey.
absl::Status CheckKey(const Access& access, const grpc::ServerContextBase& context);

// Who asks for what.
struct CallName {
  // With the id of the client's metadata x-request-id, or a new one; the reply's metadata say it, too.
  static CallName Of(grpc::ServerContextBase& context, const char* method);

  std::string id, client;
  const char* method = "";
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

// Thread-safe.
class CallLog {
 public:
  explicit CallLog(prometheus::Registry& metrics);

  // `notes`: words for the line, " key=value".
  void Call(const CallName& call, const absl::Status& status, const std::string& notes);
  void StreamOpened() { streams_.Increment(); }
  void StreamEnded(const CallName& call, const absl::Status& status, int64_t texts);
  void FirstToken(std::chrono::steady_clock::time_point start);
  // The text `id` of a stream, which began at `start`; `status` is that of its result.
  void Text(const CallName& stream, uint64_t id, std::chrono::steady_clock::time_point start,
            const absl::Status& status, const std::string& model, const TextResult& result);

 private:
  void Request(const CallName& call, const std::string& id, std::chrono::steady_clock::time_point start,
               const absl::Status& status, const std::string& notes);

  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Family<prometheus::Counter>& ended_streams_;
  prometheus::Gauge& streams_;
  TextLog texts_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_GRPC_CALL_LOG_H_
