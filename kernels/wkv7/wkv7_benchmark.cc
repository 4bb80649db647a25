// Speed of wkv7 beside its peers.
//
//   bazel run //kernels/wkv7:wkv7_benchmark -- --threads 1
#include <ATen/ATen.h>

#include "kernels/wkv/wkv_benchmark.h"
#include "kernels/wkv7/wkv7_op.h"

namespace radlads {
namespace {

using at::Tensor;

// distill/train_torch.py has the same in Python.
Tensor Chunked(const std::vector<Tensor>& operands) {
  constexpr int64_t kChunk = 16;
  const at::IntArrayRef sizes = operands[0].sizes();
  const int64_t heads = sizes[0] * sizes[1], chunks = sizes[2] / kChunk, D = sizes[3];
  std::vector<Tensor> x;
  for (const Tensor& operand : operands) x.push_back(operand.reshape({heads, chunks, kChunk, D}));
  const Tensor &r = x[0], &log_w = x[1], &k = x[2], &v = x[3], &a = x[4], &b = x[5];
  const Tensor total = log_w.cumsum(2), before = total - log_w, middle = total.narrow(2, kChunk / 2, 1),
               end = total.narrow(2, kChunk - 1, 1);
  const Tensor r_in = r * (total - middle).exp(), a_in = a * (before - middle).exp();
  const Tensor k_in = k * (middle - total).exp(), b_in = b * (middle - total).exp();
  const Tensor r_state = r_in * middle.exp(), a_state = a_in * middle.exp();
  const Tensor k_out = (k * (end - total).exp()).transpose(2, 3), b_out = (b * (end - total).exp()).transpose(2, 3);
  const Tensor decay = end.exp().transpose(2, 3);
  const Tensor rk = r_in.matmul(k_in.transpose(2, 3)).tril(), rb = r_in.matmul(b_in.transpose(2, 3)).tril();
  const Tensor ak = a_in.matmul(k_in.transpose(2, 3)).tril(-1), ab = a_in.matmul(b_in.transpose(2, 3)).tril(-1);
  const Tensor solved = at::linalg_solve_triangular(at::eye(kChunk) - ab, at::cat({a_state, ak.matmul(v)}, -1),
                                                    /*upper=*/false, /*left=*/true, /*unitriangular=*/true);
  const Tensor w = solved.narrow(3, 0, D), u = solved.narrow(3, D, D), inner = rk.matmul(v);
  Tensor state = at::zeros({heads, D, D});
  std::vector<Tensor> output;
  for (int64_t i = 0; i < chunks; ++i) {
    const auto at_chunk = [i](const Tensor& tensor) { return tensor.select(1, i); };
    const Tensor y = at::baddbmm(at_chunk(u), at_chunk(w), state);
    output.push_back(at::baddbmm(at::baddbmm(at_chunk(inner), at_chunk(r_state), state), at_chunk(rb), y));
    state = at::baddbmm(at::baddbmm(state * at_chunk(decay), at_chunk(k_out), at_chunk(v)), at_chunk(b_out), y);
  }
  return at::stack(output, 1).reshape(sizes);
}

// rwkv.cpp's (rwkv_operators_wkv_v7.inc), and llama.cpp's without vector instructions: state [H,V,K]. No compiler
// vectorises its sums.
RADLADS_FOR_THIS_MACHINE void ScalarLoop(const WkvShape& shape, const std::vector<const float*>& operands, float* state,
                                         float* output) {
  const int64_t D = shape.key_dim;
  for (int64_t t = 0; t < shape.time; ++t) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t row = (t * shape.heads + h) * D;
      const float *r = operands[0] + row, *w = operands[1] + row, *k = operands[2] + row, *v = operands[3] + row,
                  *a = operands[4] + row, *b = operands[5] + row;
      for (int64_t i = 0; i < D; ++i) {
        float* s = state + (h * D + i) * D;
        float sa = 0;
        for (int64_t j = 0; j < D; ++j) sa += a[j] * s[j];
        float result = 0;
        for (int64_t j = 0; j < D; ++j) {
          s[j] = s[j] * w[j] + k[j] * v[i] + sa * b[j];
          result += s[j] * r[j];
        }
        output[row + i] = result;
      }
    }
  }
}

const BenchmarkRegistration kRegistration("wkv7", [](BenchmarkRun& run) {
  RunWkvBenchmark(run, {.forward_flops = 9,
                        .backward_flops = 30,
                        .operands = 6,
                        .call =
                            [](const std::vector<Tensor>& x, std::optional<Tensor> state) {
                              return Wkv7(x[0], x[1], x[2], x[3], x[4], x[5], /*scale=*/1, std::move(state), {});
                            },
                        .chunked = Chunked,
                        .loops = {{"scalar loop", ScalarLoop}}});
});

}  // namespace
}  // namespace radlads
