#include "eval/service/service.h"

#include <utility>
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "eval/tasks/requests.h"

namespace radlads {
namespace {

namespace wire = eval::v1;

constexpr size_t kMostStreams = 64;  // each has a thread

std::vector<int64_t> Ids(const wire::Text& text) {
  return {text.tokens().ids().begin(), text.tokens().ids().end()};
}

std::vector<int64_t> Encode(const wire::Text& text, RequestEncoder& encoder) {
  return text.form_case() == wire::Text::kText ? encoder.Encode(text.text()) : Ids(text);
}

// The three methods: how a request is read, answered and told. `Question` is what Scorer takes.

struct LoglikelihoodMethod {
  static constexpr char kName[] = "Loglikelihood";
  using Request = wire::LoglikelihoodRequest;
  using Response = wire::LoglikelihoodResponse;
  using Question = LoglikelihoodRequest;
  using Result = LoglikelihoodResult;

  static absl::StatusOr<Question> Parse(const Request& request, RequestEncoder& encoder) {
    const wire::Text &context = request.context(), &continuation = request.continuation();
    const bool strings = context.form_case() == wire::Text::kText || continuation.form_case() == wire::Text::kText;
    const bool ids = context.has_tokens() || continuation.has_tokens();
    if (strings && ids) {
      return InvalidArgument("context and continuation must both be strings or both be token ids, found one of each");
    }
    if (!strings) return Question{Ids(context), Ids(continuation)};
    TokenPair pair = encoder.EncodePair(context.text(), continuation.text());
    return Question{std::move(pair.context), std::move(pair.continuation)};
  }
  static absl::Status Ask(Scorer& scorer, const std::vector<Question>& questions, const ScorerCallback<Result>& done) {
    return scorer.Loglikelihood(questions, done).status();
  }
  static void Tell(const Result& result, Response* response) {
    response->set_logprob(result.logprob);
    response->set_is_greedy(result.is_greedy);
  }
};

struct LoglikelihoodRollingMethod {
  static constexpr char kName[] = "LoglikelihoodRolling";
  using Request = wire::LoglikelihoodRollingRequest;
  using Response = wire::LoglikelihoodRollingResponse;
  using Question = std::vector<int64_t>;
  using Result = double;

  static absl::StatusOr<Question> Parse(const Request& request, RequestEncoder& encoder) {
    return Encode(request.text(), encoder);
  }
  static absl::Status Ask(Scorer& scorer, const std::vector<Question>& questions, const ScorerCallback<Result>& done) {
    return scorer.LoglikelihoodRolling(questions, done).status();
  }
  static void Tell(double logprob, Response* response) { response->set_logprob(logprob); }
};

struct GenerateUntilMethod {
  static constexpr char kName[] = "GenerateUntil";
  using Request = wire::GenerateUntilRequest;
  using Response = wire::GenerateUntilResponse;
  using Question = GenerateRequest;
  using Result = std::string;

  static absl::StatusOr<Question> Parse(const Request& request, RequestEncoder& encoder) {
    Question question{.prompt = Encode(request.prompt(), encoder),
                      .until = {request.until().begin(), request.until().end()},
                      .max_new_tokens = request.max_new_tokens()};
    question.sampling = {.temperature = request.temperature(),
                         .top_k = request.top_k(),
                         .top_p = request.top_p(),
                         .seed = request.seed()};
    return question;
  }
  static absl::Status Ask(Scorer& scorer, const std::vector<Question>& questions, const ScorerCallback<Result>& done) {
    return scorer.GenerateUntil(questions, done).status();
  }
  static void Tell(const std::string& text, Response* response) { response->set_text(text); }
};

// Answers the requests of one stream.
template <typename Method>
class Answerer {
 public:
  using Request = typename Method::Request;
  using Response = typename Method::Response;

  Answerer(std::unique_ptr<Scorer> scorer, const Tokenizer& tokenizer, const ScorerLimits& limits,
           prometheus::Family<prometheus::Counter>& responses)
      : scorer_(std::move(scorer)), encoder_(tokenizer, limits.prefix_token), limits_(limits), responses_(responses) {}

  void Answer(const std::vector<Request>& requests, const std::function<void(Response)>& respond) {
    std::vector<typename Method::Question> questions;
    std::vector<const Request*> asked;  // null: has a response
    for (const Request& request : requests) {
      auto question = Method::Parse(request, encoder_);
      const absl::Status status = question.ok() ? limits_.Check(*question) : question.status();
      if (status.ok()) {
        questions.push_back(*std::move(question));
        asked.push_back(&request);
      } else {
        respond(Failed(request, status));
      }
    }
    const absl::Status status = Method::Ask(*scorer_, questions, [&](int64_t i, const typename Method::Result& result) {
      Response response;
      response.set_id(asked[i]->id());
      Method::Tell(result, &response);
      Count(absl::StatusCode::kOk);
      respond(std::move(response));
      asked[i] = nullptr;
    });
    if (status.ok() || absl::IsCancelled(status)) return;
    Log().error("a batch failed: {}", std::string(status.message()));
    for (const Request* request : asked) {
      if (request != nullptr) respond(Failed(*request, status));
    }
  }

 private:
  Response Failed(const Request& request, const absl::Status& status) {
    Response response;
    response.set_id(request.id());
    response.mutable_error()->set_code(static_cast<int>(status.code()));
    response.mutable_error()->set_message(std::string(status.message()));
    Count(status.code());
    return response;
  }

  void Count(absl::StatusCode code) {
    responses_.Add({{"method", Method::kName}, {"code", std::to_string(static_cast<int>(code))}}).Increment();
  }

  const std::unique_ptr<Scorer> scorer_;
  RequestEncoder encoder_;
  const ScorerLimits limits_;
  prometheus::Family<prometheus::Counter>& responses_;
};

}  // namespace

EvalServiceImpl::EvalServiceImpl(ModelQueue& queue, std::shared_ptr<const Tokenizer> tokenizer,
                                 const ScorerLimits& limits, std::string model_name, prometheus::Registry& metrics)
    : queue_(queue),
      tokenizer_(std::move(tokenizer)),
      limits_(limits),
      model_name_(std::move(model_name)),
      responses_(prometheus::BuildCounter()
                     .Name("radlads_eval_grpc_responses_total")
                     .Help("Responses on gRPC streams, by method and gRPC status code.")
                     .Register(metrics)),
      streams_(kMostStreams, "send more on one stream") {}

grpc::ServerUnaryReactor* EvalServiceImpl::Describe(grpc::CallbackServerContext* context, const wire::DescribeRequest*,
                                                    wire::DescribeResponse* response) {
  response->set_model(model_name_);
  response->set_vocabulary(limits_.vocabulary);
  response->set_max_length(limits_.max_length);
  response->set_prefix_token(limits_.prefix_token);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

template <typename Method>
grpc::ServerBidiReactor<typename Method::Request, typename Method::Response>* EvalServiceImpl::Open() {
  using Stream = EvalStream<typename Method::Request, typename Method::Response>;
  return Stream::Open(streams_, [this](CancelledCallback cancelled) -> typename Stream::Answer {
    auto scorer = MakeScorer(queue_.Caller(std::move(cancelled)), *tokenizer_);
    RADLADS_CHECK(scorer.ok()) << scorer.status();  // limits_ are of such a one
    const auto answerer = std::make_shared<Answerer<Method>>(*std::move(scorer), *tokenizer_, limits_, responses_);
    return [answerer](const auto& requests, const auto& respond) { answerer->Answer(requests, respond); };
  });
}

grpc::ServerBidiReactor<wire::LoglikelihoodRequest, wire::LoglikelihoodResponse>* EvalServiceImpl::Loglikelihood(
    grpc::CallbackServerContext*) {
  return Open<LoglikelihoodMethod>();
}
grpc::ServerBidiReactor<wire::LoglikelihoodRollingRequest, wire::LoglikelihoodRollingResponse>*
EvalServiceImpl::LoglikelihoodRolling(grpc::CallbackServerContext*) {
  return Open<LoglikelihoodRollingMethod>();
}
grpc::ServerBidiReactor<wire::GenerateUntilRequest, wire::GenerateUntilResponse>* EvalServiceImpl::GenerateUntil(
    grpc::CallbackServerContext*) {
  return Open<GenerateUntilMethod>();
}

}  // namespace radlads
