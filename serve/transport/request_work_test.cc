#include "serve/transport/request_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace radlads {
namespace {

using ::testing::HasSubstr;

TEST(RequestWork, LargeOnesGoToAThreadOfLowPriority) {
  RequestWork work(1 << 20);
  const auto self = std::this_thread::get_id();
  const int here = ::getpriority(PRIO_PROCESS, 0);
  ASSERT_TRUE(work.Run(RequestWork::kLarge - 1, [&] { EXPECT_EQ(std::this_thread::get_id(), self); }).ok());
  bool ran = false;
  ASSERT_TRUE(work.Run(RequestWork::kLarge, [&] {
                    EXPECT_NE(std::this_thread::get_id(), self);
                    EXPECT_GT(::getpriority(PRIO_PROCESS, 0), here);
                    ran = true;
                  }).ok());
  EXPECT_TRUE(ran);
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), here);
}

TEST(RequestWork, WhatItThrowsComesOut) {
  RequestWork work(1 << 20);
  for (const size_t bytes : {size_t{0}, RequestWork::kLarge}) {
    EXPECT_THROW((void)work.Run(bytes, [] { throw std::runtime_error("no"); }), std::runtime_error);
  }
}

TEST(RequestWork, OnlySoManyLargeOnesWaitAndSmallOnesDoNot) {
  RequestWork work(1 << 20);
  std::promise<void> begun, go;
  std::thread first([&] {
    EXPECT_TRUE(work.Run(RequestWork::kLarge, [&] {
                      begun.set_value();
                      go.get_future().wait();
                    }).ok());
  });
  begun.get_future().wait();
  std::vector<std::future<absl::Status>> others;
  int ran = 0;  // one at a time: no lock
  for (size_t i = 0; i < RequestWork::kWaiting + 5; ++i) {
    others.push_back(std::async(std::launch::async, [&] { return work.Run(RequestWork::kLarge, [&] { ++ran; }); }));
  }
  bool small = false;
  EXPECT_TRUE(work.Run(10, [&] { small = true; }).ok());
  EXPECT_TRUE(small);
  // Those that are refused need not wait for the first one.
  size_t refused = 0;
  for (size_t i = 0; refused < 5; i = (i + 1) % others.size()) {
    if (!others[i].valid() || others[i].wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) continue;
    const absl::Status status = others[i].get();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("16 large requests wait"));
    ++refused;
  }
  go.set_value();
  first.join();
  for (auto& other : others) {
    if (other.valid()) EXPECT_TRUE(other.get().ok());
  }
  EXPECT_EQ(ran, static_cast<int>(RequestWork::kWaiting));
}

}  // namespace
}  // namespace radlads
