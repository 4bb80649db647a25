#include "kernels/wkv/wkv_benchmark.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <string>

#include "base/status.h"

namespace radlads {
namespace {

using at::Tensor;

// Operands as RWKV-7 makes them: decays in (exp(-exp(-0.5)), 1), the removed key of length 1.
std::vector<Tensor> Operands(const WkvShape& s, size_t count, at::ScalarType type) {
  at::manual_seed(1);
  const std::vector<int64_t> sizes = {s.batch, s.time, s.heads, s.key_dim};
  const auto normal = [&] { return at::randn(sizes); };
  const Tensor x = normal(), key = x / x.norm(2, -1, true);
  std::vector<Tensor> operands = {
      normal(), -std::exp(-0.5) * at::sigmoid(normal()), normal(), normal(), -key, key * at::sigmoid(normal())};
  operands.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (i != 1) operands[i] = operands[i].to(type);
  }
  return operands;
}

std::vector<Tensor> RequireGradients(std::vector<Tensor> operands) {
  for (Tensor& operand : operands) operand = operand.detach().clone().requires_grad_(true);
  return operands;
}

// As PyTorch's form wants them: heads before time, fp32.
std::vector<Tensor> HeadsFirst(const std::vector<Tensor>& operands) {
  std::vector<Tensor> result;
  for (const Tensor& operand : operands) result.push_back(operand.to(at::kFloat).transpose(1, 2).contiguous());
  return result;
}

void CheckSame(const char* what, const Tensor& got, const Tensor& want) {
  const double error = (got - want).norm().item<double>() / want.norm().item<double>();
  RADLADS_CHECK(error < 1e-3) << what << " computes something else: relative difference " << error;
}

std::string Describe(const char* what, const WkvShape& s, at::ScalarType type) {
  const std::string sizes = "B=" + std::to_string(s.batch) + " T=" + std::to_string(s.time) +
                            " H=" + std::to_string(s.heads) + " D=" + std::to_string(s.key_dim);
  return std::string(what) + (type == at::kBFloat16 ? " bf16 " : " fp32 ") + sizes;
}

BenchmarkCase Case(const char* what, const WkvShape& s, at::ScalarType type, double flops) {
  const double token_heads = s.batch * s.time * s.heads;
  return {.name = Describe(what, s, type),
          .flops = flops * token_heads * s.key_dim * s.value_dim,
          .items = token_heads,
          .item = "token-head"};
}

void Sequences(BenchmarkRun& run, const WkvBenchmark& benchmark, const WkvShape& shape, at::ScalarType type) {
  const std::vector<Tensor> operands = Operands(shape, benchmark.operands, type), chunked = HeadsFirst(operands);
  {
    const at::NoGradGuard no_gradients;
    // The layout of the loop is [T,H,D] with decays; its state is not looked at.
    std::vector<Tensor> rows;
    for (const Tensor& operand : operands) rows.push_back(operand.to(at::kFloat).contiguous());
    rows[1] = rows[1].exp();
    std::vector<const float*> pointers;
    for (const Tensor& row : rows) pointers.push_back(row.const_data_ptr<float>());
    const Tensor output = at::empty_like(rows[0]), state = at::empty({shape.heads, shape.key_dim, shape.value_dim});
    const auto run_loop = [&](const WkvBenchmark::Loop& loop) {
      state.zero_();
      loop(shape, pointers, state.mutable_data_ptr<float>(), output.mutable_data_ptr<float>());
    };
    const Tensor want = benchmark.call(operands, {}).first;
    CheckSame("PyTorch's form", benchmark.chunked(chunked).transpose(1, 2), want);
    BenchmarkCase test = Case("forward", shape, type, benchmark.forward_flops);
    test.ours = [&] { benchmark.call(operands, {}); };
    test.peers = {{"PyTorch chunked", [&] { benchmark.chunked(chunked); }}};
    for (const auto& [name, loop] : benchmark.loops) {
      run_loop(loop);
      CheckSame(name.c_str(), output, want);
      test.peers.emplace_back(name, [&run_loop, &loop = loop] { run_loop(loop); });
    }
    run.Compare(test);
  }
  const std::vector<Tensor> leaves = RequireGradients(operands), chunked_leaves = RequireGradients(chunked);
  const Tensor output = benchmark.call(leaves, {}).first, d_output = at::randn(output.sizes());
  const Tensor chunked_output = benchmark.chunked(chunked_leaves),
               chunked_d_output = d_output.transpose(1, 2).contiguous();
  const auto backward = [](const Tensor& from, const std::vector<Tensor>& to, const Tensor& gradient) {
    return torch::autograd::grad({from}, to, {gradient}, /*retain_graph=*/true);
  };
  BenchmarkCase test = Case("backward", shape, type, benchmark.backward_flops);
  test.ours = [&] { backward(output, leaves, d_output); };
  test.peers = {{"PyTorch chunked", [&] { backward(chunked_output, chunked_leaves, chunked_d_output); }}};
  if (type == at::kFloat) {
    CheckSame("the gradient of PyTorch's form",
              backward(chunked_output, chunked_leaves, chunked_d_output)[1].transpose(1, 2),
              backward(output, leaves, d_output)[1]);
  }
  run.Compare(test);
}

// One token of each row for `layers` layers in turn, as in decoding.
void Step(BenchmarkRun& run, const WkvBenchmark& benchmark, const WkvShape& shape, size_t layers) {
  const at::NoGradGuard no_gradients;
  const std::vector<Tensor> operands = Operands(shape, benchmark.operands, at::kFloat);
  std::vector<Tensor> decays = operands;
  decays[1] = operands[1].exp();
  std::vector<const float*> pointers;
  for (const Tensor& operand : decays) pointers.push_back(operand.const_data_ptr<float>());
  // Every variant has states of its own.
  struct States {
    std::vector<Tensor> layers;
    size_t turn = 0;
    Tensor& Next() { return layers[turn++ % layers.size()]; }
  };
  States initial;
  for (size_t i = 0; i < layers; ++i) {
    initial.layers.push_back(at::randn({shape.batch, shape.heads, shape.key_dim, shape.value_dim}));
  }
  const auto copied = [&] {
    States states = initial;
    for (Tensor& state : states.layers) state = state.clone();
    return states;
  };
  const Tensor output = at::empty_like(operands[0]);
  // To the loop, rows are heads.
  WkvShape flat = shape;
  flat.heads = shape.batch * shape.heads;
  BenchmarkCase test = Case("one token", shape, at::kFloat, benchmark.forward_flops);
  test.bytes = 2.0 * shape.states() * sizeof(float);
  test.working_set = layers * test.bytes;
  test.ours = [&, states = copied()]() mutable {
    Tensor& state = states.Next();
    state = benchmark.call(operands, std::move(state)).second;
  };
  for (const auto& [name, loop] : benchmark.loops) {
    test.peers.emplace_back(name, [&, &loop = loop, states = copied()]() mutable {
      loop(flat, pointers, states.Next().mutable_data_ptr<float>(), output.mutable_data_ptr<float>());
    });
  }
  run.Compare(test);
}

}  // namespace

void RunWkvBenchmark(BenchmarkRun& run, const WkvBenchmark& benchmark) {
  Sequences(run, benchmark, {1, 512, 9, 64, 64}, at::kFloat);
  Sequences(run, benchmark, {1, 512, 9, 64, 64}, at::kBFloat16);
  Sequences(run, benchmark, {1, 512, 4, 128, 128}, at::kFloat);
  Step(run, benchmark, {1, 1, 9, 64, 64}, /*layers=*/30);
  Step(run, benchmark, {64, 1, 9, 64, 64}, /*layers=*/10);
}

}  // namespace radlads
