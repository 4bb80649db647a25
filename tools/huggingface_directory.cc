#include "tools/huggingface_directory.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/hf_config.h"
#include "model/layer_plan.h"
#include "tools/transformers/transformers_code.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

bool IsStudent(const ModelConfig& config) {
  return !IsSoftmax(config.tmix()) || (!config.tmix2().empty() && !IsSoftmax(config.tmix2()));
}

// Whether transformers' own class of the name computes the same.
absl::Status CheckPlain(const ModelConfig& config) {
  const std::string& name = config.tmix();
  const RopeConfig& rope = config.rope();
  std::string wrong;
  auto require = [&](bool ok, const char* what) {
    if (!ok) wrong += Concatenate(wrong.empty() ? "" : ", ", what);
  };
  require(name == "llama" || name == "qwen2" || name == "qwen3", "another name than llama, qwen2 or qwen3");
  require(config.tmix2().empty() || config.tmix2() == name, "two kinds of layers");
  require(config.attention_bias() == (name == "qwen2"), config.attention_bias() ? "biases on q, k and v" : "no biases");
  require(config.qk_norm() == (name == "qwen3"), config.qk_norm() ? "normalised q and k" : "q and k as they are");
  require(rope.rescale() == 1 || rope.type() == "default" || rope.type() == "linear", "rope.rescale beside another scaling");
  if (wrong.empty()) return absl::OkStatus();
  return Unimplemented("a softmax model is exported as the architecture that transformers has, and ", name, " there does not have ", wrong);
}

// config.json, which says where the model code is.
std::string ConfigText(const ModelConfig& config, at::ScalarType dtype) {
  ordered_json json = ordered_json::parse(ModelConfigToJson(config, dtype));
  if (IsStudent(config)) {
    const std::string model = json["architectures"][0], name = model.substr(0, model.find("For"));
    json["auto_map"] = {{"AutoConfig", Concatenate("configuration_radlads.", name, "Config")},
                        {"AutoModel", "modeling_radlads.RadladsModel"},
                        {"AutoModelForCausalLM", Concatenate("modeling_radlads.", model)}};
  }
  return json.dump(2) + "\n";
}

std::string GenerationText(const ModelConfig& config) {
  ordered_json json = {{"_from_model_config", true}};
  if (config.has_bos_token_id()) json["bos_token_id"] = config.bos_token_id();
  if (config.has_eos_token_id()) json["eos_token_id"] = config.eos_token_id();
  return json.dump(2) + "\n";
}

}  // namespace

absl::Status WriteHuggingFaceDirectory(const Checkpoint& checkpoint, const std::string& directory, const std::string& dtype,
                                       uint64_t max_shard_bytes, const ModelCardSources& card) {
  if (!IsStudent(checkpoint.config)) RADLADS_RETURN_IF_ERROR(CheckPlain(checkpoint.config));
  at::ScalarType named = at::kFloat;  // what config.json calls the dtype: the embedding's
  std::vector<TensorToWrite> tensors;
  uint64_t total = 0;
  for (const TensorInfo& info : checkpoint.parameters) {
    const at::ScalarType stored = PlainDtype(dtype, info);
    if (info.name == "model.embed_tokens.weight") named = stored;
    tensors.push_back(PlainTensor(*checkpoint.tensors, info, stored));
    total += c10::multiply_integers(info.shape) * c10::elementSize(stored);
  }
  RADLADS_ASSIGN_OR_RETURN(const std::string readme, ModelCard(checkpoint, DtypeName(named), card));

  return WriteDirectoryAtomically(directory, [&](const std::string& aside) -> absl::Status {
    auto write = [&](std::string_view name, std::string_view text) { return WriteFileAtomically(JoinPath(aside, name), text); };
    Progress progress("exporting", total, "B");
    RADLADS_RETURN_IF_ERROR(WriteShardedSafetensors(aside, std::move(tensors), max_shard_bytes, {},
                                                    [&](uint64_t bytes) { progress.Advance(bytes); }));
    progress.Finish();
    RADLADS_RETURN_IF_ERROR(WriteTokenizerFiles(checkpoint.files, aside));
    if (FindTokenizerFile(checkpoint.files, "generation_config.json") == nullptr) {
      RADLADS_RETURN_IF_ERROR(write("generation_config.json", GenerationText(checkpoint.config)));
    }
    if (IsStudent(checkpoint.config)) {
      for (const EmbeddedFile& file : TransformersCode()) RADLADS_RETURN_IF_ERROR(write(file.name, file.contents));
    }
    RADLADS_RETURN_IF_ERROR(write("README.md", readme));
    return write("config.json", ConfigText(checkpoint.config, named));
  });
}

}  // namespace radlads
