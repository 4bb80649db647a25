#include "model/token_score.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace radlads {
namespace {

TEST(ScoreLogits, NamesTheLikeliest) {
  at::Tensor logits = at::zeros({2, 5});
  logits[0][3] = 2;
  logits[0][1] = 1;
  auto scores = ScoreLogits(logits.clone(), {{.row = 0, .target = 3, .top = 2}, {.row = 1, .target = 4, .top = 9}});
  ASSERT_TRUE(scores.ok());
  EXPECT_EQ((*scores)[0].best, 3);
  EXPECT_EQ((*scores)[0].logprob, (*scores)[0].best_logprob);
  EXPECT_NEAR((*scores)[0].logprob, 2 - std::log(std::exp(2) + std::exp(1) + 3), 1e-6);
  ASSERT_EQ((*scores)[0].top.size(), 2u);
  EXPECT_EQ((*scores)[0].top[0], std::pair(int64_t{3}, (*scores)[0].logprob));
  EXPECT_EQ((*scores)[0].top[1].first, 1);
  EXPECT_EQ((*scores)[1].best, 0) << "the lowest id among equals";
  ASSERT_EQ((*scores)[1].top.size(), 5u);
  EXPECT_EQ((*scores)[1].top[4].first, 4);
}

TEST(ScoreLogits, NotANumberIsAnError) {
  EXPECT_EQ(ScoreLogits(at::full({1, 3}, NAN), {{}}).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace radlads
