// What wkv6 and wkv7 say to wrong arguments.
#ifndef RADLADS_KERNELS_WKV_BAD_INPUT_TEST_H_
#define RADLADS_KERNELS_WKV_BAD_INPUT_TEST_H_

#include <optional>
#include <string>

#include "kernels/wkv/wkv_test.h"

namespace radlads {

template <typename Operation>
class WkvBadInputTest : public WkvTest<Operation> {};
TYPED_TEST_SUITE_P(WkvBadInputTest);

TYPED_TEST_P(WkvBadInputTest, OperatorRefusesWrongArguments) {
  const WkvData good = WithResets(WithState(TypeParam::Make({2, 5, 2, 4, 6}, 53)));
  const auto message = [](const WkvData& data, std::optional<at::ScalarType> output_type = {}) -> std::string {
    try {
      TypeParam::Operator(data, output_type);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "no error";
  };
  EXPECT_EQ(message(good), "no error");
  WkvData bad = good;
  bad.inputs[this->Index("k")] = at::zeros({2, 5, 2, 5});
  EXPECT_NE(message(bad).find("k has shape [2, 5, 2, 5]"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[this->Index("v")] = at::zeros({2, 4, 2, 6});
  EXPECT_NE(message(bad).find("v has shape [2, 4, 2, 6], expected [2, 5, 2, 6]"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[0] = at::zeros({2, 5, 8});
  EXPECT_NE(message(bad).find("3 dimensions, expected 4"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[this->Index("v")] = at::zeros({2, 5, 12});
  EXPECT_NE(message(bad).find("v has shape [2, 5, 12]"), std::string::npos) << message(bad);
  bad = good;
  bad.initial_state = at::zeros({2, 2, 6, 4});
  EXPECT_NE(message(bad).find("initial_state has shape"), std::string::npos) << message(bad);
  bad = good;
  bad.reset = at::zeros({2, 6}, at::kBool);
  EXPECT_NE(message(bad).find("reset has shape [2, 6], expected [2, 5]"), std::string::npos) << message(bad);
  bad = good;
  bad.reset = at::zeros({2, 5}, at::kLong);
  EXPECT_NE(message(bad).find("expected bool or uint8"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[0] = bad.inputs[0].to(at::kDouble);
  EXPECT_NE(message(bad).find("are float64"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[0] = bad.inputs[0].to(at::kInt);
  EXPECT_NE(message(bad).find("is Int"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[1] = bad.inputs[1].to(at::kMeta);
  EXPECT_NE(message(bad).find("is on meta"), std::string::npos) << message(bad);
  bad = good;
  bad.reset = bad.reset.to(at::kMeta);
  EXPECT_NE(message(bad).find("reset is on meta"), std::string::npos) << message(bad);
  EXPECT_NE(message(good, at::kHalf).find("output_type is Half, expected float32 or bfloat16"), std::string::npos)
      << message(good, at::kHalf);
  EXPECT_NE(message(good.To(at::kDouble), at::kFloat).find("expected float64"), std::string::npos)
      << message(good.To(at::kDouble), at::kFloat);
}

TYPED_TEST_P(WkvBadInputTest, SpansOfWrongSizesAbort) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const WkvData data = TypeParam::Make({2, 5, 2, 4, 6}, 59);
  WkvData bad = data;
  bad.inputs[this->Index("v")] = at::zeros({2, 5, 2, 5});
  EXPECT_DEATH(RunForward<TypeParam>(bad), "v has 100 elements, expected 120");
  bad = data;
  bad.initial_state = at::zeros({2, 2, 4, 5});
  EXPECT_DEATH(RunForward<TypeParam>(bad), "initial_state has 80 elements, expected 96");
}

REGISTER_TYPED_TEST_SUITE_P(WkvBadInputTest, OperatorRefusesWrongArguments, SpansOfWrongSizesAbort);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_BAD_INPUT_TEST_H_
