#include "serve/sessions/model_hash.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>

#include "base/fnv.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr int64_t kSamples = 256;  // elements of a tensor

void AddTensor(const std::string& name, const Tensor& tensor, Fnv128& hash) {
  hash.Add(Concatenate(name, " ", tensor.scalar_type(), " ", tensor.sizes()));
  if (tensor.numel() == 0) return;
  const Tensor flat = tensor.detach().reshape({-1});
  const int64_t step = std::max<int64_t>(1, flat.numel() / kSamples);
  const Tensor sample = flat.slice(0, 0, flat.numel(), step).contiguous().cpu();
  hash.Add({static_cast<const char*>(sample.const_data_ptr()), sample.nbytes()});
}

}  // namespace

std::string ModelHash(const Transformer& model) {
  Fnv128 hash;
  ModelConfig config = model.config();
  // What says how a model is made or how it was trained, not what it computes.
  config.clear_ctx_len();
  config.clear_vocab_padding_idx();
  config.clear_max_position_embeddings();
  config.clear_reinit_att();
  config.clear_init();
  hash.Add(config.SerializeAsString());
  hash.Add(Concatenate(model.compute_dtype()));
  for (const auto& [name, parameter] : model.NamedParameters()) AddTensor(name, parameter, hash);
  for (const auto& [name, linear] : model.LinearsByWeight()) {
    if (!linear->packed()) continue;
    const WeightMatrix& weight = *linear->packed();
    hash.Add(Concatenate(name, " ", WeightKindName(weight.kind()), " ", weight.out(), " ", weight.in()));
    const int64_t rows = std::min<int64_t>(weight.out(), 16);
    const Tensor sample = linear->Rows(at::arange(rows) * (weight.out() / rows));
    AddTensor("rows", sample, hash);
  }
  return hash.Hex();
}

}  // namespace radlads
