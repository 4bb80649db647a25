#include "model/precision.h"

#include <gtest/gtest.h>

namespace radlads {
namespace {

TEST(PrecisionTest, ByName) {
  EXPECT_EQ(ChoosePrecision("fp32")->dtype, at::kFloat);
  EXPECT_EQ(ChoosePrecision("bf16")->dtype, at::kBFloat16);
  EXPECT_NE(ChoosePrecision("auto")->reason.find("processor"), std::string::npos);
  const auto status = ChoosePrecision("fp16").status();
  EXPECT_NE(std::string(status.message()).find("'fp16'"), std::string::npos) << status;
}

}  // namespace
}  // namespace radlads
