#include "eval/prefix_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using Ids = std::vector<int64_t>;

PrefixPlan Plan(const std::vector<Ids>& sequences, int64_t batch_tokens) {
  return PlanBatches(std::vector<std::span<const int64_t>>(sequences.begin(), sequences.end()), batch_tokens);
}

Ids Text(int64_t seed, int64_t length, const Ids& before = {}) {
  Ids ids = before;
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < length; ++i) ids.push_back(random() % 50);
  return ids;
}

TEST(PrefixBatches, ChoicesOfAQuestionShareIt) {
  const Ids question = Text(1, 20);
  const PrefixPlan plan = Plan({Text(2, 3, question), Text(3, 30), Text(4, 5, question), Text(5, 1, question)}, 1000);
  ASSERT_EQ(plan.batches.size(), 2u);
  EXPECT_EQ(plan.batches[0].shared, 0);
  EXPECT_THAT(plan.batches[0].groups, ElementsAre(ElementsAre(1)));
  EXPECT_EQ(plan.batches[1].shared, 20);
  ASSERT_EQ(plan.batches[1].groups.size(), 1u);
  EXPECT_THAT(plan.batches[1].groups[0], UnorderedElementsAre(0, 2, 3));
}

TEST(PrefixBatches, ABeginningIsReadWithTheWhole) {
  const Ids text = Text(1, 20);
  const PrefixPlan plan = Plan({Ids(text.begin(), text.begin() + 5), text, text}, 1000);
  EXPECT_EQ(plan.stand_in[0], plan.stand_in[1]);
  EXPECT_EQ(plan.stand_in[1], plan.stand_in[2]);
  ASSERT_EQ(plan.batches.size(), 1u);
  EXPECT_EQ(plan.batches[0].groups.size(), 1u);
  EXPECT_EQ(plan.batches[0].groups[0].size(), 1u);
}

TEST(PrefixBatches, NoTextMakesNoBatch) {
  EXPECT_TRUE(Plan({}, 10).batches.empty());
}

TEST(PrefixBatches, EverySequenceIsReadOnceWithinTheBudget) {
  std::mt19937_64 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Ids> sequences;
    for (int group = random() % 8; group >= 0; --group) {
      const Ids context = Text(random(), random() % 30);
      for (int i = random() % 5; i >= 0; --i) sequences.push_back(Text(random(), 1 + random() % 10, context));
    }
    const int64_t budget = 1 + random() % 200;
    const PrefixPlan plan = Plan(sequences, budget);
    std::set<int64_t> seen;
    for (const PrefixBatch& batch : plan.batches) {
      int64_t longest = batch.shared;
      for (const auto& group : batch.groups) {
        ASSERT_FALSE(group.empty());
        if (batch.shared == 0) {
          EXPECT_EQ(group.size(), 1u);
        }
        for (int64_t i : group) {
          EXPECT_TRUE(seen.insert(i).second) << "sequence " << i << " is in two places";
          EXPECT_EQ(plan.stand_in[i], i);
          const auto size = static_cast<int64_t>(sequences[i].size());
          EXPECT_GT(size, batch.shared);
          EXPECT_TRUE(
              std::equal(sequences[i].begin(), sequences[i].begin() + batch.shared, sequences[group[0]].begin()));
          if (batch.shared == 0) longest = std::max(longest, size);
        }
      }
      const auto groups = static_cast<int64_t>(batch.groups.size());
      EXPECT_TRUE(groups == 1 || groups * longest <= budget) << groups << " of " << longest << " in " << budget;
    }
    for (size_t i = 0; i < sequences.size(); ++i) {
      const Ids& whole = sequences[plan.stand_in[i]];
      EXPECT_TRUE(seen.contains(plan.stand_in[i]));
      ASSERT_GE(whole.size(), sequences[i].size());
      EXPECT_TRUE(std::equal(sequences[i].begin(), sequences[i].end(), whole.begin()));
    }
  }
}

}  // namespace
}  // namespace radlads
