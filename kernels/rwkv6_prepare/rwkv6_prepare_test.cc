#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "hwy/base.h"
#include "kernels/rwkv6_prepare/rwkv6_prepare_cpu.h"
#include "kernels/testing/compare.h"

namespace radlads {
namespace {

constexpr int64_t kRows = 5, kHeads = 6, kKvHeads = 2, kHeadDim = 20, kWidth = kHeads * kHeadDim;

// From -3 to 3, as bf16 can hold it.
std::vector<float> Values(int64_t count, int seed) {
  std::vector<float> x(count);
  for (int64_t i = 0; i < count; ++i) x[i] = static_cast<float>((i * 37 + seed * 11) % 97 - 48) / 16;
  return x;
}

class Rwkv6PrepareTest : public testing::TestWithParam<bool> {};

TEST_P(Rwkv6PrepareTest, MatchesTheFormulas) {
  const bool balance = GetParam();
  const std::vector<float> k = Values(kRows * kKvHeads * kHeadDim, 1), v = Values(k.size(), 2),
                           low = Values(kRows * kWidth, 3), w0 = Values(kWidth, 4);
  std::vector<double> want_log_w(low.size()), want_k(low.size()), want_v(low.size());
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t channel = 0; channel < kWidth; ++channel) {
      const int64_t at = row * kWidth + channel;
      const int64_t kv = (row * kKvHeads + channel / kHeadDim / (kHeads / kKvHeads)) * kHeadDim + channel % kHeadDim;
      want_log_w[at] = std::max(-std::exp(static_cast<double>(low[at]) + w0[channel]), -5.0);
      want_k[at] = k[kv] * (balance ? 1 - std::exp(want_log_w[at]) : 1);
      want_v[at] = v[kv];
    }
  }
  for (const bool bf16 : {false, true}) {
    const auto stored = [&](const std::vector<float>& x) {
      std::vector<hwy::bfloat16_t> halves(x.size());
      for (size_t i = 0; i < x.size(); ++i) halves[i] = hwy::BF16FromF32(x[i]);
      return halves;
    };
    const auto k16 = stored(k), v16 = stored(v), low16 = stored(low);
    const auto either = [&](const auto& half, const std::vector<float>& whole) -> const void* {
      return bf16 ? static_cast<const void*>(half.data()) : whole.data();
    };
    std::vector<float> log_w(low.size()), key(low.size()), value(low.size());
    Rwkv6PrepareForwardCpu({.rows = kRows,
                            .heads = kHeads,
                            .kv_heads = kKvHeads,
                            .head_dim = kHeadDim,
                            .bf16 = bf16,
                            .balance_state = balance,
                            .k = either(k16, k),
                            .v = either(v16, v),
                            .low = either(low16, low),
                            .w0 = w0.data()},
                           {.log_w = log_w.data(), .k = key.data(), .v = value.data()});
    EXPECT_TRUE(IsClose(log_w, want_log_w, 1e-6)) << "bf16 " << bf16;
    EXPECT_TRUE(IsClose(key, want_k, 1e-6)) << "bf16 " << bf16;
    EXPECT_TRUE(IsClose(value, want_v, 1e-7)) << "bf16 " << bf16;
  }
}

INSTANTIATE_TEST_SUITE_P(BalanceState, Rwkv6PrepareTest, testing::Bool());

TEST(Rwkv6Prepare, NanStaysInItsPlace) {
  std::vector<float> k(32, 1), v(32, 1), low(32, 0), w0(32, 0), log_w(32), key(32), value(32);
  low[3] = std::numeric_limits<float>::quiet_NaN();
  Rwkv6PrepareForwardCpu({.rows = 1, .heads = 1, .kv_heads = 1, .head_dim = 32, .bf16 = false, .balance_state = true,
                          .k = k.data(), .v = v.data(), .low = low.data(), .w0 = w0.data()},
                         {.log_w = log_w.data(), .k = key.data(), .v = value.data()});
  for (int i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(log_w[i]), i == 3) << i;
}

}  // namespace
}  // namespace radlads
