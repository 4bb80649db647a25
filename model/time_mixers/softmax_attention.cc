#include "model/time_mixers/softmax_attention.h"

#include <torch/nn/init.h>
#include <torch/types.h>

#include <cmath>
#include <cstring>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rms_norm/rms_norm_cpu.h"
#include "kernels/rope/rope.h"
#include "kernels/rope/rope_cpu.h"
#include "kernels/softmax_attention/softmax_attention.h"
#include "kernels/softmax_attention/softmax_attention_cpu.h"

namespace radlads {
namespace {

// A module that only holds the weight of a norm, so that it gets its Hugging Face name ("q_norm.weight").
class NormWeight : public torch::nn::Module {
 public:
  explicit NormWeight(int64_t width) { weight = register_parameter("weight", torch::ones({width})); }
  Tensor weight;
};

// `carried` [B,KV,S,D] and room for `time` more tokens in the third dimension, in memory that has room for more of them. A
// view would hold what it is a view of, and never be the only one that holds the memory: sizes change in place.
Tensor Longer(const Tensor& carried, at::IntArrayRef empty, int64_t time, at::ScalarType dtype) {
  const int64_t tokens = carried.defined() ? carried.size(2) : 0, wanted = tokens + time, D = empty[3];
  std::vector<int64_t> sizes = empty.vec();
  sizes[2] = wanted;
  if (carried.defined() && carried.use_count() == 1 && carried.storage().use_count() == 1 &&
      carried.scalar_type() == dtype && carried.stride(3) == 1 && carried.stride(2) == D &&
      carried.storage_offset() == 0 && carried.stride(1) >= wanted * D && carried.stride(0) == carried.stride(1) * empty[1]) {
    return carried.as_strided_(sizes, carried.strides());
  }
  std::vector<int64_t> larger = sizes;
  larger[2] = wanted + (tokens > 0 ? wanted / 4 + 64 : 64);
  const Tensor memory = at::empty(larger, dtype);
  if (tokens > 0) memory.narrow(2, 0, tokens).copy_(carried);
  return memory.as_strided_(sizes, memory.strides());
}

}  // namespace

Tensor ExpandKeyValueHeads(const Tensor& x, int64_t heads) {
  const int64_t kv = x.size(2), group = heads / kv;
  if (group == 1) return x;
  return x.unsqueeze(3).expand({-1, -1, -1, group, -1}).reshape({x.size(0), x.size(1), heads, x.size(3)});
}

AttentionProjections::AttentionProjections(const ModelConfig& config, const ModelSizes& sizes)
    : sizes_(sizes), norm_eps_(config.rms_norm_eps()) {
  const int64_t kv = sizes.kv_heads * sizes.head_dim;
  q_proj_ = register_module("q_proj", std::make_shared<Linear>(sizes.width, sizes.attention, sizes.attention_bias));
  k_proj_ = register_module("k_proj", std::make_shared<Linear>(sizes.width, kv, sizes.attention_bias));
  v_proj_ = register_module("v_proj", std::make_shared<Linear>(sizes.width, kv, sizes.attention_bias));
  o_proj_ = register_module("o_proj", std::make_shared<Linear>(sizes.attention, sizes.width, false));
  if (sizes.qk_norm) {
    q_norm_ = register_module("q_norm", std::make_shared<NormWeight>(sizes.head_dim))->weight;
    k_norm_ = register_module("k_norm", std::make_shared<NormWeight>(sizes.head_dim))->weight;
  }
}

Tensor AttentionProjections::Heads(const Linear& projection, const Tensor& x, const Tensor& norm) const {
  Tensor y = projection.Forward(x).view({x.size(0), x.size(1), -1, sizes_.head_dim});
  return norm.defined() ? RmsNorm(y, norm, norm_eps_, y.scalar_type()) : y;
}

Tensor AttentionProjections::Queries(const Tensor& x) const { return Heads(*q_proj_, x, q_norm_); }
Tensor AttentionProjections::Keys(const Tensor& x) const { return Heads(*k_proj_, x, k_norm_); }
Tensor AttentionProjections::Values(const Tensor& x) const { return Heads(*v_proj_, x, Tensor()); }

void AttentionProjections::InitializeProjections(const AttentionProjections* teacher, bool draw_anew) {
  torch::NoGradGuard no_grad;
  // The ranges of RADLADS for reinit_att; its output projection starts at zero.
  const double low = -0.5 / std::sqrt(sizes_.width), high = 0.5 / std::sqrt(sizes_.attention);
  const auto mine = {q_proj_, k_proj_, v_proj_, o_proj_};
  if (teacher == nullptr || draw_anew) {
    for (const auto& projection : mine) {
      projection->weight.uniform_(low, high);
      if (projection->bias.defined()) projection->bias.zero_();
    }
    if (draw_anew) o_proj_->weight.zero_();
  } else {
    const auto theirs = {teacher->q_proj_, teacher->k_proj_, teacher->v_proj_, teacher->o_proj_};
    for (auto from = theirs.begin(); const auto& to : mine) {
      to->weight.copy_((*from)->weight);
      RADLADS_CHECK(to->bias.defined() == (*from)->bias.defined()) << "student and teacher disagree on attention biases";
      if (to->bias.defined()) to->bias.copy_((*from)->bias);
      ++from;
    }
  }
  if (q_norm_.defined() && teacher != nullptr) {
    q_norm_.copy_(teacher->q_norm_);
    k_norm_.copy_(teacher->k_norm_);
  } else if (q_norm_.defined()) {
    q_norm_.fill_(1);
    k_norm_.fill_(1);
  }
}

void AttentionProjections::SetForInference() {
  q_norm_floats_ = InferenceVector(q_norm_);
  k_norm_floats_ = InferenceVector(k_norm_);
}

std::vector<LinearProduct> AttentionProjections::ProjectionProducts(const InferencePass& pass,
                                                                    const std::array<const void*, 3>& x,
                                                                    const std::array<void*, 3>& qkv) const {
  return {q_proj_->Product(pass, x[0], qkv[0]), k_proj_->Product(pass, x[1], qkv[1]),
          v_proj_->Product(pass, x[2], qkv[2])};
}

void AttentionProjections::NormHeads(const InferencePass& pass, void* q, void* k) const {
  if (!q_norm_.defined()) return;
  RmsNormArguments norm = {.rows = pass.rows() * sizes_.heads,
                           .width = sizes_.head_dim,
                           .x = q,
                           .weight = Floats(q_norm_floats_),
                           .eps = static_cast<float>(norm_eps_),
                           .x_bf16 = pass.bf16,
                           .y_bf16 = pass.bf16};
  RmsNormForwardCpu(norm, q);
  norm.rows = pass.rows() * sizes_.kv_heads;
  norm.x = k;
  norm.weight = Floats(k_norm_floats_);
  RmsNormForwardCpu(norm, k);
}

void AttentionProjections::RotateHeads(const InferencePass& pass, void* q, void* k) const {
  RopeArguments rope = {.batch = pass.batch,
                        .time = pass.time,
                        .heads = sizes_.heads,
                        .head_dim = sizes_.head_dim,
                        .cos = pass.cos,
                        .sin = pass.sin,
                        .tables_per_batch = pass.tables_per_batch,
                        .bf16 = pass.bf16};
  RopeForwardCpu(rope, q, q);
  rope.heads = sizes_.kv_heads;
  RopeForwardCpu(rope, k, k);
}

void AttentionProjections::AddOutput(const InferencePass& pass, const void* mixed, float* residual) const {
  const LinearProduct product[] = {o_proj_->Addition(mixed, residual)};
  QuantizedLinears(product, pass.rows(), pass.bf16);
}

SoftmaxAttention::SoftmaxAttention(const ModelConfig& config, const ModelSizes& sizes)
    : AttentionProjections(config, sizes) {}

Tensor SoftmaxAttention::Forward(const Tensor& x, MixContext& context, LayerState* state) {
  const int64_t batch = x.size(0), time = x.size(1);
  const Tensor q = Rope(Queries(x), context.cos, context.sin);         // [B,T,H,D]
  Tensor k = Rope(Keys(x), context.cos, context.sin).transpose(1, 2);  // [B,KV,T,D]
  Tensor v = Values(x).transpose(1, 2);
  Tensor document = context.document;
  if (context.lengths.defined()) {
    const Tensor place = context.lengths.unsqueeze(1) + at::arange(-time, 0, context.lengths.options());
    const Tensor index = place.view({batch, 1, time, 1}).expand_as(k);
    k = state->tensors.at("key").scatter_(2, index, k.detach());
    v = state->tensors.at("value").scatter_(2, index, v.detach());
  } else if (state != nullptr) {
    if (!state->empty()) {
      k = at::cat({state->tensors.at("key").to(k.scalar_type()), k}, 2);
      v = at::cat({state->tensors.at("value").to(v.scalar_type()), v}, 2);
      if (document.defined()) document = at::cat({state->tensors.at("document"), document}, 1);
    }
    state->tensors["key"] = k.detach();
    state->tensors["value"] = v.detach();
    if (document.defined()) state->tensors["document"] = document;
  }
  Tensor first;
  if (document.defined()) first = at::searchsorted(document.contiguous(), context.document.contiguous());
  const double scale = 1 / std::sqrt(static_cast<double>(sizes_.head_dim));
  const Tensor y = CausalSoftmaxAttention(q, k.transpose(1, 2), v.transpose(1, 2), scale, first, context.runs_again,
                                          context.lengths);
  return Output(y.view({batch, time, sizes_.attention}));
}

void SoftmaxAttention::InitializeFrom(const SoftmaxAttention* teacher) {
  InitializeProjections(teacher, /*draw_anew=*/false);
}

void SoftmaxAttention::MakeRoom(int64_t batch, int64_t time, at::ScalarType dtype, LayerState* state) const {
  for (const char* name : {"key", "value"}) {
    Tensor& tensor = state->tensors[name];
    tensor = Longer(tensor, {batch, sizes_.kv_heads, 0, sizes_.head_dim}, time, dtype);
  }
}

void SoftmaxAttention::Infer(const InferencePass& pass, const void* x, LayerState* state, float* residual) const {
  const int64_t D = sizes_.head_dim, KV = sizes_.kv_heads, bytes = pass.bf16 ? 2 : 4;
  const SharedMemory q(pass.Bytes(sizes_.attention)), k(pass.Bytes(KV * D)), v(pass.Bytes(KV * D));
  QuantizedLinears(ProjectionProducts(pass, {x, x, x}, {q.data(), k.data(), v.data()}), pass.rows(), pass.bf16);
  const Tensor &keys = state->tensors.at("key"), &values = state->tensors.at("value");
  const int64_t S = keys.size(2);
  for (int64_t b = 0; pass.lengths != nullptr && b < pass.batch; ++b) {
    RADLADS_CHECK(pass.lengths[b] <= S) << pass.lengths[b] << " tokens in room for " << S;
  }
  const auto append = [&](const SharedMemory& from, const Tensor& to, int64_t row) {
    char* const memory = static_cast<char*>(to.mutable_data_ptr());
    const int64_t b = row / pass.time, end = pass.lengths == nullptr ? S : pass.lengths[b];
    const int64_t token = end - pass.time + row % pass.time;
    for (int64_t h = 0; h < KV; ++h) {
      std::memcpy(memory + (b * to.stride(0) + h * to.stride(1) + token * D) * bytes,
                  static_cast<const char*>(from.data()) + (row * KV + h) * D * bytes, D * bytes);
    }
  };
  pass.RunRows([&] {
    NormHeads(pass, q.data(), k.data());
    RotateHeads(pass, q.data(), k.data());
    ParallelFor(pass.rows(), 8, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        append(k, keys, row);
        append(v, values, row);
      }
    });
  });
  const auto operand = [&](const Tensor& tensor) -> AttentionOperand {
    return {tensor.const_data_ptr(), tensor.stride(0), tensor.stride(2), tensor.stride(1)};
  };
  const SharedMemory y(pass.Bytes(sizes_.attention));
  SoftmaxAttentionCpu({.batch = pass.batch,
                       .time = pass.time,
                       .keys = S,
                       .heads = sizes_.heads,
                       .kv_heads = KV,
                       .head_dim = D,
                       .q = {q.data(), pass.time * sizes_.attention, sizes_.attention, D},
                       .k = operand(keys),
                       .v = operand(values),
                       .first = nullptr,
                       .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(D))),
                       .bf16 = pass.bf16,
                       .lengths = pass.lengths},
                      y.data());
  AddOutput(pass, y.data(), residual);
}

}  // namespace radlads
