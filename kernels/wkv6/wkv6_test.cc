#include "kernels/wkv6/wkv6.h"

#include "kernels/wkv/wkv_test_suite.h"
#include "kernels/wkv6/wkv6_op.h"
#include "kernels/wkv6/wkv6_reference.h"

namespace radlads {
namespace {

enum Input { kQ, kLogW, kK, kV };

template <typename T>
Wkv6Inputs<T> Inputs(const WkvData& data) {
  const auto& in = data.inputs;
  return {View<T>(in[kQ]), View<T>(in[kLogW]),          View<T>(in[kK]),          View<T>(in[kV]),
          data.scale,      View<T>(data.initial_state), View<uint8_t>(data.reset)};
}

template <typename T>
Wkv6Gradients<T> Gradients(const std::vector<Tensor>& d) {
  return {MutableView<T>(d[kQ]), MutableView<T>(d[kLogW]), MutableView<T>(d[kK]),
          MutableView<T>(d[kV]), MutableView<T>(d.back())};
}

struct Wkv6Adapter {
  inline static const std::vector<std::string> kNames = {"q", "log_w", "k", "v"};

  // Decays as RAD-RWKV6 makes them: log_w = max(-exp(x), -5).
  static WkvData Make(const WkvShape& shape, uint64_t seed) {
    return {.shape = shape,
            .inputs = {Normal(KeySizes(shape), 10 * seed),
                       (-(2 * Normal(KeySizes(shape), 10 * seed + 1) - 2).exp()).clamp_min(-5),
                       Normal(KeySizes(shape), 10 * seed + 2),
                       Normal(ValueSizes(shape), 10 * seed + 3)}};
  }
  static WkvResult Forward(const WkvData& data) {
    WkvResult result = {Poisoned(ValueSizes(data.shape), at::kFloat),
                        Poisoned(StateSizes(data.shape), at::kFloat),
                        at::empty({static_cast<int64_t>(Wkv6CheckpointSize(data.shape))})};
    Wkv6Forward(data.shape, Inputs<float>(data),
                {MutableView<float>(result.output), MutableView<float>(result.final_state)},
                MutableView<float>(result.checkpoints));
    return result;
  }
  static std::vector<Tensor> Backward(const WkvData& data, const Tensor& checkpoints,
                                      const Tensor& d_output, const Tensor& d_final_state) {
    const std::vector<Tensor> d_in = PoisonedGradients(data, at::kFloat);
    Wkv6Backward(data.shape, Inputs<float>(data), View<float>(checkpoints),
                 {View<float>(d_output), View<float>(d_final_state)}, Gradients<float>(d_in));
    return d_in;
  }
  static WkvResult Reference(const WkvData& data) {
    const at::ScalarType type = data.inputs[0].scalar_type();
    WkvResult result = {
        Poisoned(ValueSizes(data.shape), type), Poisoned(StateSizes(data.shape), type), {}};
    const auto run = [&]<typename T>(T) {
      Wkv6ReferenceForward<T>(data.shape, Inputs<T>(data),
                              {MutableView<T>(result.output), MutableView<T>(result.final_state)});
    };
    type == at::kDouble ? run(double()) : run(std::complex<double>());
    return result;
  }
  static std::vector<Tensor> ReferenceBackward(const WkvData& data, const Tensor& d_output,
                                               const Tensor& d_final_state) {
    const std::vector<Tensor> d_in = PoisonedGradients(data, at::kDouble);
    Wkv6ReferenceBackward<double>(data.shape, Inputs<double>(data),
                                  {View<double>(d_output), View<double>(d_final_state)},
                                  Gradients<double>(d_in));
    return d_in;
  }
  static std::pair<Tensor, Tensor> Operator(const WkvData& data) {
    const auto& in = data.inputs;
    return Wkv6(in[kQ], in[kLogW], in[kK], in[kV], data.scale, data.initial_state, data.reset);
  }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Wkv6, WkvTest, Wkv6Adapter);

}  // namespace
}  // namespace radlads
