#include "eval/continue_tokens.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/status.h"
#include "model/decode/decode_batch.h"
#include "model/sampling.h"
#include "model/state.h"
#include "model/token_score.h"

namespace radlads {
namespace {

// That step together: beyond, a step's products gain little.
constexpr int64_t kMaxTexts = 64;
// Of their states, which grow in softmax layers: no text begins while there are more.
constexpr int64_t kMaxBytes = int64_t{1} << 30;

// Texts under way.
class Continuation {
 public:
  Continuation(Transformer& model, const std::vector<ContinueRequest>& requests, const ContinueCallback& on_token,
               const ContinuedCallback& done, const WantedCallback& wanted)
      : model_(model),
        requests_(requests),
        on_token_(on_token),
        done_(done),
        wanted_(wanted),
        batch_(model, /*recorder=*/nullptr) {}

  int64_t size() const { return batch_.size(); }
  // For how many texts more there is room.
  int64_t Room() const { return batch_.ByteSize() < kMaxBytes ? kMaxTexts - size() : 0; }
  bool Wanted(int64_t index) const { return !wanted_ || wanted_(index); }

  // Reads texts of one length, unless none is wanted any more, and draws their first tokens.
  absl::Status Add(const std::vector<int64_t>& indexes, int64_t batch_tokens) {
    const auto count = static_cast<int64_t>(indexes.size());
    const auto length = static_cast<int64_t>(requests_[indexes[0]].ids.size());
    Tensor ids = at::empty({count, length}, at::kLong);
    for (int64_t row = 0; row < count; ++row) {
      const std::vector<int64_t>& from = requests_[indexes[row]].ids;
      std::copy(from.begin(), from.end(), ids[row].mutable_data_ptr<int64_t>());
    }
    ModelState state;
    Tensor hidden;
    const int64_t step = std::max<int64_t>(1, batch_tokens / count);
    for (int64_t at = 0; at < length; at += step) {
      if (std::none_of(indexes.begin(), indexes.end(), [&](int64_t index) { return Wanted(index); })) {
        return absl::OkStatus();
      }
      hidden = model_.Forward(ids.slice(1, at, std::min(at + step, length)).contiguous(), &state);
    }
    for (const int64_t index : indexes) {
      texts_.emplace(index, Text{.sampler = TokenSampler(requests_[index].sampling)})
          .first->second.sampler.Read(requests_[index].ids);
    }
    RADLADS_ASSIGN_OR_RETURN(const std::vector<bool> more, Draw(indexes, hidden.select(1, hidden.size(1) - 1)));
    for (int64_t row = 0; row < count; ++row) {
      if (more[row]) batch_.Add(indexes[row], state.Select(at::full({1}, row, state.position.options())));
    }
    return absl::OkStatus();
  }

  // A token more of each text.
  absl::Status Step() {
    const Tensor hidden = batch_.Step([&](uint64_t index) { return texts_.at(static_cast<int64_t>(index)).last; });
    const std::vector<uint64_t> names = batch_.texts();
    const std::vector<int64_t> indexes(names.begin(), names.end());
    RADLADS_ASSIGN_OR_RETURN(const std::vector<bool> more, Draw(indexes, hidden));
    for (size_t row = 0; row < indexes.size(); ++row) {
      if (!more[row]) batch_.Remove(indexes[row]);
    }
    return absl::OkStatus();
  }

 private:
  struct Text {
    TokenSampler sampler;
    int64_t tokens = 0, last = -1;
  };

  static bool Stops(const ContinueRequest& request, int64_t id) {
    return std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end();
  }

  // Draws a token for each text from its row of `hidden` [N,C]; -> whether it goes on.
  absl::StatusOr<std::vector<bool>> Draw(const std::vector<int64_t>& indexes, const Tensor& hidden) {
    Tensor logits = model_.Logits(hidden);
    std::vector<RowQuestion> questions;
    for (size_t row = 0; row < indexes.size(); ++row) {
      const ContinueRequest& request = requests_[indexes[row]];
      RowQuestion question{.row = static_cast<int64_t>(row), .target = -1, .top = request.top};
      if (!request.TakesLikeliest()) {
        Text& text = texts_.at(indexes[row]);
        TokenSampler::Allows allows;
        if (text.tokens < request.min_tokens) allows = [&](int64_t id) { return !Stops(request, id); };
        RADLADS_ASSIGN_OR_RETURN(question.target, text.sampler.Sample(logits[question.row], allows));
      }
      questions.push_back(question);
    }
    RADLADS_ASSIGN_OR_RETURN(auto scores, ScoreLogits(std::move(logits), questions));
    std::vector<bool> more(indexes.size());
    for (size_t row = 0; row < indexes.size(); ++row) {
      const int64_t index = indexes[row];
      more[row] = Wanted(index) && Take(index, questions[row].target, scores[row]);
      if (!more[row]) texts_.erase(index);
    }
    return more;
  }

  // `drawn`: -1 for the likeliest.
  bool Take(int64_t index, int64_t drawn, TokenScore& score) {
    const ContinueRequest& request = requests_[index];
    Text& text = texts_.at(index);
    if (drawn < 0) score.logprob = score.best_logprob;
    text.last = drawn < 0 ? score.best : drawn;
    const bool wanted = on_token_(index, text.last, score);
    if (wanted && !Stops(request, text.last) && ++text.tokens < request.max_tokens) return true;
    done_(index);
    return false;
  }

  Transformer& model_;
  const std::vector<ContinueRequest>& requests_;
  const ContinueCallback& on_token_;
  const ContinuedCallback& done_;
  const WantedCallback& wanted_;
  DecodeBatch batch_;  // texts by their indexes
  std::unordered_map<int64_t, Text> texts_;
};

}  // namespace

absl::Status ContinueTokens(Transformer& model, const std::vector<ContinueRequest>& requests, int64_t batch_tokens,
                            const ContinueCallback& on_token, const ContinuedCallback& done,
                            const WantedCallback& wanted) {
  if (batch_tokens < 1) return InvalidArgument("batch_tokens must be at least 1, found ", batch_tokens);
  std::vector<int64_t> order;
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::Status status = requests[i].Check(model.config().vocab_size());
    if (!status.ok()) return Annotate(status, Concatenate("request ", i));
    order.push_back(i);
  }
  std::erase_if(order, [&](int64_t index) {
    if (requests[index].max_tokens > 0) return false;
    done(index);
    return true;
  });
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return requests[a].ids.size() > requests[b].ids.size(); });
  at::NoGradGuard no_grad;
  Continuation texts(model, requests, on_token, done, wanted);
  for (size_t first = 0; first < order.size() || texts.size() > 0;) {
    // The first that are not begun yet, as far as they are of one length.
    std::vector<int64_t> indexes;
    while (first < order.size()) {
      const size_t length = requests[order[first]].ids.size();
      const int64_t room = std::min(texts.Room(), std::max<int64_t>(1, batch_tokens / static_cast<int64_t>(length)));
      if (static_cast<int64_t>(indexes.size()) >= room) break;
      if (!indexes.empty() && requests[indexes[0]].ids.size() != length) break;
      if (texts.Wanted(order[first])) indexes.push_back(order[first]);
      ++first;
    }
    if (!indexes.empty()) {
      RADLADS_RETURN_IF_ERROR(texts.Add(indexes, batch_tokens));
    } else if (texts.size() > 0) {
      RADLADS_RETURN_IF_ERROR(texts.Step());
    }
  }
  return absl::OkStatus();
}

}  // namespace radlads
