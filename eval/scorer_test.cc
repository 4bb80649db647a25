#include "eval/scorer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <stop_token>

#include "eval/testing.h"
#include "model/generate.h"
#include "model/testing.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ids = std::vector<int64_t>;

std::unique_ptr<Scorer> NewScorer(Transformer& model, const TokenModelOptions& options = {}) {
  auto scorer = MakeScorer(model, *SmallTokenizer(), options);
  EXPECT_TRUE(scorer.ok()) << scorer.status();
  return *std::move(scorer);
}

// One request, the plain way.
LoglikelihoodResult Naive(Transformer& model, Ids context, const Ids& continuation) {
  at::NoGradGuard no_grad;
  if (context.empty()) context.push_back(0);
  Ids all = context;
  all.insert(all.end(), continuation.begin(), continuation.end());
  const Tensor ids = at::tensor(all, at::kLong).unsqueeze(0);
  const Tensor logits = model.Logits(model.Forward(ids)).squeeze(0);
  const Tensor logprobs = at::log_softmax(logits.to(at::kDouble), -1);
  LoglikelihoodResult result{0, true};
  for (size_t i = 0; i < continuation.size(); ++i) {
    const int64_t row = context.size() + i - 1;
    result.logprob += logprobs[row][continuation[i]].item<double>();
    result.is_greedy = result.is_greedy && logits[row].argmax().item<int64_t>() == continuation[i];
  }
  return result;
}

Ids Random(std::mt19937_64& random, int64_t length) {
  Ids ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back(1 + random() % 96);
  return ids;
}

// Questions with choices, some of one token and some that are the beginning of another, and texts by themselves.
std::vector<LoglikelihoodRequest> Questions() {
  std::mt19937_64 random(3);
  std::vector<LoglikelihoodRequest> requests;
  for (int question = 0; question < 6; ++question) {
    const Ids context = Random(random, question == 5 ? 0 : 9 + 3 * question);
    for (int choice = 0; choice < 4; ++choice) {
      requests.push_back({context, Random(random, question % 2 == 0 ? 1 : 1 + choice)});
    }
    LoglikelihoodRequest longer = requests.back();
    longer.continuation.push_back(5);
    requests.push_back(longer);
  }
  requests.push_back({Random(random, 40), Random(random, 20)});
  return requests;
}

class ScorerTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, ScorerTest, ::testing::ValuesIn(SmallKinds()),
                         [](const auto& info) { return info.param; });

TEST_P(ScorerTest, EqualsOneRequestAtATime) {
  auto model = InferenceModel(GetParam());
  const auto requests = Questions();
  std::vector<LoglikelihoodResult> wants;
  for (const auto& request : requests) wants.push_back(Naive(*model, request.context, request.continuation));
  for (int64_t batch_tokens : {1, 16, 64, 300, 4096}) {
    std::set<int64_t> done;
    auto results = NewScorer(*model, {.batch_tokens = batch_tokens})
                       ->Loglikelihood(requests, [&](int64_t index, const LoglikelihoodResult&) {
                         EXPECT_TRUE(done.insert(index).second) << "request " << index << " is done twice";
                       });
    ASSERT_TRUE(results.ok()) << results.status();
    EXPECT_EQ(done.size(), requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const LoglikelihoodResult& want = wants[i];
      EXPECT_NEAR((*results)[i].logprob, want.logprob, 2e-5 * std::abs(want.logprob))
          << "request " << i << ", " << batch_tokens << " tokens a batch";
      EXPECT_EQ((*results)[i].is_greedy, want.is_greedy);
    }
  }
}

// The promise of token_scores.h.
TEST_P(ScorerTest, ResultsDoNotDependOnBatches) {
  auto model = InferenceModel(GetParam());
  const auto requests = Questions();
  std::vector<LoglikelihoodResult> alone;
  for (const auto& request : requests) {
    auto result = NewScorer(*model)->Loglikelihood({request});
    ASSERT_TRUE(result.ok()) << result.status();
    alone.push_back((*result)[0]);
  }
  for (int64_t batch_tokens : {1, 16, 64, 300, 4096}) {
    auto together = NewScorer(*model, {.batch_tokens = batch_tokens})->Loglikelihood(requests);
    ASSERT_TRUE(together.ok()) << together.status();
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ((*together)[i].logprob, alone[i].logprob) << "request " << i << ", " << batch_tokens << " tokens a batch";
    }
  }
}

TEST_P(ScorerTest, ReadsDocumentsInWindows) {
  auto model = InferenceModel(GetParam());
  std::mt19937_64 random(5);
  const std::vector<Ids> documents = {Random(random, 23), {}, Random(random, 8), Random(random, 1)};
  auto scorer = NewScorer(*model, {.batch_tokens = 40, .max_length = 8});
  int done = 0;
  auto results = scorer->LoglikelihoodRolling(documents, [&](int64_t, double) { ++done; });
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(done, 4);
  for (size_t i = 0; i < documents.size(); ++i) {
    double want = 0;
    for (const auto& window : RollingWindows(documents[i], 0, 8)) {
      want += Naive(*model, window.context, window.continuation).logprob;
    }
    EXPECT_NEAR((*results)[i], want, 2e-5 * std::abs(want)) << "document " << i;
  }
}

TEST_P(ScorerTest, ContinuesAsGenerateDoes) {
  auto model = InferenceModel(GetParam());
  const auto tokenizer = SmallTokenizer();
  std::mt19937_64 random(9);
  std::vector<GenerateRequest> requests;
  std::vector<std::string> want;
  // More than go on at once, of lengths that are shared and not, some of which pass 64 tokens.
  for (int64_t i = 0; i < 90; ++i) {
    GenerateRequest request{.prompt = Random(random, 3 + i / 3), .max_new_tokens = 4 + i % 60};
    if (i % 3 == 1) request.sampling = {.temperature = 1, .top_k = 20, .seed = static_cast<uint64_t>(i)};
    GenerateOptions options{.sampling = request.sampling, .max_tokens = request.max_new_tokens, .stop_ids = {0}};
    auto alone = Generate(*model, request.prompt, options);
    ASSERT_TRUE(alone.ok()) << alone.status();
    auto text = tokenizer->Decode(std::vector<int32_t>(alone->tokens.begin(), alone->tokens.end()), true);
    ASSERT_TRUE(text.ok());
    if (i % 3 == 2 && text->size() > 3) {  // ends inside of a text that was asked to end at two characters of it
      request.until = {"", "no such text", text->substr(2, 2)};
      text->resize(text->find(request.until[2]));
    }
    requests.push_back(request);
    want.push_back(*text);
  }
  auto results = NewScorer(*model)->GenerateUntil(requests);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(*results, want);
}

TEST(Scorer, GreedyTextIsGreedy) {
  auto model = InferenceModel("llama");
  auto tokens = Generate(*model, {7, 8, 9}, {.max_tokens = 6});
  ASSERT_TRUE(tokens.ok());
  Ids other = tokens->tokens;
  other.back() = (other.back() + 1) % 97;
  auto results = NewScorer(*model)->Loglikelihood({{{7, 8, 9}, tokens->tokens}, {{7, 8, 9}, other}});
  ASSERT_TRUE(results.ok());
  EXPECT_TRUE((*results)[0].is_greedy);
  EXPECT_FALSE((*results)[1].is_greedy);
}

TEST(Scorer, ALongContextLosesItsBeginning) {
  auto model = InferenceModel("llama");
  std::mt19937_64 random(1);
  const Ids context = Random(random, 20), continuation = Random(random, 3);
  auto result = NewScorer(*model, {.max_length = 10})->Loglikelihood({{context, continuation}});
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR((*result)[0].logprob, Naive(*model, Ids(context.end() - 8, context.end()), continuation).logprob, 1e-4);
}

TEST(Scorer, APrefixTokenAtTheBeginningIsContext) {
  auto model = InferenceModel("llama");
  auto results = NewScorer(*model)->Loglikelihood({{{}, {0, 5, 6}}, {{0}, {5, 6}}, {{}, {5, 6}}});
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ((*results)[0].logprob, (*results)[1].logprob);
  EXPECT_EQ((*results)[1].logprob, (*results)[2].logprob);
}

TEST(Scorer, SaysWhatItCannotScore) {
  auto model = InferenceModel("llama");
  auto scorer = NewScorer(*model, {.max_length = 10});
  const auto message = [&](const LoglikelihoodRequest& request) {
    auto result = scorer->Loglikelihood({{{1}, {2}}, request});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(result.status().message());
  };
  EXPECT_THAT(message({{1}, {}}), HasSubstr("request 1: the continuation has no token"));
  EXPECT_THAT(message({{}, {0}}), HasSubstr("request 1: the continuation has no token"));
  EXPECT_THAT(message({{1}, {97}}), HasSubstr("request 1: token id 97 is outside of the model's vocabulary of 97"));
  EXPECT_THAT(message({{-1}, {1}}), HasSubstr("token id -1"));
  EXPECT_THAT(message({{1}, Ids(11, 1)}), HasSubstr("the continuation has 11 tokens, the context of the model is 10"));
  EXPECT_THAT(std::string(scorer->GenerateUntil({{.prompt = {1}, .max_new_tokens = 10}}).status().message()),
              HasSubstr("leaves no room"));
  EXPECT_THAT(std::string(scorer->GenerateUntil({{.prompt = {}, .max_new_tokens = 1}}).status().message()),
              HasSubstr("no token to continue"));
  EXPECT_FALSE(MakeScorer(*model, *SmallTokenizer(), {.batch_tokens = 0}).ok());
  model->NamedParameters().back().second.fill_(std::nan(""));
  EXPECT_EQ(scorer->Loglikelihood({{{1}, {2}}}).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Scorer, StopsWhenNobodyCanKeepTheAnswers) {
  const auto model = SmallModel("llama");
  const auto expect_one = [&](const auto& ask) {
    std::stop_source stop;
    const auto scorer = NewScorer(*model, {.batch_tokens = 16, .stop = stop.get_token()});
    int64_t answered = 0;
    const absl::Status status = ask(*scorer, [&](int64_t, const auto&) {
      ++answered;
      stop.request_stop();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    EXPECT_EQ(answered, 1);
  };
  expect_one([](Scorer& scorer, auto done) { return scorer.Loglikelihood(Questions(), done).status(); });
  expect_one([](Scorer& scorer, auto done) {
    return scorer.GenerateUntil({{.prompt = {1}, .max_new_tokens = 2}, {.prompt = {2, 3}, .max_new_tokens = 9}}, done)
        .status();
  });
}

// list(map(make_disjoint_window, get_rolling_token_windows(list(range(10)), -1, max_seq_len, 1))) of lm_eval 0.4.13.
TEST(Scorer, WindowsAreThoseOfLmEval) {
  const auto text = [](int64_t count, int64_t max_length) {
    Ids document;
    for (int64_t i = 0; i < count; ++i) document.push_back(i);
    std::string text;
    for (const auto& window : RollingWindows(document, -1, max_length)) {
      for (int64_t id : window.context) text += std::to_string(id) + " ";
      text += "|";
      for (int64_t id : window.continuation) text += " " + std::to_string(id);
      text += "\n";
    }
    return text;
  };
  EXPECT_EQ(text(10, 4), "-1 | 0 1 2 3\n3 | 4 5 6 7\n5 6 7 | 8 9\n");
  EXPECT_EQ(text(8, 4), "-1 | 0 1 2 3\n3 | 4 5 6 7\n");
  EXPECT_EQ(text(3, 4), "-1 | 0 1 2\n");
  EXPECT_EQ(text(3, 1), "-1 | 0\n0 | 1\n1 | 2\n");
  EXPECT_EQ(text(0, 4), "");
}

}  // namespace
}  // namespace radlads
