#include "model/layer_plan.h"

#include <algorithm>
#include <array>
#include <cfenv>
#include <cmath>

#include "base/status.h"

namespace radlads {
namespace {

constexpr std::array<std::string_view, 4> kSoftmaxMixers = {"softmax", "llama", "qwen2", "qwen3"};
constexpr std::array<std::string_view, 6> kTimeMixers = {"softmax", "llama", "qwen2", "qwen3", "rad_rwkv6", "rad_rwkv7"};
constexpr std::array<std::string_view, 1> kChannelMixers = {"swiglu"};

template <size_t N>
bool Contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <size_t N>
std::string Join(const std::array<std::string_view, N>& names) {
  std::string out;
  for (std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

// Python's round(): halves go to the even neighbour.
int64_t LowRank(int64_t width, double exponent, double multiplier) {
  return std::max<int64_t>(1, std::llrint(std::pow(width, exponent) * multiplier / 32)) * 32;
}

}  // namespace

bool IsSoftmax(std::string_view time_mixer) { return Contains(kSoftmaxMixers, time_mixer); }

absl::StatusOr<std::vector<LayerPlan>> PlanLayers(const ModelConfig& config) {
  const int64_t layers = config.n_layer(), preserved = config.preserve_last_n_layers();
  if (preserved < 0 || preserved > layers) {
    return InvalidArgument("model.preserve_last_n_layers is ", preserved, ", expected 0 to model.n_layer = ", layers);
  }
  const double ratio = config.inv_other_layer_ratio();
  if (ratio > 1 && config.tmix2().empty()) {
    return InvalidArgument("model.inv_other_layer_ratio is ", ratio, " but model.tmix2 names no second time mixer");
  }
  const int64_t second = static_cast<int64_t>(layers * (ratio - 1) / ratio) - preserved;
  std::vector<LayerPlan> plan;
  for (int64_t layer = 0; layer < layers; ++layer) {
    LayerPlan entry;
    entry.layer = layer;
    const bool is_preserved = layer >= layers - preserved;
    const bool is_second = !is_preserved && ratio > 1 && layer >= second;
    entry.time_mixer = is_preserved ? (IsSoftmax(config.tmix2()) ? config.tmix2() : "softmax")
                       : is_second  ? config.tmix2()
                                    : config.tmix();
    entry.channel_mixer = is_second ? config.cmix2() : config.cmix();
    if (!Contains(kTimeMixers, entry.time_mixer)) {
      return InvalidArgument("layer ", layer, ": unknown time mixer '", entry.time_mixer, "'; known are ", Join(kTimeMixers));
    }
    if (!Contains(kChannelMixers, entry.channel_mixer)) {
      return InvalidArgument("layer ", layer, ": unknown channel mixer '", entry.channel_mixer, "'; known are ", Join(kChannelMixers));
    }
    entry.first_of_kind = std::none_of(plan.begin(), plan.end(),
                                       [&](const LayerPlan& other) { return other.time_mixer == entry.time_mixer; });
    plan.push_back(std::move(entry));
  }
  return plan;
}

absl::StatusOr<ModelSizes> ResolveSizes(const ModelConfig& config) {
  std::string problems;
  auto require = [&](bool ok, const std::string& problem) {
    if (!ok) problems += (problems.empty() ? "" : "; ") + problem;
  };
  require(!config.tmix().empty(), "model.tmix is not set");
  require(config.n_layer() > 0, Concatenate("model.n_layer is ", config.n_layer(), ", expected at least 1"));
  require(config.n_embd() > 0, Concatenate("model.n_embd is ", config.n_embd(), ", expected at least 1"));
  require(config.vocab_size() > 0, Concatenate("model.vocab_size is ", config.vocab_size(), ", expected at least 1"));
  require(config.head_size() > 0 && config.head_size() % 2 == 0,
          Concatenate("model.head_size is ", config.head_size(), ", expected a positive even number"));
  require(config.gate_rank_type() >= 0 && config.gate_rank_type() <= 2,
          Concatenate("model.gate_rank_type is ", config.gate_rank_type(), ", expected 0, 1 or 2"));
  if (!problems.empty()) return InvalidArgument(problems);

  ModelSizes sizes;
  sizes.width = config.n_embd();
  sizes.head_dim = config.head_size();
  sizes.attention = config.dim_att() > 0 ? config.dim_att() : sizes.width;
  sizes.heads = sizes.attention / sizes.head_dim;
  sizes.kv_heads = config.num_key_value_heads() > 0 ? config.num_key_value_heads() : sizes.heads;
  sizes.feed_forward = config.dim_ffn() > 0 ? config.dim_ffn() : static_cast<int64_t>(sizes.width * 3.5) / 32 * 32;
  require(sizes.attention % sizes.head_dim == 0,
          Concatenate("the attention width ", sizes.attention, " (model.dim_att, else model.n_embd) is not a multiple of model.head_size ",
                      sizes.head_dim));
  require(sizes.heads > 0 && sizes.heads % sizes.kv_heads == 0,
          Concatenate(sizes.heads, " heads cannot share model.num_key_value_heads = ", sizes.kv_heads, " evenly"));
  if (!problems.empty()) return InvalidArgument(problems);

  auto names = [&](std::string_view mixer) { return config.tmix() == mixer || config.tmix2() == mixer; };
  sizes.attention_bias = config.has_attention_bias() ? config.attention_bias() : !(names("llama") || names("qwen3"));
  sizes.qk_norm = config.has_qk_norm() ? config.qk_norm() : names("qwen3");
  auto rank = [&](int64_t given, double exponent, double multiplier) {
    return given > 0 ? given : LowRank(sizes.width, exponent, multiplier);
  };
  sizes.rank_tokenshift = rank(config.lora_rank_tokenshift(), 0.5, 1.8);
  sizes.rank_decay = rank(config.lora_rank_decay(), 0.5, 1.8);
  sizes.rank_iclr = rank(config.lora_rank_iclr(), 0.5, 1.8);
  sizes.rank_value = rank(config.lora_rank_value_residual_mix(), 0.5, 1.3);
  sizes.rank_gate = rank(config.lora_rank_gate(), 0.8, 0.6);
  return sizes;
}

ModelConfig WithSizes(const ModelConfig& config, const ModelSizes& sizes) {
  ModelConfig out = config;
  out.set_dim_att(sizes.attention);
  out.set_dim_ffn(sizes.feed_forward);
  out.set_num_key_value_heads(sizes.kv_heads);
  out.set_attention_bias(sizes.attention_bias);
  out.set_qk_norm(sizes.qk_norm);
  if (IsSoftmax(config.tmix()) && (config.tmix2().empty() || IsSoftmax(config.tmix2()))) return out;
  out.set_lora_rank_tokenshift(sizes.rank_tokenshift);
  out.set_lora_rank_decay(sizes.rank_decay);
  out.set_lora_rank_iclr(sizes.rank_iclr);
  out.set_lora_rank_value_residual_mix(sizes.rank_value);
  out.set_lora_rank_gate(sizes.rank_gate);
  return out;
}

}  // namespace radlads
