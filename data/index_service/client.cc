#include "data/index_service/client.h"

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <cstring>
#include <numeric>
#include <optional>

#include "base/status.h"
#include "data/index_service/sample_stream.h"

namespace radlads {
namespace {

namespace wire = index_service::v1;
using Clock = std::chrono::steady_clock;

constexpr char kScheme[] = "grpc://";
// Samples that were not asked for are passed over, rather than the stream begun anew, as long as they are so few.
constexpr int64_t kMostSkipped = 256;
// A stream is long enough for any run, and short enough that sample numbers stay below 2^62.
constexpr int64_t kStreamSamples = int64_t{1} << 40;

struct Url {
  std::string address, dataset;
};

absl::StatusOr<Url> Parse(const std::string& url) {
  const size_t slash = url.find('/', sizeof(kScheme) - 1);
  Url parts;
  if (slash != std::string::npos) {
    parts = {url.substr(sizeof(kScheme) - 1, slash - (sizeof(kScheme) - 1)), url.substr(slash + 1)};
  }
  if (!IsIndexServiceUrl(url) || parts.address.find(':') == std::string::npos || parts.dataset.empty()) {
    return InvalidArgument("'", url, "' does not name a dataset of an index service; expected grpc://HOST:PORT/NAME");
  }
  return parts;
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  // Once begun, gRPC stays for the life of the process: when its last channel goes it takes itself down in the
  // background, up to ten seconds long, and who begins anew meanwhile (the next stage of a pipeline) waits.
  [[maybe_unused]] static const bool begun = (grpc_init(), true);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // A machine that vanished does not say goodbye.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2'000);  // for a connection to come about
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

absl::StatusOr<wire::Dataset> Describe(const std::shared_ptr<grpc::Channel>& channel, const std::string& url,
                                       const std::string& dataset, const RemoteOptions& options) {
  const auto stub = wire::IndexService::NewStub(channel);
  const Clock::time_point deadline = Clock::now() + options.patience_at_open;
  wire::DescribeRequest request;
  request.set_dataset(dataset);
  Backoff backoff;
  while (true) {
    if (!WaitForConnection(*channel, deadline, [] { return false; })) {
      return absl::UnavailableError(
          Concatenate(url, ": nobody answers after ",
                      std::chrono::duration_cast<std::chrono::milliseconds>(options.patience_at_open).count() / 1000.0,
                      " s; is the index service (//data:server) running there?"));
    }
    grpc::ClientContext context;
    AddKey(options.api_key, &context);
    context.set_deadline(std::chrono::system_clock::now() + options.patience_at_open);
    wire::Dataset response;
    const grpc::Status status = stub->Describe(&context, request, &response);
    if (status.ok()) return response;
    const auto wait = backoff.Next();
    if (!IsWorthRetrying(status) || Clock::now() + wait > deadline) return Annotate(FromGrpc(status), url);
    std::this_thread::sleep_for(wait);
  }
}

DatasetDescription FromWire(const std::string& url, const wire::Dataset& dataset) {
  DatasetDescription description;
  description.name = url;
  description.tokens = dataset.tokens();
  description.documents = dataset.documents();
  description.tokenizer = dataset.tokenizer();
  description.tokenizer_hash = dataset.tokenizer_hash();
  description.vocabulary_size = dataset.vocabulary_size();
  if (dataset.has_eos_id()) description.eos_id = dataset.eos_id();
  description.fingerprint = dataset.fingerprint();
  return description;
}

class RemoteSource final : public SampleSource {
 public:
  RemoteSource(std::shared_ptr<grpc::Channel> channel, std::string dataset, DatasetDescription description,
               const SampleOptions& options, std::shared_ptr<const Sampler> sampler, const RemoteOptions& remote)
      : SampleSource(std::move(description), options, std::move(sampler)),
        channel_(std::move(channel)),
        dataset_(std::move(dataset)),
        remote_(remote) {}

  absl::Status Read(std::span<const SampleRow> rows) const override {
    std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (absl::Status status = Seek(rows.subspan(i)); !status.ok()) {
        stream_.reset();  // the next call begins anew
        batch_.reset();
        return status;
      }
      Copy(rows[i].tokens);
      ++row_;
    }
    return absl::OkStatus();
  }

 private:
  // Makes rows[0] the sample at row_ of batch_.
  absl::Status Seek(std::span<const SampleRow> rows) const {
    const int64_t sample = rows[0].sample;
    if (stream_ != nullptr) {
      const int64_t ahead = sample - next_;
      if (ahead > 0) distance_ = std::gcd(distance_, ahead % stride_ != 0 ? std::gcd(stride_, ahead) : 0);
      if (ahead < 0 || ahead % stride_ != 0 || ahead / stride_ > kMostSkipped) stream_.reset();
    }
    if (stream_ == nullptr) Begin(rows);
    for (row_ += (sample - next_) / stride_; batch_ == nullptr || row_ >= batch_->rows();) {
      if (batch_ != nullptr) row_ -= batch_->rows();
      RADLADS_ASSIGN_OR_RETURN(batch_, stream_->Next());
    }
    next_ = sample + stride_;
    return absl::OkStatus();
  }

  // A stream from rows[0] on, at the largest distance that fits these rows and those of streams before.
  void Begin(std::span<const SampleRow> rows) const {
    next_ = rows[0].sample;
    int64_t distance = distance_;
    for (size_t i = 1; i < rows.size(); ++i) {
      const int64_t step = rows[i].sample - rows[i - 1].sample;
      distance = step > 0 ? std::gcd(distance, step) : 1;
    }
    stride_ = std::max<int64_t>(1, distance);
    wire::SampleRequest request;
    request.set_dataset(dataset_);
    request.set_fingerprint(description().fingerprint);
    request.set_ctx_len(ctx());
    request.set_order(options().order == SampleOrder::kInOrder ? wire::IN_ORDER : wire::MAGIC_PRIME);
    request.set_magic_prime(options().magic_prime);
    request.set_first_sample(next_);
    request.set_stride(stride_);
    const int64_t end = options().order == SampleOrder::kInOrder ? sampler().samples_per_pass() : int64_t{1} << 62;
    request.set_count(std::min(kStreamSamples, (end - 1 - next_) / stride_ + 1));
    batch_.reset();
    row_ = 0;
    stream_ = std::make_unique<SampleStream>(channel_, std::move(request), remote_, description().name);
  }

  void Copy(int32_t* out) const {
    const int64_t length = ctx() + 1;
    const char* in = batch_->tokens().data() + row_ * length * batch_->token_bytes();
    if (batch_->token_bytes() == 4) {
      std::memcpy(out, in, length * sizeof(int32_t));
      return;
    }
    for (int64_t t = 0; t < length; ++t) {
      uint16_t token;
      std::memcpy(&token, in + 2 * t, 2);
      out[t] = token;
    }
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::string dataset_;
  const RemoteOptions remote_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<wire::SampleBatch> batch_;
  mutable int64_t row_ = 0;                // of batch_, the next one
  mutable int64_t next_ = 0, stride_ = 1;  // the sample at row_, and from there on
  mutable int64_t distance_ = 0;           // where a stride was too long: what it should have been
  mutable std::unique_ptr<SampleStream> stream_;
};

}  // namespace

bool IsIndexServiceUrl(const std::string& data_file) {
  return data_file.starts_with(kScheme);
}

absl::StatusOr<std::shared_ptr<const SampleSource>> OpenRemoteSource(const std::string& url,
                                                                     const SampleOptions& options,
                                                                     const RemoteOptions& remote) {
  RADLADS_ASSIGN_OR_RETURN(const Url parts, Parse(url));
  const auto channel = Connect(parts.address);
  RADLADS_ASSIGN_OR_RETURN(const wire::Dataset dataset, Describe(channel, url, parts.dataset, remote));
  auto sampler = CreateSampler(dataset.tokens(), options);
  if (!sampler.ok()) return Annotate(sampler.status(), url);
  return std::make_shared<const RemoteSource>(channel, parts.dataset, FromWire(url, dataset), options,
                                              *std::move(sampler), remote);
}

}  // namespace radlads
