#include "data/index_service/service.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/bearer_key.h"
#include "base/grpc_server.h"
#include "base/status.h"
#include "data/catalog/catalog.h"
#include "data/sample_source.h"

namespace radlads {
namespace {

namespace wire = index_service::v1;

constexpr int64_t kBatchBytes = 1 << 20;
constexpr int64_t kMaxContext = 1 << 20;
constexpr int64_t kMaxSample = int64_t{1} << 62;

// Takes the same time wherever the two differ.
bool SameSecret(const std::string& a, const std::string& b) {
  unsigned difference = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

wire::Dataset ToWire(const CatalogDataset& from) {
  const catalog::Dataset& record = from.record;
  wire::Dataset dataset;
  dataset.set_name(from.name);
  dataset.set_tokens(record.tokens());
  dataset.set_documents(record.documents());
  dataset.set_tokenizer(record.tokenizer());
  dataset.set_tokenizer_hash(record.tokenizer_hash());
  dataset.set_vocabulary_size(record.vocabulary_size());
  if (record.has_eos_id()) dataset.set_eos_id(record.eos_id());
  dataset.set_fingerprint(from.Fingerprint());
  dataset.set_shards(static_cast<int64_t>(from.shards.size()));
  return dataset;
}

absl::Status CheckRange(const wire::SampleRequest& request, const Sampler& sampler) {
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

void Encode(std::span<const int32_t> tokens, int64_t token_bytes, char* out) {
  if (token_bytes == sizeof(int32_t)) {
    std::memcpy(out, tokens.data(), tokens.size_bytes());
    return;
  }
  for (size_t t = 0; t < tokens.size(); ++t) {
    const uint16_t token = static_cast<uint16_t>(tokens[t]);
    std::memcpy(out + 2 * t, &token, 2);
  }
}

prometheus::Counter& NewCounter(const char* name, const char* help, prometheus::Registry& registry) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

IndexServiceMetrics::IndexServiceMetrics()
    : requests_(prometheus::BuildCounter()
                    .Name("radlads_index_requests_total")
                    .Help("Calls that ended, by method and gRPC status code.")
                    .Register(registry_)),
      samples_(NewCounter("radlads_index_samples_total", "Samples sent.", registry_)),
      token_bytes_(NewCounter("radlads_index_token_bytes_total", "Bytes of tokens sent.", registry_)),
      streams_(prometheus::BuildGauge()
                   .Name("radlads_index_streams")
                   .Help("Sample streams that are open.")
                   .Register(registry_)
                   .Add({})) {}

grpc::Status IndexServiceMetrics::Count(const std::string& method, const grpc::Status& status) {
  requests_.Add({{"method", method}, {"code", std::to_string(status.error_code())}}).Increment();
  return status;
}

std::string IndexServiceMetrics::Text() const {
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

absl::Status IndexServiceImpl::CheckKey(const grpc::ServerContext& context) const {
  if (api_key_.empty()) return absl::OkStatus();
  const auto range = context.client_metadata().equal_range("authorization");
  for (auto it = range.first; it != range.second; ++it) {
    const std::string_view key = BearerKey({it->second.data(), it->second.size()});
    if (SameSecret(std::string(key), api_key_)) return absl::OkStatus();
  }
  return absl::UnauthenticatedError(range.first == range.second
                                        ? "this index service asks for a key; expected the metadata 'authorization: "
                                          "Bearer KEY' (train.data_key_file)"
                                        : "the key is not this index service's (train.data_key_file)");
}

grpc::Status IndexServiceImpl::List(grpc::ServerContext* context, const wire::ListRequest*,
                                    wire::ListResponse* response) {
  const auto list = [&]() -> absl::Status {
    RADLADS_RETURN_IF_ERROR(CheckKey(*context));
    RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, datasets_.List());
    for (const auto& [name, dataset] : catalog.datasets()) {
      if (dataset.status.ok()) *response->add_datasets() = ToWire(dataset);  // Describe says what is wrong with others
    }
    return absl::OkStatus();
  };
  return metrics_.Count("List", ToGrpc(list()));
}

grpc::Status IndexServiceImpl::Describe(grpc::ServerContext* context, const wire::DescribeRequest* request,
                                        wire::Dataset* response) {
  const auto describe = [&]() -> absl::Status {
    RADLADS_RETURN_IF_ERROR(CheckKey(*context));
    RADLADS_ASSIGN_OR_RETURN(const CatalogDataset dataset, datasets_.Describe(request->dataset()));
    *response = ToWire(dataset);
    return absl::OkStatus();
  };
  return metrics_.Count("Describe", ToGrpc(describe()));
}

grpc::Status IndexServiceImpl::Sample(grpc::ServerContext* context, const wire::SampleRequest* request,
                                      grpc::ServerWriter<wire::SampleBatch>* writer) {
  metrics_.streams().Increment();
  absl::Status status = CheckKey(*context);
  if (status.ok()) status = Stream(*request, *writer);
  metrics_.streams().Decrement();
  return metrics_.Count("Sample", ToGrpc(status));
}

absl::Status IndexServiceImpl::Stream(const wire::SampleRequest& request,
                                      grpc::ServerWriter<wire::SampleBatch>& writer) {
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
      Encode(row, token_bytes, tokens.data() + r * length * token_bytes);
    }
    if (!writer.Write(batch)) return absl::CancelledError("the client went away");
    metrics_.samples().Increment(static_cast<double>(rows));
    metrics_.token_bytes().Increment(static_cast<double>(tokens.size()));
    done += rows;
  }
  return absl::OkStatus();
}

}  // namespace radlads
