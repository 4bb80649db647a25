#include "base/nearest_name.h"

#include <gtest/gtest.h>

namespace radlads {
namespace {

TEST(NearestName, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("lr_inti", "lr_init"), 1u);
}

TEST(NearestName, FindsTheClosestOrNothing) {
  const std::vector<std::string> names = {"lr_init", "lr_final", "micro_bsz", "a"};
  EXPECT_EQ(NearestName("lr_inti", names), "lr_init");
  EXPECT_EQ(NearestName("microbsz", names), "micro_bsz");
  EXPECT_EQ(NearestName("zebra_crossing", names), "");
  EXPECT_EQ(NearestName("b", names), "");
  EXPECT_EQ(NearestName("lr_init", {}), "");
}

}  // namespace
}  // namespace radlads
