#include "model/score.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/testing.h"

namespace radlads {
namespace {

// The sum of -log softmax at the next token, written down plainly.
double PlainScore(Transformer& model, const std::vector<int64_t>& ids) {
  at::NoGradGuard no_grad;
  const Tensor all = at::tensor(ids, at::kLong);
  const Tensor logits = model.Logits(model.Forward(all.unsqueeze(0)))[0].to(at::kDouble).log_softmax(-1);
  double sum = 0;
  for (size_t i = 1; i < ids.size(); ++i) sum -= logits[i - 1][ids[i]].item<double>();
  return sum;
}

std::vector<int64_t> RandomIds(int64_t count, int64_t seed) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back((i * i * 31 + seed * 17 + i) % 97);
  return ids;
}

class ScoreTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ScoreTest, WindowsAgreeWithThePlainSum) {
  auto model = SmallModel(GetParam());
  std::vector<Tensor> rows;
  double want = 0;
  for (int64_t i = 0; i < 5; ++i) {
    const auto ids = RandomIds(14, i);
    rows.push_back(at::tensor(ids, at::kLong));
    want += PlainScore(*model, ids);
  }
  for (int64_t batch : {1, 2, 8}) {
    int calls = 0;
    auto score = ScoreWindows(*model, at::stack(rows), batch, [&](const Score&) { ++calls; });
    ASSERT_TRUE(score.ok()) << score.status();
    EXPECT_EQ(score->tokens, 5 * 13);
    EXPECT_NEAR(score->negative_log_likelihood, want, 1e-4 * want);
    EXPECT_NEAR(score->Perplexity(), std::exp(want / 65), 1e-3 * std::exp(want / 65));
    EXPECT_EQ(calls, (5 + batch - 1) / batch);
  }
}

TEST_P(ScoreTest, DocumentsOfAnyLengthScoreAsAlone) {
  auto model = SmallModel(GetParam());
  std::vector<std::vector<int64_t>> documents = {RandomIds(3, 1), RandomIds(21, 2), {}, {4},
                                                 RandomIds(9, 3), RandomIds(2, 4)};
  for (int64_t batch : {1, 3, 16}) {
    auto scores = ScoreDocuments(*model, documents, batch);
    ASSERT_TRUE(scores.ok()) << scores.status();
    ASSERT_EQ(scores->size(), documents.size());
    for (size_t i = 0; i < documents.size(); ++i) {
      const bool empty = documents[i].size() < 2;
      EXPECT_EQ((*scores)[i].tokens, empty ? 0 : documents[i].size() - 1) << i;
      const double want = empty ? 0 : PlainScore(*model, documents[i]);
      EXPECT_NEAR((*scores)[i].negative_log_likelihood, want, 1e-4 * (1 + want))
          << "document " << i << ", batch " << batch;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ScoreTest, ::testing::Values("llama", "rad_rwkv6", "rad_rwkv7"),
                         [](const auto& info) { return info.param; });

TEST(ScoreInputTest, BadInputIsNamed) {
  auto model = SmallModel("rad_rwkv7");
  const auto code = [&](const Tensor& windows, int64_t batch) {
    return ScoreWindows(*model, windows, batch).status().code();
  };
  EXPECT_EQ(code(at::zeros({2, 1}, at::kLong), 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(at::zeros({8}, at::kLong), 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(at::zeros({2, 4}), 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(at::zeros({2, 4}, at::kLong), 0), absl::StatusCode::kInvalidArgument);
  auto outside = ScoreWindows(*model, at::full({2, 4}, 97, at::kLong), 1);
  ASSERT_FALSE(outside.ok());
  EXPECT_NE(outside.status().message().find("token id 97"), std::string::npos) << outside.status();
  EXPECT_FALSE(ScoreDocuments(*model, {{1, -5}}, 1).ok());
}

}  // namespace
}  // namespace radlads
