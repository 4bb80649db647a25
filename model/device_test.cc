#include "model/device.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

namespace radlads {
namespace {

TEST(DeviceTest, ByName) {
  EXPECT_EQ(*ChooseDevice("cpu"), c10::Device(c10::kCPU));
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda1", "cpu:0", "cuda:99999999999"}) {
    const auto device = ChooseDevice(name);
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument) << name << ": " << device.status();
    EXPECT_NE(std::string(device.status().message()).find("cuda:N"), std::string::npos) << device.status();
  }
}

TEST(DeviceTest, AGpuThatIsNotThere) {
  const auto device = ChooseDevice("cuda:127");
  EXPECT_EQ(device.status().code(), absl::StatusCode::kFailedPrecondition) << device.status();
  if (!at::hasCUDA()) {
    EXPECT_FALSE(ChooseDevice("cuda").ok());
  } else {
    EXPECT_TRUE(ChooseDevice("cuda")->is_cuda()) << ChooseDevice("cuda").status();
  }
}

}  // namespace
}  // namespace radlads
