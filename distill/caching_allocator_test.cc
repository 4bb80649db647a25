#include "distill/caching_allocator.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

namespace radlads {
namespace {

class CachingAllocatorTest : public testing::Test {
 protected:
  void SetUp() override {
    InstallCachingAllocator();
    ReleaseCachedMemory();
  }
};

TEST_F(CachingAllocatorTest, TheNextTensorOfThatSizeGetsTheMemory) {
  const void* first = nullptr;
  {
    const at::Tensor tensor = at::zeros({1000, 1000});
    first = tensor.const_data_ptr();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0);
    EXPECT_GE(GetCachedMemory().used, 4'000'000);
    EXPECT_LE(GetCachedMemory().used, 4'500'000);
  }
  EXPECT_EQ(GetCachedMemory().used, 0);
  EXPECT_GE(GetCachedMemory().kept, 4'000'000);
  EXPECT_EQ(at::empty({999, 1001}).const_data_ptr(), first);
  ReleaseCachedMemory();
  EXPECT_EQ(GetCachedMemory().kept, 0);
}

TEST_F(CachingAllocatorTest, LivingTensorsDoNotOverlap) {
  std::vector<at::Tensor> tensors;
  for (int64_t i = 0; i < 40; ++i) {
    tensors.push_back(at::full({100'000 + 7919 * i}, static_cast<double>(i)));
    if (i % 3 == 0) tensors.erase(tensors.begin());
  }
  for (const at::Tensor& tensor : tensors) EXPECT_TRUE(tensor.eq(tensor[0]).all().item<bool>());
}

TEST_F(CachingAllocatorTest, SmallTensorsAreNotItsBusiness) {
  const at::Tensor tensor = at::zeros({100});
  EXPECT_EQ(GetCachedMemory().used, 0);
}

TEST_F(CachingAllocatorTest, GivesBarePointersToo) {
  c10::Allocator& allocator = *c10::GetCPUAllocator();
  for (size_t bytes : {size_t{1000}, size_t{1'000'000}}) {
    void* block = allocator.raw_allocate(bytes);
    std::memset(block, 1, bytes);
    allocator.raw_deallocate(block);
  }
  EXPECT_EQ(GetCachedMemory().used, 0);
  const at::Tensor x = at::ones({512, 576}, at::kBFloat16), weight = at::ones({1536, 576}, at::kBFloat16);
  EXPECT_EQ(at::linear(x, weight)[511][1535].item<float>(), 576);  // oneDNN where the processor has bf16
}

TEST_F(CachingAllocatorTest, ThreadsMayShareIt) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) {
        const at::Tensor tensor = at::full({50'000 + 1000 * (i % 5)}, t, at::kInt);
        EXPECT_EQ(tensor[49'999].item<int>(), t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(GetCachedMemory().used, 0);
}

}  // namespace
}  // namespace radlads
