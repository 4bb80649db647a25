// What wkv6 and wkv7 say to wrong arguments.
#ifndef RADLADS_KERNELS_WKV_BAD_INPUT_TEST_H_
#define RADLADS_KERNELS_WKV_BAD_INPUT_TEST_H_

#include <string>

#include "kernels/wkv/wkv_test.h"

namespace radlads {

template <typename Operation>
class WkvBadInputTest : public WkvTest<Operation> {};
TYPED_TEST_SUITE_P(WkvBadInputTest);

TYPED_TEST_P(WkvBadInputTest, OperatorRefusesWrongArguments) {
  const WkvData good = WithResets(WithState(TypeParam::Make({2, 5, 2, 4, 6}, 53)));
  const auto message = [](const WkvData& data) -> std::string {
    try {
      TypeParam::Operator(data);
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
}

REGISTER_TYPED_TEST_SUITE_P(WkvBadInputTest, OperatorRefusesWrongArguments);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_BAD_INPUT_TEST_H_
