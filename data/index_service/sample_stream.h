// A stream of samples from an index service that survives broken connections. Private to the client.
#ifndef RADLADS_DATA_INDEX_SERVICE_SAMPLE_STREAM_H_
#define RADLADS_DATA_INDEX_SERVICE_SAMPLE_STREAM_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/index_service/client.h"
#include "data/index_service/index_service.grpc.pb.h"

namespace radlads {

absl::Status FromGrpc(const grpc::Status& status);
// Whether the same call may succeed later.
bool IsWorthRetrying(const grpc::Status& status);
// Waits longer each time: 0.1 s to 5 s, a fifth more or less.
class Backoff {
 public:
  std::chrono::milliseconds Next();

 private:
  double milliseconds_ = 100;
  uint64_t random_ = std::chrono::steady_clock::now().time_since_epoch().count();
};
void AddKey(const std::string& api_key, grpc::ClientContext* context);
// Polls the channel until it is connected, the time is up or `stop` says so; whether it is connected. Calls on a
// channel that is not fail at once, and do not drive its attempts to connect.
bool WaitForConnection(grpc::Channel& channel, std::chrono::steady_clock::time_point deadline,
                       const std::function<bool()>& stop);

// Used by one thread.
class SampleStream {
 public:
  // `request` is complete: its samples come in order, each once.
  SampleStream(std::shared_ptr<grpc::Channel> channel, index_service::v1::SampleRequest request,
               const RemoteOptions& options, std::string name);
  ~SampleStream();
  SampleStream(const SampleStream&) = delete;
  SampleStream& operator=(const SampleStream&) = delete;

  // The next batch, checked: first_sample, sizes. OUT_OF_RANGE after the last one.
  absl::StatusOr<std::unique_ptr<index_service::v1::SampleBatch>> Next();

 private:
  void Run();
  grpc::Status ReadCall();  // to its end
  absl::Status Check(const index_service::v1::SampleBatch& batch) const;
  void Finish(const absl::Status& status);

  const std::shared_ptr<grpc::Channel> channel_;
  index_service::v1::SampleRequest request_;  // of what has not come yet; the thread's own
  const RemoteOptions options_;
  const std::string name_;
  std::optional<std::chrono::steady_clock::time_point> away_since_;  // since no batch comes; the thread's own

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<index_service::v1::SampleBatch>> queue_;
  int64_t queued_bytes_ = 0;
  absl::Status status_;  // not OK: what follows the queue
  bool stopped_ = false;
  grpc::ClientContext* context_ = nullptr;  // of the connection that is open
  std::thread thread_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_SAMPLE_STREAM_H_
