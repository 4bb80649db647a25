#include "data/index_service/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <httplib.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "base/status.h"
#include "data/catalog/catalog.h"
#include "data/index_service/index_service.grpc.pb.h"
#include "data/index_service/served_datasets.h"
#include "data/sample_source.h"

namespace radlads {
namespace {

namespace wire = index_service::v1;

constexpr int64_t kBatchBytes = 1 << 20;
constexpr int64_t kMaxContext = 1 << 20;
constexpr int64_t kMaxSample = int64_t{1} << 62;
constexpr int kMaxThreads = 256;
constexpr auto kDrainTime = std::chrono::seconds(2);
constexpr size_t kMaxMessage = 2000;  // of an error; it travels in a header, and may quote the request
constexpr char kServiceName[] = "radlads.index_service.v1.IndexService";

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message().substr(0, kMaxMessage)));
}

// Takes the same time wherever the two differ.
bool SameSecret(const std::string& a, const std::string& b) {
  unsigned difference = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

class Metrics {
 public:
  Metrics()
      : requests_(prometheus::BuildCounter()
                      .Name("radlads_index_requests_total")
                      .Help("Calls that ended, by method and gRPC status code.")
                      .Register(registry_)),
        samples(Counter("radlads_index_samples_total", "Samples sent.")),
        bytes(Counter("radlads_index_token_bytes_total", "Bytes of tokens sent.")),
        streams(prometheus::BuildGauge()
                    .Name("radlads_index_streams")
                    .Help("Sample streams that are open.")
                    .Register(registry_)
                    .Add({})) {}

  grpc::Status Count(const std::string& method, const grpc::Status& status) {
    requests_.Add({{"method", method}, {"code", std::to_string(status.error_code())}}).Increment();
    return status;
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

 private:
  prometheus::Counter& Counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add({});
  }
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& requests_;

 public:
  prometheus::Counter &samples, &bytes;
  prometheus::Gauge& streams;
};

class Service final : public wire::IndexService::Service {
 public:
  Service(const IndexServerOptions& options, Metrics& metrics)
      : datasets_(options.catalog), api_key_(options.api_key), metrics_(metrics) {}

  void StopStreams() { draining_ = true; }

  grpc::Status List(grpc::ServerContext* context, const wire::ListRequest*, wire::ListResponse* response) override {
    return metrics_.Count("List", ToGrpc([&]() -> absl::Status {
                            RADLADS_RETURN_IF_ERROR(CheckKey(*context));
                            RADLADS_ASSIGN_OR_RETURN(const auto names, datasets_.List());
                            for (const std::string& name : names) {
                              const auto dataset = datasets_.Current(name);
                              // One whose files are gone does not hide the others; Describe says what is wrong.
                              if (dataset.ok()) *response->add_datasets() = ToWire(name, **dataset);
                            }
                            return absl::OkStatus();
                          }()));
  }

  grpc::Status Describe(grpc::ServerContext* context, const wire::DescribeRequest* request,
                        wire::Dataset* response) override {
    return metrics_.Count("Describe", ToGrpc([&]() -> absl::Status {
                            RADLADS_RETURN_IF_ERROR(CheckKey(*context));
                            RADLADS_ASSIGN_OR_RETURN(const auto dataset, datasets_.Current(request->dataset()));
                            *response = ToWire(request->dataset(), *dataset);
                            return absl::OkStatus();
                          }()));
  }

  grpc::Status Sample(grpc::ServerContext* context, const wire::SampleRequest* request,
                      grpc::ServerWriter<wire::SampleBatch>* writer) override {
    metrics_.streams.Increment();
    const grpc::Status status = metrics_.Count("Sample", ToGrpc(Stream(*context, *request, *writer)));
    metrics_.streams.Decrement();
    return status;
  }

 private:
  absl::Status CheckKey(const grpc::ServerContext& context) const {
    if (api_key_.empty()) return absl::OkStatus();
    const auto range = context.client_metadata().equal_range("authorization");
    for (auto it = range.first; it != range.second; ++it) {
      if (SameSecret(std::string(it->second.data(), it->second.size()), "Bearer " + api_key_)) return absl::OkStatus();
    }
    return absl::UnauthenticatedError(range.first == range.second
                                          ? "this index service asks for a key; expected the metadata 'authorization: "
                                            "Bearer KEY' (train.data_key_file)"
                                          : "the key is not this index service's (train.data_key_file)");
  }

  static wire::Dataset ToWire(const std::string& name, const TokenSequence& sequence) {
    const DatasetDescription& description = sequence.description();
    wire::Dataset dataset;
    dataset.set_name(name);
    dataset.set_tokens(description.tokens);
    dataset.set_documents(description.documents);
    dataset.set_tokenizer(description.tokenizer);
    dataset.set_tokenizer_hash(description.tokenizer_hash);
    dataset.set_vocabulary_size(description.vocabulary_size);
    if (description.eos_id) dataset.set_eos_id(*description.eos_id);
    dataset.set_fingerprint(description.fingerprint);
    dataset.set_shards(sequence.shards());
    return dataset;
  }

  static absl::Status CheckRange(const wire::SampleRequest& request, const Sampler& sampler) {
    const int64_t end = request.order() == wire::IN_ORDER ? sampler.samples_per_pass() : kMaxSample;
    const int64_t first = request.first_sample(), stride = request.stride(), count = request.count();
    if (first >= 0 && stride >= 1 && count >= 1 &&
        static_cast<__int128>(first) + static_cast<__int128>(count - 1) * stride < end) {
      return absl::OkStatus();
    }
    return absl::OutOfRangeError(Concatenate("first_sample ", first, ", stride ", stride, ", count ", count,
                                             ": expected first_sample >= 0, stride >= 1, count >= 1 and a last sample "
                                             "below ",
                                             end));
  }

  absl::Status Stream(const grpc::ServerContext& context, const wire::SampleRequest& request,
                      grpc::ServerWriter<wire::SampleBatch>& writer) {
    RADLADS_RETURN_IF_ERROR(CheckKey(context));
    if (request.ctx_len() < 1 || request.ctx_len() > kMaxContext) {
      return InvalidArgument("ctx_len is ", request.ctx_len(), ", expected 1 to ", kMaxContext);
    }
    RADLADS_ASSIGN_OR_RETURN(const auto sequence, datasets_.Get(request.dataset(), request.fingerprint()));
    RADLADS_ASSIGN_OR_RETURN(
        const auto sampler,
        CreateSampler(sequence->tokens(),
                      {.ctx = request.ctx_len(),
                       .order = request.order() == wire::IN_ORDER ? SampleOrder::kInOrder : SampleOrder::kMagicPrime,
                       .magic_prime = request.magic_prime()}));
    RADLADS_RETURN_IF_ERROR(CheckRange(request, *sampler));

    const int64_t length = request.ctx_len() + 1, token_bytes = sequence->FitsUint16() ? 2 : 4;
    const int64_t rows_per_batch = std::max<int64_t>(1, kBatchBytes / (length * token_bytes));
    std::vector<int32_t> row(length);
    wire::SampleBatch batch;  // its storage is reused
    batch.set_token_bytes(static_cast<int32_t>(token_bytes));
    for (int64_t done = 0; done < request.count();) {
      if (draining_) return absl::UnavailableError("the index service is shutting down");
      const int64_t rows = std::min(rows_per_batch, request.count() - done);
      const int64_t first = request.first_sample() + done * request.stride();
      batch.set_first_sample(first);
      batch.set_rows(rows);
      std::string& tokens = *batch.mutable_tokens();
      tokens.resize(rows * length * token_bytes);
      for (int64_t r = 0; r < rows; ++r) {
        RADLADS_RETURN_IF_ERROR(sequence->Read(sampler->Position(first + r * request.stride()), row));
        char* out = tokens.data() + r * length * token_bytes;
        if (token_bytes == 4) {
          std::memcpy(out, row.data(), length * sizeof(int32_t));
        } else {
          for (int64_t t = 0; t < length; ++t) {
            const uint16_t token = static_cast<uint16_t>(row[t]);
            std::memcpy(out + 2 * t, &token, 2);
          }
        }
      }
      if (!writer.Write(batch)) return absl::CancelledError("the client went away");
      metrics_.samples.Increment(static_cast<double>(rows));
      metrics_.bytes.Increment(static_cast<double>(tokens.size()));
      done += rows;
    }
    return absl::OkStatus();
  }

  ServedDatasets datasets_;
  const std::string api_key_;
  Metrics& metrics_;
  std::atomic<bool> draining_{false};
};

// "HOST:PORT" of `address`; the host without brackets.
bool SplitAddress(const std::string& address, std::string* host, int* port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) return false;
  *host = address.substr(0, colon);
  if (host->size() > 1 && host->front() == '[' && host->back() == ']') *host = host->substr(1, host->size() - 2);
  const std::string digits = address.substr(colon + 1);
  if (digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) return false;
  *port = std::stoi(digits);
  return *port < 65536 && !host->empty();
}

}  // namespace

bool IsLoopback(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  std::string host;
  int port = 0;
  if (!SplitAddress(address, &host, &port)) return false;
  if (host == "localhost" || host == "::1") return true;
  // Digits only behind "127.": 127.example.com is somebody else's.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

class IndexServer::Impl {
 public:
  explicit Impl(const IndexServerOptions& options) : service_(options, metrics_) {}

  absl::Status Start(const IndexServerOptions& options) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    grpc::ResourceQuota quota("index service");
    quota.SetMaxThreads(kMaxThreads);
    builder.SetResourceQuota(quota);
    builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    // Threads that wait for calls look up this often; shutting down can take so long.
    builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC, 500);
    // Clients ask whether the connection still stands while they wait for a slow batch.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (port_ == 0 && !options.listen.starts_with("unix:"))) {
      return absl::UnavailableError("cannot listen on " + options.listen +
                                    "; is the port taken, or the address not this machine's?");
    }
    server_->GetHealthCheckService()->SetServingStatus(kServiceName, true);
    return options.metrics_listen.empty() ? absl::OkStatus() : StartMetrics(options.metrics_listen);
  }

  ~Impl() {
    Drain();
    http_.stop();
    if (http_thread_.joinable()) http_thread_.join();
  }

  void Drain() {
    if (server_ == nullptr || drained_.exchange(true)) return;
    server_->GetHealthCheckService()->SetServingStatus(false);
    service_.StopStreams();
    server_->Shutdown(std::chrono::system_clock::now() + kDrainTime);
    server_->Wait();
  }

  int port() const { return port_; }
  int metrics_port() const { return metrics_port_; }

 private:
  absl::Status StartMetrics(const std::string& address) {
    std::string host;
    int port = 0;
    if (!SplitAddress(address, &host, &port)) {
      return InvalidArgument("'", address, "' is no address for metrics; expected HOST:PORT");
    }
    http_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics_.Text(), "text/plain; version=0.0.4; charset=utf-8");
    });
    if (port == 0) {
      metrics_port_ = http_.bind_to_any_port(host.c_str());
    } else if (http_.bind_to_port(host.c_str(), port)) {
      metrics_port_ = port;
    }
    if (metrics_port_ <= 0) return absl::UnavailableError("cannot listen on " + address + " for metrics");
    http_thread_ = std::thread([this] { http_.listen_after_bind(); });
    return absl::OkStatus();
  }

  Metrics metrics_;
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  httplib::Server http_;
  std::thread http_thread_;
  std::atomic<bool> drained_{false};
  int port_ = 0, metrics_port_ = 0;
};

IndexServer::IndexServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IndexServer::~IndexServer() = default;

absl::StatusOr<std::unique_ptr<IndexServer>> IndexServer::Start(const IndexServerOptions& options) {
  if (options.api_key.empty() && !IsLoopback(options.listen)) {
    return FailedPrecondition(
        "listening on ", options.listen,
        ", which other machines can reach, needs a key: --key_file FILE (or listen on 127.0.0.1)");
  }
  RADLADS_RETURN_IF_ERROR(Catalog::Read(options.catalog).status());
  auto impl = std::make_unique<Impl>(options);
  RADLADS_RETURN_IF_ERROR(impl->Start(options));
  return std::unique_ptr<IndexServer>(new IndexServer(std::move(impl)));
}

int IndexServer::port() const {
  return impl_->port();
}
int IndexServer::metrics_port() const {
  return impl_->metrics_port();
}
void IndexServer::Drain() {
  impl_->Drain();
}

}  // namespace radlads
