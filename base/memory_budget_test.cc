#include "base/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace radlads {
namespace {

using ::testing::HasSubstr;

constexpr auto kAtOnce = std::chrono::milliseconds(0);

TEST(MemoryBudget, PartsShareIt) {
  MemoryBudget budget(100, kAtOnce);
  MemoryBudget::Part first(budget), second(budget);
  EXPECT_TRUE(first.Take(60).ok());
  EXPECT_TRUE(first.Take(10).ok());
  EXPECT_TRUE(absl::IsUnavailable(second.Take(31)));
  EXPECT_EQ(second.bytes(), 0);
  EXPECT_TRUE(second.Take(30).ok());
  EXPECT_EQ(budget.taken(), 100);
  first.ShrinkTo(20);
  first.ShrinkTo(50);
  EXPECT_EQ(first.bytes(), 20);
  EXPECT_TRUE(second.Take(50).ok());
  { const MemoryBudget::Part gone = std::move(second); }
  EXPECT_EQ(second.bytes(), 0);
  EXPECT_EQ(budget.taken(), 20);
  MemoryBudget::Part third(budget);
  EXPECT_TRUE(third.Take(7).ok());
  third = std::move(first);
  EXPECT_EQ(third.bytes(), 20);
  EXPECT_EQ(budget.taken(), 20);
}

TEST(MemoryBudget, WhatNeverFitsIsRefusedForGood) {
  MemoryBudget budget(1 << 20, std::chrono::hours(1));
  MemoryBudget::Part part(budget);
  ASSERT_TRUE(part.Take(1).ok());
  const absl::Status status = part.Take(1 << 20);
  EXPECT_TRUE(absl::IsOutOfRange(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("1.0 MiB for all requests together; send less at once"));
  EXPECT_TRUE(absl::IsOutOfRange(part.Take(INT64_MAX)));
}

TEST(MemoryBudget, NeverMoreThanAllOfIt) {
  MemoryBudget budget(10, std::chrono::hours(1));
  std::atomic<int64_t> taken = 0, most = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 500; ++round) {
        MemoryBudget::Part part(budget);
        ASSERT_TRUE(part.Take(1 + (i + round) % 10).ok());
        const int64_t now = taken += part.bytes();
        for (int64_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        taken -= part.bytes();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 10);
  EXPECT_GT(most, 0);
  EXPECT_EQ(budget.taken(), 0);
}

}  // namespace
}  // namespace radlads
