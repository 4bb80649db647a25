#include "eval/token_model.h"

#include <utility>

#include "base/status.h"
#include "eval/continue_tokens.h"
#include "eval/token_scores.h"
#include "model/transformer.h"

namespace radlads {
namespace {

// lm_eval's, for a model that does not say.
constexpr int64_t kDefaultMaxLength = 2048;

class DirectModel : public TokenModel {
 public:
  DirectModel(Transformer& model, int64_t batch_tokens, int64_t max_length, std::stop_token stop)
      : model_(model), batch_tokens_(batch_tokens), max_length_(max_length), stop_(std::move(stop)) {}

  absl::Status Score(const std::vector<TokenScoreRequest>& requests, const TokenScoreCallback& done) override {
    return Ended(ScoreTokens(model_, requests, batch_tokens_, done, Wanted()));
  }
  absl::Status Continue(const std::vector<ContinueRequest>& requests, const ContinueCallback& on_token,
                        const ContinuedCallback& done) override {
    return Ended(ContinueTokens(model_, requests, batch_tokens_, on_token, done, Wanted()));
  }
  int64_t vocabulary() const override { return model_.config().vocab_size(); }
  int64_t max_length() const override { return max_length_; }

 private:
  WantedCallback Wanted() const {
    if (!stop_.stop_possible()) return {};
    return [this](int64_t) { return !stop_.stop_requested(); };
  }
  absl::Status Ended(const absl::Status& status) const {
    if (!status.ok() || !stop_.stop_requested()) return status;
    return absl::CancelledError("stopped before all was answered");
  }

  Transformer& model_;
  const int64_t batch_tokens_, max_length_;
  const std::stop_token stop_;
};

}  // namespace

absl::StatusOr<int64_t> ContextLength(const Transformer& model, const TokenModelOptions& options) {
  if (options.batch_tokens < 1) return InvalidArgument("batch_tokens must be at least 1, found ", options.batch_tokens);
  if (options.max_length < 0) return InvalidArgument("max_length must be 0 or more, found ", options.max_length);
  if (options.max_length > 0) return options.max_length;
  const int64_t of_model = model.config().max_position_embeddings();
  return of_model > 0 ? of_model : kDefaultMaxLength;
}

absl::StatusOr<std::unique_ptr<TokenModel>> MakeTokenModel(Transformer& model, const TokenModelOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(const int64_t max_length, ContextLength(model, options));
  return std::make_unique<DirectModel>(model, options.batch_tokens, max_length, options.stop);
}

}  // namespace radlads
