// The torch operators wkv6 and wkv7 on a GPU against the CPU's. Where there is none, the tests say
// so and skip; what can be judged without one is in chunked_test.cc and recurrent_test.cc.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/testing/compare.h"
#include "kernels/wkv/shape.h"
#include "kernels/wkv6/wkv6_op.h"
#include "kernels/wkv7/wkv7_op.h"

namespace radlads {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

// r, log_w, k, v, a, b (wkv7 only), initial state.
struct Data {
  WkvShape shape;
  bool delta;
  Tensors inputs;
  Tensor reset;

  Data To(const at::Device& device) const {
    Data result = *this;
    for (Tensor& x : result.inputs) x = x.to(device);
    if (reset.defined()) result.reset = reset.to(device);
    return result;
  }
};

Data Make(const WkvShape& s, bool delta, at::ScalarType type, uint64_t seed,
          bool with_resets = false) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto normal = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, generator, at::TensorOptions(at::kFloat));
  };
  const std::vector<int64_t> keys = {s.batch, s.time, s.heads, s.key_dim},
                             values = {s.batch, s.time, s.heads, s.value_dim},
                             state = {s.batch, s.heads, s.key_dim, s.value_dim};
  const Tensor decay = delta ? -std::exp(-0.5) * at::sigmoid(normal(keys))
                             : at::clamp_min(-at::exp(2 * normal(keys) - 2), -5);
  Data data = {
      s, delta, {normal(keys).to(type), decay, normal(keys).to(type), normal(values).to(type)}, {}};
  if (delta) {
    const Tensor x = normal(keys), key = x / x.norm(2, -1, true);
    data.inputs.push_back(-key.to(type));
    data.inputs.push_back((key * at::sigmoid(normal(keys))).to(type));
  }
  data.inputs.push_back(normal(state));
  if (with_resets)
    data.reset = at::rand({s.batch, s.time}, generator, at::TensorOptions(at::kFloat)) > 0.95;
  return data;
}

std::pair<Tensor, Tensor> Call(const Data& d) {
  const Tensors& x = d.inputs;
  constexpr double kScale = 0.5;
  const std::optional<Tensor> reset = d.reset.defined() ? std::optional(d.reset) : std::nullopt;
  return d.delta ? Wkv7(x[0], x[1], x[2], x[3], x[4], x[5], kScale, x.back(), reset)
                 : Wkv6(x[0], x[1], x[2], x[3], kScale, x.back(), reset);
}

// Output, final state, and the gradients of a fixed weighting of both by every input, on the CPU.
Tensors RunAll(Data d) {
  for (Tensor& x : d.inputs) x = x.detach().requires_grad_(true);
  const auto [output, state] = Call(d);
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(99);
  const auto weights = [&](const Tensor& like) {
    return at::randn(like.sizes(), generator, at::TensorOptions(at::kFloat))
        .to(at::kBFloat16)
        .to(like.options());
  };
  const Tensors weighting = {weights(output), weights(state)};
  Tensors result = {output.detach(), state.detach()};
  for (const Tensor& x : torch::autograd::grad({output, state}, d.inputs, weighting))
    result.push_back(x);
  for (Tensor& x : result) x = x.cpu();
  return result;
}

class WkvGpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!at::cuda::is_available()) GTEST_SKIP() << "no GPU here";
  }

  static void ExpectMatchesCpu(const Data& data, double slack = 1) {
    const WkvShape& s = data.shape;
    const at::ScalarType type = data.inputs[0].scalar_type();
    SCOPED_TRACE(::testing::Message()
                 << (data.delta ? "wkv7 " : "wkv6 ") << type << " B=" << s.batch << " T=" << s.time
                 << " H=" << s.heads << " K=" << s.key_dim << " V=" << s.value_dim);
    const Tensors want = RunAll(data), got = RunAll(data.To(at::kCUDA));
    const bool bf16 = type == at::kBFloat16;
    for (size_t i = 0; i < want.size(); ++i) {
      // Outputs and states; r, log_w, k, v, a, b; the initial state.
      double tolerance = bf16 ? 6e-3 : 2e-5;
      if (bf16 && i == 3) tolerance = 2.5e-2;
      if (bf16 && data.delta && (i == 6 || i == 7)) tolerance = 1e-2;
      if (s.time == 1 && i == 3) continue;  // next to nothing
      EXPECT_TRUE(IsClose(got[i].to(at::kFloat), want[i].to(at::kFloat), slack * tolerance))
          << "result " << i;
    }
  }
};

TEST_F(WkvGpuTest, ChunkedMatchesCpu) {
  uint64_t seed = 0;
  for (const bool delta : {true, false}) {
    for (const int64_t D : {64, 128}) {
      for (const int64_t time : {2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 512, 1000}) {
        ++seed;
        ExpectMatchesCpu(Make({1, time, 3, D, D}, delta, at::kBFloat16, seed, seed % 2 == 0));
      }
      for (const auto& [B, H] :
           {std::pair(1, 1), std::pair(4, 7), std::pair(7, 19), std::pair(8, 64)})
        ExpectMatchesCpu(Make({B, 70, H, D, D}, delta, at::kBFloat16, ++seed, true));
    }
    ExpectMatchesCpu(Make({1, 4097, 2, 64, 64}, delta, at::kBFloat16, ++seed));
  }
}

TEST_F(WkvGpuTest, RecurrentMatchesCpu) {
  uint64_t seed = 100;
  for (const bool delta : {true, false}) {
    for (const auto& [K, V] :
         {std::pair(64, 64), std::pair(128, 128), std::pair(32, 32), std::pair(96, 96),
          std::pair(33, 40), std::pair(5, 7), std::pair(48, 130)}) {
      for (const int64_t time : {1, 2, 16, 17, 100}) {
        ++seed;
        ExpectMatchesCpu(Make({2, time, 3, K, V}, delta, at::kFloat, seed, seed % 2 == 0));
      }
    }
    // bf16 where the chunked kernels do not apply: computed in fp32, rounded once.
    ExpectMatchesCpu(Make({2, 50, 3, 32, 32}, delta, at::kBFloat16, ++seed));
    ExpectMatchesCpu(Make({2, 1, 3, 64, 64}, delta, at::kBFloat16, ++seed));
  }
}

TEST_F(WkvGpuTest, RunsAreTheSameBitForBit) {
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat}) {
    const Data data = Make({4, 200, 33, 64, 64}, true, type, 200, true).To(at::kCUDA);
    const Tensors first = RunAll(data), second = RunAll(data);
    for (size_t i = 0; i < first.size(); ++i)
      EXPECT_TRUE(BitwiseEqual(first[i], second[i])) << "result " << i;
  }
}

TEST_F(WkvGpuTest, SoloEqualsBatched) {
  const Data data = Make({3, 130, 5, 64, 64}, true, at::kBFloat16, 201).To(at::kCUDA);
  const auto [output, state] = Call(data);
  for (int64_t row = 0; row < 3; ++row) {
    Data solo = data;
    solo.shape.batch = 1;
    for (Tensor& x : solo.inputs) x = x.narrow(0, row, 1);
    const auto [solo_output, solo_state] = Call(solo);
    EXPECT_TRUE(BitwiseEqual(solo_output.cpu(), output.narrow(0, row, 1).cpu()));
    EXPECT_TRUE(BitwiseEqual(solo_state.cpu(), state.narrow(0, row, 1).cpu()));
  }
}

// Strides of an expanded key head, as grouped queries make them.
TEST_F(WkvGpuTest, StridedInputs) {
  Data data = Make({2, 70, 4, 64, 64}, true, at::kBFloat16, 202).To(at::kCUDA);
  for (Tensor& x : data.inputs) {
    if (x.size(1) != 70) continue;
    x = x.narrow(2, 0, 1).expand({2, 70, 4, 64});
  }
  Data dense = data;
  for (Tensor& x : dense.inputs) x = x.contiguous();
  EXPECT_TRUE(BitwiseEqual(Call(data).first.cpu(), Call(dense).first.cpu()));
}

// More elements than an int counts.
TEST_F(WkvGpuTest, MoreThanTwoToThe31Elements) {
  if (at::cuda::getCurrentDeviceProperties()->totalGlobalMem < (60ull << 30))
    GTEST_SKIP() << "needs a GPU with 60 GB";
  const Data part = Make({1, 4100, 64, 64, 64}, true, at::kBFloat16, 203).To(at::kCUDA);
  Data whole = part;
  whole.shape.batch = 129;
  for (Tensor& x : whole.inputs) {
    std::vector<int64_t> repeats(x.dim(), 1);
    repeats[0] = 129;
    x = x.repeat(repeats);
  }
  ASSERT_GT(whole.inputs[0].numel(), int64_t{1} << 31);
  const Tensor last = Call(whole).first.narrow(0, 128, 1);
  EXPECT_TRUE(BitwiseEqual(last.cpu(), Call(part).first.cpu()));
}

TEST_F(WkvGpuTest, EmptyShapes) {
  for (const WkvShape& shape : {WkvShape{2, 0, 3, 64, 64}, WkvShape{0, 5, 3, 64, 64}}) {
    const auto [output, state] = Call(Make(shape, true, at::kBFloat16, 204).To(at::kCUDA));
    EXPECT_EQ(output.numel(), 0);
    EXPECT_EQ(state.numel(), shape.batch * 3 * 64 * 64);
  }
}

TEST_F(WkvGpuTest, Float64IsRefused) {
  Data data = Make({1, 5, 1, 8, 8}, true, at::kFloat, 205).To(at::kCUDA);
  for (Tensor& x : data.inputs) x = x.to(at::kDouble);
  try {
    Call(data);
    FAIL() << "float64 was accepted";
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find("on the CPU only"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace radlads
