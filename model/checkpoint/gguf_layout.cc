#include "model/checkpoint/gguf_layout.h"

#include <ATen/ATen.h>

#include "base/status.h"

namespace radlads::gguf {
namespace {

struct Pair {
  std::string_view gguf, hugging_face;
  Layout layout = Layout::kAsIs;
  int part = 0;
};

constexpr Pair kOutside[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};
// After "blk.N." and "model.layers.N.".
constexpr Pair kInLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};
constexpr Pair kAttention[] = {
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
};
constexpr Pair kRwkv6[] = {
    {"time_mix_receptance.weight", "self_attn.q_proj.weight"},
    {"time_mix_receptance.bias", "self_attn.q_proj.bias"},
    {"time_mix_key.weight", "self_attn.k_proj.weight"},
    {"time_mix_key.bias", "self_attn.k_proj.bias"},
    {"time_mix_value.weight", "self_attn.v_proj.weight"},
    {"time_mix_value.bias", "self_attn.v_proj.bias"},
    {"time_mix_output.weight", "self_attn.o_proj.weight"},
    {"time_mix_gate.weight", "self_attn.gate.weight"},
    {"time_mix_lerp_x.weight", "self_attn.time_maa_x", Layout::kFlat},
    {"time_mix_lerp_fused.weight", "self_attn.time_maa_w", Layout::kFused, 0},
    {"time_mix_lerp_fused.weight", "self_attn.time_maa_k", Layout::kFused, 1},
    {"time_mix_lerp_fused.weight", "self_attn.time_maa_v", Layout::kFused, 2},
    {"time_mix_lerp_fused.weight", "self_attn.time_maa_r", Layout::kFused, 3},
    {"time_mix_lerp_fused.weight", "self_attn.time_maa_g", Layout::kFused, 4},
    {"time_mix_w1.weight", "self_attn.time_maa_w1", Layout::kShiftDown},
    {"time_mix_w2.weight", "self_attn.time_maa_w2", Layout::kShiftUp},
    {"time_mix_decay.weight", "self_attn.time_decay", Layout::kFlat},
    {"time_mix_decay_w1.weight", "self_attn.time_decay_w1", Layout::kTransposed},
    {"time_mix_decay_w2.weight", "self_attn.time_decay_w2", Layout::kTransposed},
};

// Hugging Face has the five of the token shift as r, k, v, w, g, llama.cpp as w, k, v, r, g. Its own inverse.
at::Tensor Reordered(const at::Tensor& five) { return five.index_select(0, at::tensor({3, 1, 2, 0, 4}, at::kLong)); }

// "PREFIX12.rest" -> "12", "rest"; false if it is no such name.
bool SplitLayer(std::string_view name, std::string_view prefix, std::string_view& layer, std::string_view& rest) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  const size_t dot = name.find('.');
  if (dot == name.npos || dot == 0 || name.substr(0, dot).find_first_not_of("0123456789") != name.npos) return false;
  layer = name.substr(0, dot);
  rest = name.substr(dot + 1);
  return true;
}

template <typename Visit>
void ForEachInLayer(std::string_view architecture, Visit visit) {
  for (const Pair& pair : kInLayer) visit(pair);
  if (architecture == kRwkv6Architecture) {
    for (const Pair& pair : kRwkv6) visit(pair);
    return;
  }
  for (Pair pair : kAttention) {
    const bool rotated = pair.gguf.starts_with("attn_q.") || pair.gguf.starts_with("attn_k.");
    if (architecture == "llama" && rotated) pair.layout = Layout::kHeads;
    visit(pair);
  }
}

}  // namespace

std::optional<Place> InGguf(std::string_view architecture, std::string_view name) {
  if (architecture == kOwnArchitecture) return Place{std::string(name)};
  for (const Pair& pair : kOutside) {
    if (name == pair.hugging_face) return Place{std::string(pair.gguf)};
  }
  std::string_view layer, rest;
  if (!SplitLayer(name, "model.layers.", layer, rest)) return std::nullopt;
  std::optional<Place> found;
  ForEachInLayer(architecture, [&](const Pair& pair) {
    if (rest == pair.hugging_face) found = Place{Concatenate("blk.", layer, ".", pair.gguf), pair.layout, pair.part};
  });
  return found;
}

std::vector<Place> InHuggingFace(std::string_view architecture, std::string_view name) {
  if (architecture == kOwnArchitecture) return {Place{std::string(name)}};
  for (const Pair& pair : kOutside) {
    if (name == pair.gguf) return {Place{std::string(pair.hugging_face)}};
  }
  std::string_view layer, rest;
  if (!SplitLayer(name, "blk.", layer, rest)) return {};
  std::vector<Place> found;
  ForEachInLayer(architecture, [&](const Pair& pair) {
    if (rest == pair.gguf) found.push_back({Concatenate("model.layers.", layer, ".", pair.hugging_face), pair.layout, pair.part});
  });
  return found;
}

std::vector<int64_t> ShapeInGguf(Layout layout, const std::vector<int64_t>& s) {
  switch (layout) {
    case Layout::kFlat: return {s.back()};
    case Layout::kTransposed:
    case Layout::kShiftDown: return {s[1], s[0]};
    case Layout::kShiftUp: return {s[0], s[2], s[1]};
    case Layout::kFused: return {5, 1, 1, s.back()};
    default: return s;
  }
}

std::vector<int64_t> ShapeInHuggingFace(Layout layout, const std::vector<int64_t>& s) {
  const size_t dimensions = s.size();
  switch (layout) {
    case Layout::kFlat: return {1, 1, dimensions == 1 ? s[0] : -1};
    case Layout::kTransposed:
    case Layout::kShiftDown: return dimensions == 2 ? std::vector<int64_t>{s[1], s[0]} : s;
    case Layout::kShiftUp: return dimensions == 3 ? std::vector<int64_t>{s[0], s[2], s[1]} : s;
    case Layout::kFused: return {1, 1, dimensions == 4 ? s[3] : -1};
    default: return s;
  }
}

at::Tensor ToGguf(Layout layout, const at::Tensor& x, int64_t heads) {
  switch (layout) {
    case Layout::kHeads: return x.unflatten(0, {heads, 2, x.size(0) / heads / 2}).transpose(1, 2).reshape(x.sizes());
    case Layout::kFlat: return x.reshape({-1});
    case Layout::kTransposed: return x.t();
    case Layout::kShiftDown: return Reordered(x.t().unflatten(0, {5, x.size(1) / 5})).flatten(0, 1);
    case Layout::kShiftUp: return Reordered(x.transpose(1, 2));
    default: return x;
  }
}

at::Tensor ToHuggingFace(Layout layout, const at::Tensor& x, int64_t heads, int part) {
  switch (layout) {
    case Layout::kHeads:
      return x.unflatten(0, {heads, x.size(0) / heads / 2, 2}).transpose(1, 2).reshape(x.sizes()).contiguous();
    case Layout::kFlat: return x.reshape({1, 1, -1});
    case Layout::kTransposed: return x.t().contiguous();
    case Layout::kShiftDown: return Reordered(x.unflatten(0, {5, x.size(0) / 5})).flatten(0, 1).t().contiguous();
    case Layout::kShiftUp: return Reordered(x).transpose(1, 2).contiguous();
    case Layout::kFused: return x.select(0, part).reshape({1, 1, -1});
    default: return x;
  }
}

}  // namespace radlads::gguf
