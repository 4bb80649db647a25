// Softmax attention beside at::scaled_dot_product_attention, forward: whole sequences, pieces after a long prefix and
// single tokens, at the heads of SmolLM2-135M and Qwen2.5-7B. Operations are those of visible keys.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>

#include "kernels/benchmarks/differentiable.h"
#include "kernels/softmax_attention/softmax_attention.h"
#include "kernels/softmax_attention/softmax_attention_reference.h"

namespace radlads {
namespace {

using at::Tensor;

struct Heads {
  int64_t queries, keys, dim;
};

void Compare(BenchmarkRun& run, at::ScalarType type, const Heads& heads, int64_t T, int64_t S) {
  const Tensor q = BenchmarkTensor({1, T, heads.queries, heads.dim}, type);
  // As the key-value cache stores them.
  const Tensor k = BenchmarkTensor({1, heads.keys, S, heads.dim}, type).transpose(1, 2);
  const Tensor v = BenchmarkTensor({1, heads.keys, S, heads.dim}, type).transpose(1, 2);
  const double scale = 1 / std::sqrt(static_cast<double>(heads.dim)), visible = T * (S - (T - 1) / 2.0);
  run.Compare({.name = "forward " + TypeName(type) + " T=" + std::to_string(T) + " S=" + std::to_string(S) +
                       " H=" + std::to_string(heads.queries) + "/" + std::to_string(heads.keys) +
                       " D=" + std::to_string(heads.dim),
               .flops = 4 * visible * heads.queries * heads.dim,
               .bytes = 2.0 * S * heads.keys * heads.dim * c10::elementSize(type),
               .ours = [&] { CausalSoftmaxAttention(q, k, v, scale, Tensor()); },
               .peers = {{"PyTorch", [&] { SoftmaxAttentionReference(q, k, v, scale, Tensor()); }}}});
}

const BenchmarkRegistration kRegistration("softmax_attention", [](BenchmarkRun& run) {
  const at::NoGradGuard no_gradients;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Heads& heads : {Heads{9, 3, 64}, Heads{28, 4, 128}}) {
      Compare(run, type, heads, 512, 512);
      Compare(run, type, heads, 64, 2048);
      Compare(run, type, heads, 1, 8192);
    }
  }
});

}  // namespace
}  // namespace radlads
