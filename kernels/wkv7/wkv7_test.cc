#include "kernels/wkv7/wkv7.h"

#include "kernels/wkv/bad_input_test.h"
#include "kernels/wkv/grid_test.h"
#include "kernels/wkv/operator_test.h"
#include "kernels/wkv/property_test.h"
#include "kernels/wkv6/wkv6.h"
#include "kernels/wkv7/wkv7_op.h"

namespace radlads {
namespace {

enum Input { kR, kLogW, kK, kV, kA, kB };

struct Wkv7Operation {
  inline static const std::vector<std::string> kNames = {"r", "log_w", "k", "v", "a", "b"};

  // Numbers as RWKV-7 makes them: the removed key has length 1, the decay stands in
  // (exp(-exp(-0.5)), 1).
  static WkvData Make(const WkvShape& shape, uint64_t seed) {
    const Tensor x = Normal(KeySizes(shape), 10 * seed + 4);
    const Tensor key = x / (x.norm(2, -1, true) + 1e-12);
    const Tensor rate = at::sigmoid(Normal(KeySizes(shape), 10 * seed + 5));
    return {
        .shape = shape,
        .inputs = {Normal(KeySizes(shape), 10 * seed),
                   -std::exp(-0.5) * at::sigmoid(Normal(KeySizes(shape), 10 * seed + 1)),
                   Normal(KeySizes(shape), 10 * seed + 2), Normal(ValueSizes(shape), 10 * seed + 3), -key, key * rate}};
  }
  template <typename T>
  static Wkv7Inputs<T> Inputs(const WkvData& data) {
    const auto& in = data.inputs;
    return {View<T>(in[kR]),          View<T>(in[kLogW]), View<T>(in[kK]), View<T>(in[kV]),
            View<T>(in[kA]),          View<T>(in[kB]),    data.scale,      View<T>(data.initial_state),
            View<uint8_t>(data.reset)};
  }
  template <typename T>
  static Wkv7Gradients<T> Gradients(const std::vector<Tensor>& d) {
    return {MutableView<T>(d[kR]), MutableView<T>(d[kLogW]), MutableView<T>(d[kK]),   MutableView<T>(d[kV]),
            MutableView<T>(d[kA]), MutableView<T>(d[kB]),    MutableView<T>(d.back())};
  }
  static constexpr auto* kCheckpointSize = Wkv7CheckpointSize;
  static constexpr auto* kForward = Wkv7Forward;
  static constexpr auto* kBackward = Wkv7Backward;
  static std::pair<Tensor, Tensor> Operator(const WkvData& data, std::optional<at::ScalarType> output_type = {}) {
    const auto& in = data.inputs;
    return Wkv7(in[kR], in[kLogW], in[kK], in[kV], in[kA], in[kB], data.scale, data.initial_state, data.reset,
                output_type);
  }
  // With a state of the caller's instead of the data's.
  static std::pair<Tensor, Tensor> From(std::optional<Tensor> state, const WkvData& data) {
    const auto& in = data.inputs;
    return Wkv7(in[kR], in[kLogW], in[kK], in[kV], in[kA], in[kB], data.scale, std::move(state), data.reset);
  }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Wkv7, WkvGridTest, Wkv7Operation);
INSTANTIATE_TYPED_TEST_SUITE_P(Wkv7, WkvPropertyTest, Wkv7Operation);
INSTANTIATE_TYPED_TEST_SUITE_P(Wkv7, WkvOperatorTest, Wkv7Operation);
INSTANTIATE_TYPED_TEST_SUITE_P(Wkv7, WkvBadInputTest, Wkv7Operation);

TEST(Wkv7Test, WithoutDeltaTermEqualsWkv6) {
  const WkvShape shape = {2, 50, 3, 20, 36};
  WkvData data = WithState(Wkv7Operation::Make(shape, 1));
  data.inputs[kA].zero_();
  data.inputs[kB].zero_();
  const Tensor d_output = Normal(ValueSizes(shape), 2), d_final_state = Normal(StateSizes(shape), 3);
  const WkvRunResult got = RunFloat<Wkv7Operation>(data, d_output, d_final_state);

  const Wkv6Inputs<float> in = {View<float>(data.inputs[kR]),
                                View<float>(data.inputs[kLogW]),
                                View<float>(data.inputs[kK]),
                                View<float>(data.inputs[kV]),
                                data.scale,
                                View<float>(data.initial_state),
                                {}};
  const Tensor output = at::empty(ValueSizes(shape)), final_state = at::empty(StateSizes(shape)),
               checkpoints = at::empty({static_cast<int64_t>(Wkv6CheckpointSize(shape))});
  Wkv6Forward(shape, in, {MutableView<float>(output), MutableView<float>(final_state)},
              MutableView<float>(checkpoints));
  EXPECT_TRUE(IsClose(got.forward.output, output, 1e-7));
  EXPECT_TRUE(IsClose(got.forward.final_state, final_state, 1e-7));

  std::vector<Tensor> d_in;
  for (const Input input : {kR, kLogW, kK, kV}) d_in.push_back(at::empty_like(data.inputs[input]));
  d_in.push_back(at::empty(StateSizes(shape)));
  Wkv6Backward(shape, in, View<float>(checkpoints), {View<float>(d_output), View<float>(d_final_state)},
               {MutableView<float>(d_in[0]), MutableView<float>(d_in[1]), MutableView<float>(d_in[2]),
                MutableView<float>(d_in[3]), MutableView<float>(d_in[4])});
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(IsClose(got.gradients[i], d_in[i], 1e-6)) << i;
  EXPECT_TRUE(IsClose(got.gradients.back(), d_in.back(), 1e-6));
}

// w = 1, a = -k, b = k with |k| = 1 is the delta rule with rate 1: what was written is read back
// exactly, and writing zero erases it.
TEST(Wkv7Test, DeltaRuleRecallsAndErases) {
  const WkvShape shape = {1, 40, 2, 32, 20};
  WkvData data = WithState(Wkv7Operation::Make(shape, 4));
  data.scale = 1;
  Tensor key = data.inputs[kB] / data.inputs[kB].norm(2, -1, true);
  key.select(1, 39).copy_(key.select(1, 38));
  data.inputs[kLogW].zero_();
  data.inputs[kK] = key;
  data.inputs[kA] = -key;
  data.inputs[kB] = key;
  data.inputs[kR] = key;
  data.inputs[kV].select(1, 39).zero_();
  const Tensor output = RunForward<Wkv7Operation>(data).output;
  EXPECT_TRUE(IsClose(output.slice(1, 0, 39), data.inputs[kV].slice(1, 0, 39), 2e-6));
  EXPECT_LT(output.select(1, 39).abs().max().item<float>(), 1e-5);
}

// Repeated keys with a rate near 1: hard on any method that inverts I - tril(a b^T).
TEST(Wkv7Test, RepeatedKeys) {
  const WkvShape shape = {1, 300, 1, 32, 32};
  WkvData data = Wkv7Operation::Make(shape, 5);
  const Tensor key = data.inputs[kA].select(1, 0).unsqueeze(1).expand(KeySizes(shape));
  data.inputs[kA] = key.contiguous();
  data.inputs[kB] = (-0.99 * key).contiguous();
  data.inputs[kK] = -key.contiguous();
  data.inputs[kLogW].fill_(-1e-3);
  const WkvResult want = RunReference<Wkv7Operation>(data.To(at::kDouble));
  const WkvResult got = RunForward<Wkv7Operation>(data);
  EXPECT_TRUE(IsClose(got.output, want.output, 1e-5));
  EXPECT_TRUE(IsClose(got.final_state, want.final_state, 1e-5));
}

}  // namespace
}  // namespace radlads
