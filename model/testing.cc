#include "model/testing.h"

#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <limits>
#include <random>

#include "base/parallel_for.h"
#include "base/status.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

std::string TestData(const std::string& name) { return "model/testdata/" + name; }

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!got.defined() || got.sizes() != want.sizes()) return kInfinite;
  const at::Tensor a = got.detach().to(at::kDouble), b = want.detach().to(at::kDouble);
  const double norm = b.norm().item<double>();
  const double error = (a - b).norm().item<double>() / (norm > 0 ? norm : 1);
  return std::isfinite(error) ? error : kInfinite;
}

at::Tensor ReadTensor(const std::string& path, const std::string& name) {
  auto source = OpenTensors(path);
  RADLADS_CHECK(source.ok()) << source.status();
  auto tensor = (*source)->Read(name);
  RADLADS_CHECK(tensor.ok()) << tensor.status();
  return tensor->clone();
}

ModelConfig SmallConfig(const std::string& kind) {
  ModelConfig config;
  config.set_n_layer(3);
  config.set_n_embd(64);
  config.set_dim_ffn(96);
  config.set_head_size(16);
  config.set_num_key_value_heads(2);
  config.set_vocab_size(97);
  config.set_eos_token_id(0);
  const bool alternative = kind.ends_with("_alt");
  config.set_tmix(alternative ? kind.substr(0, kind.size() - 4) : kind == "hybrid" ? "rad_rwkv7" : kind);
  if (kind == "hybrid") config.set_preserve_last_n_layers(1);
  const bool preset6 = kind == "rad_rwkv6" || kind == "rad_rwkv7_alt";
  config.set_gate_rank_type(preset6 ? 1 : 2);
  config.set_use_pos_emb(!preset6);
  config.set_balance_state(preset6);
  config.set_groupnorm_att(!preset6);
  config.set_use_tokenshift(kind == "rad_rwkv6");
  return config;
}

std::vector<int64_t> RandomTokens(int seed, int64_t size) {
  std::mt19937_64 random(seed);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < size; ++i) ids.push_back(1 + static_cast<int64_t>(random() % 96));
  return ids;
}

std::vector<std::string> SmallKinds() {
  return {"llama", "qwen2", "qwen3", "rad_rwkv6", "rad_rwkv6_alt", "rad_rwkv7", "rad_rwkv7_alt", "hybrid"};
}

std::shared_ptr<Transformer> SmallModel(const std::string& kind, at::ScalarType dtype, int64_t seed) {
  return RandomModel(SmallConfig(kind), dtype, seed);
}

std::shared_ptr<Transformer> InferenceModel(const std::string& kind) {
  auto model = SmallModel(kind);
  model->SetForInference();
  return model;
}

std::shared_ptr<Transformer> RandomModel(const ModelConfig& config, at::ScalarType dtype, int64_t seed) {
  // So small a model only loses by threads, most of all beside another test.
  SetThreads(1);
  at::set_num_threads(1);
  auto created = Transformer::Create(config, dtype);
  RADLADS_CHECK(created.ok()) << created.status();
  std::shared_ptr<Transformer> model = *created;
  torch::NoGradGuard no_grad;
  torch::manual_seed(seed);
  for (const auto& [name, parameter] : model->NamedParameters()) {
    at::Tensor p = parameter;
    const bool norm = name.find("norm") != std::string::npos || name.find("ln_x.weight") != std::string::npos;
    const double spread = p.dim() == 2 ? 1 / std::sqrt(static_cast<double>(p.size(1))) : 0.2;
    p.copy_(torch::randn(p.sizes(), torch::kDouble) * spread + (norm ? 1 : 0));
    if (name.ends_with("time_decay")) p.sub_(1);
  }
  return model;
}

}  // namespace radlads
