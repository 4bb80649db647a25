// The calls of the eval service. Private to the server.
#ifndef RADLADS_EVAL_SERVICE_SERVICE_H_
#define RADLADS_EVAL_SERVICE_SERVICE_H_

#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "base/grpc_server.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/model_queue.h"
#include "eval/scorer.h"
#include "eval/service/eval_service.grpc.pb.h"
#include "eval/service/stream.h"

namespace radlads {

// eval_service.proto says what the calls do. Thread-safe.
class EvalServiceImpl final : public eval::v1::EvalService::CallbackService {
 public:
  // `queue` and `metrics` must outlive it; `limits` are those of scorers over them.
  EvalServiceImpl(ModelQueue& queue, std::shared_ptr<const Tokenizer> tokenizer, const ScorerLimits& limits,
                  std::string model_name, prometheus::Registry& metrics);

  void DrainStreams() { streams_.Drain(); }

  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context, const eval::v1::DescribeRequest* request,
                                     eval::v1::DescribeResponse* response) override;
  grpc::ServerBidiReactor<eval::v1::LoglikelihoodRequest, eval::v1::LoglikelihoodResponse>* Loglikelihood(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<eval::v1::LoglikelihoodRollingRequest, eval::v1::LoglikelihoodRollingResponse>*
  LoglikelihoodRolling(grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<eval::v1::GenerateUntilRequest, eval::v1::GenerateUntilResponse>* GenerateUntil(
      grpc::CallbackServerContext* context) override;

 private:
  template <typename Method>
  grpc::ServerBidiReactor<typename Method::Request, typename Method::Response>* Open();

  ModelQueue& queue_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const ScorerLimits limits_;
  const std::string model_name_;
  prometheus::Family<prometheus::Counter>& responses_;
  GrpcStreams streams_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_SERVICE_SERVICE_H_
