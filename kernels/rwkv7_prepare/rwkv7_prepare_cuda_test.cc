// The tests of rwkv7_prepare_test.cc on the CUDA kernels, their real source run on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_kernels.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_reference.h"
#include "kernels/testing/cuda_operation.h"
#include "kernels/testing/operation.h"
// After torch.
#include "kernels/rwkv7_prepare/rwkv7_prepare_cuda.cu"

namespace radlads {
namespace {

struct Counts {
  explicit Counts(const Rwkv7PrepareArguments& p)
      : tokens(p.batch * p.time),
        width(p.heads * p.head_dim),
        queries(tokens * width),
        keys(tokens * p.kv_heads * p.head_dim) {}
  int64_t tokens, width, queries, keys;
};

void ReadArguments(GuardedArguments& guarded, Rwkv7PrepareArguments& p) {
  const Counts n(p);
  for (const void** logit : {&p.q, &p.w, &p.a, &p.v_mix}) guarded.Read(logit, n.queries, p.bf16);
  for (const void** logit : {&p.k, &p.v}) guarded.Read(logit, n.keys, p.bf16);
  guarded.Read(&p.v_first, n.queries, p.results_bf16);
  for (const float** table : {&p.cos, &p.sin})
    guarded.Read(table, (p.tables_per_batch ? n.tokens : p.time) * p.head_dim);
  for (const float** parameter : {&p.w0, &p.a0, &p.v0, &p.k_k, &p.k_a}) guarded.Read(parameter, n.width);
}

const InPlaceOfCpu forward(rwkv7_prepare_forward,
                           [](const Rwkv7PrepareArguments& given, const Rwkv7PrepareResults& results) {
                             Rwkv7PrepareArguments p = given;
                             Rwkv7PrepareResults y = results;
                             GuardedArguments guarded;
                             ReadArguments(guarded, p);
                             for (void** result : {&y.r, &y.k, &y.v, &y.a, &y.b})
                               guarded.Write(result, Counts(p).queries, p.results_bf16);
                             guarded.Write(&y.log_w, Counts(p).queries);
                             RADLADS_CHECK(cuda::Rwkv7PrepareForward(p, y, nullptr) == 0);
                           });

const InPlaceOfCpu backward(rwkv7_prepare_backward,
                            [](const Rwkv7PrepareArguments& given, const Rwkv7PrepareGradients& gradients) {
                              Rwkv7PrepareArguments p = given;
                              Rwkv7PrepareGradients d = gradients;
                              const Counts n(p);
                              GuardedArguments guarded;
                              ReadArguments(guarded, p);
                              for (const void** result : {&d.r, &d.k, &d.v, &d.a, &d.b})
                                guarded.Read(result, n.queries, p.results_bf16);
                              guarded.Read(&d.log_w, n.queries);
                              for (void** logit : {&d.dq, &d.dw, &d.da, &d.dv_mix})
                                guarded.Write(logit, n.queries, p.bf16);
                              for (void** logit : {&d.dk, &d.dv}) guarded.Write(logit, n.keys, p.bf16);
                              guarded.Write(&d.dv_first, n.queries, p.results_bf16);
                              for (float** parameter : {&d.dw0, &d.da0, &d.dv0, &d.dk_k, &d.dk_a})
                                guarded.Write(parameter, n.width);
                              float* scratch = guarded.Scratch(cuda::Rwkv7PrepareScratchSize(p));
                              RADLADS_CHECK(cuda::Rwkv7PrepareBackward(p, d, scratch, nullptr) == 0);
                            });

void ExpectRight(int64_t tokens, int64_t heads, int64_t kv_heads, int64_t head_dim) {
  const at::Tensor half = RandomTensor({tokens, head_dim / 2}, 77), angles = at::cat({half, half}, -1);
  const auto bind = [&](auto f) -> Operation {
    return [=](const Tensors& x) -> Tensors {
      const Rwkv7Operands y = f({x[0], x[1], x[2], x[3], x[4], x[5], x[6]}, {x[7], x[8], x[9], x[10], x[11]},
                                angles.cos(), angles.sin(), /*balance_state=*/false, std::nullopt);
      return {y.r, y.log_w, y.k, y.v, y.a, y.b};
    };
  };
  const int64_t width = heads * head_dim;
  Tensors x;
  for (const int64_t h : {heads, kv_heads, kv_heads}) x.push_back(RandomTensor({1, tokens, h, head_dim}, x.size()));
  for (int i = 0; i < 3; ++i) x.push_back(RandomTensor({1, tokens, width}, x.size()));
  x.push_back(RandomTensor({1, tokens, heads, head_dim}, x.size()));
  for (int i = 0; i < 5; ++i) x.push_back(RandomTensor({width}, x.size()));
  ExpectMatchesReference(bind(Rwkv7Prepare), bind(Rwkv7PrepareReference), x, 1e-6, 2e-6,
                         Concatenate("T=", tokens, " H=", heads, " KV=", kv_heads, " D=", head_dim));
}

// Several tokens in a block, and fewer teams in a block than heads read a key.
TEST(Rwkv7PrepareCuda, Groups) {
  ExpectRight(70, 7, 1, 64);
  ExpectRight(3, 14, 2, 128);
  ExpectRight(2, 20, 1, 128);
}

// Sums that find no room in shared memory, blocks of fewer threads, heads of several packs for a lane.
TEST(Rwkv7PrepareCuda, LongHeads) {
  ExpectRight(2, 40, 1, 128);
  ExpectRight(3, 2, 1, 520);
  ExpectRight(2, 2, 2, 1024);
}

TEST(Rwkv7PrepareCuda, MisalignedMemory) {
  GuardedArguments::misaligned = true;
  ExpectRight(3, 2, 1, 64);
  GuardedArguments::misaligned = false;
}

}  // namespace
}  // namespace radlads
