// Speed of wkv6 beside its peers.
//
//   bazel run //kernels/wkv6:wkv6_benchmark -- --threads 1
#include <ATen/ATen.h>

#include "kernels/wkv/wkv_benchmark.h"
#include "kernels/wkv6/wkv6_op.h"

namespace radlads {
namespace {

using at::Tensor;

Tensor Chunked(const std::vector<Tensor>& operands) {
  constexpr int64_t kChunk = 16;
  const at::IntArrayRef sizes = operands[0].sizes();
  const int64_t heads = sizes[0] * sizes[1], chunks = sizes[2] / kChunk, D = sizes[3];
  std::vector<Tensor> x;
  for (const Tensor& operand : operands) x.push_back(operand.reshape({heads, chunks, kChunk, D}));
  const Tensor &q = x[0], &log_w = x[1], &k = x[2], &v = x[3];
  const Tensor total = log_w.cumsum(2), middle = total.narrow(2, kChunk / 2, 1), end = total.narrow(2, kChunk - 1, 1);
  const Tensor q_in = q * (total - middle).exp(), k_in = k * (middle - total).exp(), q_state = q_in * middle.exp();
  const Tensor k_out = (k * (end - total).exp()).transpose(2, 3), decay = end.exp().transpose(2, 3);
  const Tensor inner = q_in.matmul(k_in.transpose(2, 3)).tril().matmul(v);
  Tensor state = at::zeros({heads, D, D});
  std::vector<Tensor> output;
  for (int64_t i = 0; i < chunks; ++i) {
    const auto at_chunk = [i](const Tensor& tensor) { return tensor.select(1, i); };
    output.push_back(at::baddbmm(at_chunk(inner), at_chunk(q_state), state));
    state = at::baddbmm(state * at_chunk(decay), at_chunk(k_out), at_chunk(v));
  }
  return at::stack(output, 1).reshape(sizes);
}

// llama.cpp's ggml_compute_forward_gla without vector instructions of its own: state [H,K,V]. A compiler vectorises the
// inner loop unless it is kept from it.
template <bool kVectorised>
inline __attribute__((always_inline)) void Loop(const WkvShape& shape, const std::vector<const float*>& operands,
                                                float* state, float* output) {
  const int64_t D = shape.key_dim;
  const float *q = operands[0], *w = operands[1], *k = operands[2], *v = operands[3];
  for (int64_t t = 0; t < shape.time; ++t) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t row = (t * shape.heads + h) * D;
      for (int64_t j = 0; j < D; ++j) output[row + j] = 0;
      for (int64_t i = 0; i < D; ++i) {
        const float q_i = q[row + i], w_i = w[row + i], k_i = k[row + i];
        float* s = state + (h * D + i) * D;
        for (int64_t j = 0; j < D; ++j) {
          const float next = s[j] * w_i + v[row + j] * k_i;
          output[row + j] += next * q_i;
          s[j] = next;
          if (!kVectorised) asm volatile("" ::: "memory");
        }
      }
    }
  }
}
RADLADS_FOR_THIS_MACHINE void VectorisedLoop(const WkvShape& shape, const std::vector<const float*>& operands,
                                             float* state, float* output) {
  Loop<true>(shape, operands, state, output);
}
RADLADS_FOR_THIS_MACHINE void ScalarLoop(const WkvShape& shape, const std::vector<const float*>& operands, float* state,
                                         float* output) {
  Loop<false>(shape, operands, state, output);
}

const BenchmarkRegistration kRegistration("wkv6", [](BenchmarkRun& run) {
  RunWkvBenchmark(run, {.forward_flops = 5,
                        .backward_flops = 18,
                        .operands = 4,
                        .call =
                            [](const std::vector<Tensor>& x, std::optional<Tensor> state) {
                              return Wkv6(x[0], x[1], x[2], x[3], /*scale=*/1, std::move(state), {});
                            },
                        .chunked = Chunked,
                        .loops = {{"scalar loop", ScalarLoop}, {"vectorised loop", VectorisedLoop}}});
});

}  // namespace
}  // namespace radlads
