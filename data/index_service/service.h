// The calls of the index service, and what it counts. Private to the server.
#ifndef RADLADS_DATA_INDEX_SERVICE_SERVICE_H_
#define RADLADS_DATA_INDEX_SERVICE_SERVICE_H_

#include <grpcpp/grpcpp.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "data/index_service/index_service.grpc.pb.h"
#include "data/index_service/served_datasets.h"

namespace radlads {

// Thread-safe.
class IndexServiceMetrics {
 public:
  IndexServiceMetrics();
  // Counts a call that ended; gives back its status.
  grpc::Status Count(const std::string& method, const grpc::Status& status);
  std::string Text() const;  // for Prometheus

  prometheus::Counter& samples() { return samples_; }
  prometheus::Counter& token_bytes() { return token_bytes_; }
  prometheus::Gauge& streams() { return streams_; }

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Counter &samples_, &token_bytes_;
  prometheus::Gauge& streams_;
};

// index_service.proto says what the calls do. Thread-safe.
class IndexServiceImpl final : public index_service::v1::IndexService::Service {
 public:
  // An empty key asks for none. `metrics` must outlive it.
  IndexServiceImpl(const std::string& catalog, std::string api_key, IndexServiceMetrics& metrics)
      : datasets_(catalog), api_key_(std::move(api_key)), metrics_(metrics) {}

  // Ends streams after the batch in hand.
  void StopStreams() { draining_ = true; }

  grpc::Status List(grpc::ServerContext* context, const index_service::v1::ListRequest* request,
                    index_service::v1::ListResponse* response) override;
  grpc::Status Describe(grpc::ServerContext* context, const index_service::v1::DescribeRequest* request,
                        index_service::v1::Dataset* response) override;
  grpc::Status Sample(grpc::ServerContext* context, const index_service::v1::SampleRequest* request,
                      grpc::ServerWriter<index_service::v1::SampleBatch>* writer) override;

 private:
  absl::Status CheckKey(const grpc::ServerContext& context) const;
  absl::Status Stream(const index_service::v1::SampleRequest& request,
                      grpc::ServerWriter<index_service::v1::SampleBatch>& writer);

  ServedDatasets datasets_;
  const std::string api_key_;
  IndexServiceMetrics& metrics_;
  std::atomic<bool> draining_{false};
};

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_SERVICE_H_
