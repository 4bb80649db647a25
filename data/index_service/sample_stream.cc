#include "data/index_service/sample_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "base/logging.h"
#include "base/status.h"

namespace radlads {

namespace wire = index_service::v1;
using Clock = std::chrono::steady_clock;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

bool IsWorthRetrying(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::UNAVAILABLE:  // nobody listens, the connection broke, the server shuts down
    case grpc::CANCELLED:    // a server that was stopped hard
    case grpc::INTERNAL:     // a stream that was reset
    case grpc::UNKNOWN:
    case grpc::ABORTED:
    case grpc::DEADLINE_EXCEEDED:
    case grpc::RESOURCE_EXHAUSTED:  // too many streams
      return true;
    default:
      return false;
  }
}

std::chrono::milliseconds Backoff::Next() {
  random_ = random_ * 6364136223846793005u + 1442695040888963407u;
  const double jitter = 0.8 + 0.4 * static_cast<double>(random_ >> 40) / (1 << 24);
  const auto wait = std::chrono::milliseconds(static_cast<int64_t>(milliseconds_ * jitter));
  milliseconds_ = std::min(2 * milliseconds_, 5000.0);
  return wait;
}

void AddKey(const std::string& api_key, grpc::ClientContext* context) {
  if (!api_key.empty()) context->AddMetadata("authorization", "Bearer " + api_key);
}

bool WaitForConnection(grpc::Channel& channel, Clock::time_point deadline, const std::function<bool()>& stop) {
  while (!stop()) {
    const auto left = std::min<Clock::duration>(deadline - Clock::now(), std::chrono::milliseconds(200));
    if (channel.WaitForConnected(std::chrono::system_clock::now() + std::max<Clock::duration>(left, {}))) return true;
    if (Clock::now() >= deadline) return false;
  }
  return false;
}

SampleStream::SampleStream(std::shared_ptr<grpc::Channel> channel, wire::SampleRequest request,
                           const RemoteOptions& options, std::string name)
    : channel_(std::move(channel)), request_(std::move(request)), options_(options), name_(std::move(name)) {
  thread_ = std::thread([this] { Run(); });
}

SampleStream::~SampleStream() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<std::unique_ptr<wire::SampleBatch>> SampleStream::Next() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !queue_.empty() || !status_.ok(); });
  if (queue_.empty()) return status_;
  std::unique_ptr<wire::SampleBatch> batch = std::move(queue_.front());
  queue_.pop_front();
  queued_bytes_ -= static_cast<int64_t>(batch->tokens().size());
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void SampleStream::Finish(const absl::Status& status) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
  }
  changed_.notify_all();
}

absl::Status SampleStream::Check(const wire::SampleBatch& batch) const {
  const int64_t length = request_.ctx_len() + 1;
  if (batch.first_sample() == request_.first_sample() && batch.rows() >= 1 && batch.rows() <= request_.count() &&
      (batch.token_bytes() == 2 || batch.token_bytes() == 4) &&
      static_cast<__int128>(batch.tokens().size()) ==
          static_cast<__int128>(batch.rows()) * length * batch.token_bytes()) {
    return absl::OkStatus();
  }
  return DataLoss(name_, " sent ", batch.rows(), " samples from ", batch.first_sample(), " as ", batch.tokens().size(),
                  " bytes of ", batch.token_bytes(), "-byte tokens, expected samples from ", request_.first_sample(),
                  " of ", length, " tokens; is it another version of the service?");
}

grpc::Status SampleStream::ReadCall() {
  grpc::ClientContext context;
  AddKey(options_.api_key, &context);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return grpc::Status::CANCELLED;
    context_ = &context;
  }
  const auto stub = wire::IndexService::NewStub(channel_);
  const auto reader = stub->Sample(&context, request_);
  absl::Status problem;
  while (request_.count() > 0) {
    auto batch = std::make_unique<wire::SampleBatch>();
    if (!reader->Read(batch.get())) break;
    problem = Check(*batch);
    if (!problem.ok()) break;
    if (away_since_) Log().info("data: {} is back", name_);
    away_since_.reset();
    request_.set_first_sample(request_.first_sample() + batch->rows() * request_.stride());
    request_.set_count(request_.count() - batch->rows());
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return stopped_ || queue_.empty() || queued_bytes_ < options_.read_ahead_bytes; });
    if (stopped_) break;
    queued_bytes_ += static_cast<int64_t>(batch->tokens().size());
    queue_.push_back(std::move(batch));
    lock.unlock();
    changed_.notify_all();
  }
  if (!problem.ok()) context.TryCancel();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    context_ = nullptr;
    if (stopped_) context.TryCancel();
  }
  const grpc::Status status = reader->Finish();
  return problem.ok() ? status
                      : grpc::Status(static_cast<grpc::StatusCode>(problem.code()), std::string(problem.message()));
}

void SampleStream::Run() {
  Backoff backoff;
  while (true) {
    const auto stopped = [this] {
      std::lock_guard<std::mutex> lock(mutex_);
      return stopped_;
    };
    const bool connected =
        WaitForConnection(*channel_, away_since_.value_or(Clock::now()) + options_.patience, stopped);
    const grpc::Status status = connected ? ReadCall() : grpc::Status(grpc::UNAVAILABLE, "nobody answers");
    if (stopped()) return;
    if (request_.count() == 0) return Finish(absl::OutOfRangeError(name_ + ": all samples have come"));
    if (!away_since_) {
      away_since_ = Clock::now();
      backoff = Backoff();
      if (IsWorthRetrying(status)) {
        Log().warn("data: the connection with {} ended before sample {} ({}); trying again", name_,
                   request_.first_sample(), status.error_message());
      }
    }
    // A stream that ends well, but early, is a broken one too.
    if (!status.ok() && !IsWorthRetrying(status)) return Finish(Annotate(FromGrpc(status), name_));
    if (Clock::now() - *away_since_ > options_.patience) {
      return Finish(absl::UnavailableError(Concatenate(
          name_, " has been away for ", std::chrono::duration_cast<std::chrono::seconds>(options_.patience).count(),
          " s: ", status.error_message(), "; start its server again, then resume the run")));
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (changed_.wait_for(lock, backoff.Next(), [this] { return stopped_; })) return;
  }
}

}  // namespace radlads
