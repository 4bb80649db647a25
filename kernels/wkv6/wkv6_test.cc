#include "kernels/wkv6/wkv6.h"

#include "kernels/wkv/bad_input_test.h"
#include "kernels/wkv/grid_test.h"
#include "kernels/wkv/operator_test.h"
#include "kernels/wkv/property_test.h"
#include "kernels/wkv6/wkv6_op.h"

namespace radlads {
namespace {

enum Input { kQ, kLogW, kK, kV };

struct Wkv6Operation {
  inline static const std::vector<std::string> kNames = {"q", "log_w", "k", "v"};

  // Decays as RAD-RWKV6 makes them: log_w = max(-exp(x), -5).
  static WkvData Make(const WkvShape& shape, uint64_t seed) {
    return {.shape = shape,
            .inputs = {Normal(KeySizes(shape), 10 * seed),
                       (-(2 * Normal(KeySizes(shape), 10 * seed + 1) - 2).exp()).clamp_min(-5),
                       Normal(KeySizes(shape), 10 * seed + 2), Normal(ValueSizes(shape), 10 * seed + 3)}};
  }
  template <typename T>
  static Wkv6Inputs<T> Inputs(const WkvData& data) {
    const auto& in = data.inputs;
    return {View<T>(in[kQ]), View<T>(in[kLogW]),          View<T>(in[kK]),          View<T>(in[kV]),
            data.scale,      View<T>(data.initial_state), View<uint8_t>(data.reset)};
  }
  template <typename T>
  static Wkv6Gradients<T> Gradients(const std::vector<Tensor>& d) {
    return {MutableView<T>(d[kQ]), MutableView<T>(d[kLogW]), MutableView<T>(d[kK]), MutableView<T>(d[kV]),
            MutableView<T>(d.back())};
  }
  static constexpr auto* kCheckpointSize = Wkv6CheckpointSize;
  static constexpr auto* kForward = Wkv6Forward;
  static constexpr auto* kBackward = Wkv6Backward;
  static std::pair<Tensor, Tensor> Operator(const WkvData& data, std::optional<at::ScalarType> output_type = {}) {
    const auto& in = data.inputs;
    return Wkv6(in[kQ], in[kLogW], in[kK], in[kV], data.scale, data.initial_state, data.reset, output_type);
  }
  // With a state of the caller's instead of the data's.
  static std::pair<Tensor, Tensor> From(std::optional<Tensor> state, const WkvData& data) {
    const auto& in = data.inputs;
    return Wkv6(in[kQ], in[kLogW], in[kK], in[kV], data.scale, std::move(state), data.reset);
  }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Wkv6, WkvGridTest, Wkv6Operation);
INSTANTIATE_TYPED_TEST_SUITE_P(Wkv6, WkvPropertyTest, Wkv6Operation);
INSTANTIATE_TYPED_TEST_SUITE_P(Wkv6, WkvOperatorTest, Wkv6Operation);
INSTANTIATE_TYPED_TEST_SUITE_P(Wkv6, WkvBadInputTest, Wkv6Operation);

}  // namespace
}  // namespace radlads
