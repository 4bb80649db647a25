#include "tools/gguf_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/gguf_layout.h"
#include "model/checkpoint/gguf_writer.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/quantized.h"
#include "model/layer_plan.h"

namespace radlads {
namespace {

using gguf::Layout;

constexpr uint32_t kUnlimitedContext = 1048576;  // what llama.cpp's converter writes for RWKV
constexpr uint32_t kQuantizationVersion = 2;

double YarnAttention(const RopeConfig& rope) { return 0.1 * std::log(rope.factor()) + 1; }

// Sizes, rope and scaling of llama, qwen2 and qwen3.
void SetAttention(const ModelConfig& config, const std::string& arch, GgufMetadata& metadata) {
  const RopeConfig& rope = config.rope();
  const auto key = [&](const char* name) { return Concatenate(arch, ".", name); };
  metadata.SetU32(key("context_length"), config.has_max_position_embeddings() ? config.max_position_embeddings() : kUnlimitedContext);
  metadata.SetU32(key("attention.head_count"), config.dim_att() / config.head_size());
  metadata.SetU32(key("attention.head_count_kv"), config.num_key_value_heads());
  metadata.SetU32(key("attention.key_length"), config.head_size());
  metadata.SetU32(key("attention.value_length"), config.head_size());
  metadata.SetU32(key("rope.dimension_count"), config.head_size());
  metadata.SetF32(key("rope.freq_base"), rope.base() * rope.rebase());
  const double linear = rope.rescale() * (rope.type() == "linear" ? rope.factor() : 1);
  if (linear != 1) {
    metadata.SetString(key("rope.scaling.type"), "linear");
    metadata.SetF32(key("rope.scaling.factor"), linear);
  } else if (rope.type() == "yarn") {
    metadata.SetString(key("rope.scaling.type"), "yarn");
    metadata.SetF32(key("rope.scaling.factor"), rope.factor());
    metadata.SetU32(key("rope.scaling.original_context_length"), rope.original_max_position_embeddings());
    if (rope.attention_factor() > 0) metadata.SetF32(key("rope.scaling.attn_factor"), rope.attention_factor() / YarnAttention(rope));
  }
}

void SetRwkv6(const ModelConfig& config, const std::string& arch, GgufMetadata& metadata) {
  const auto key = [&](const char* name) { return Concatenate(arch, ".", name); };
  metadata.SetU32(key("context_length"), kUnlimitedContext);
  metadata.SetU32(key("wkv.head_size"), config.head_size());
  metadata.SetU32(key("time_mix_extra_dim"), config.lora_rank_tokenshift());
  metadata.SetU32(key("time_decay_extra_dim"), config.lora_rank_decay());
  metadata.SetU32(key("token_shift_count"), 1);
  metadata.SetU32(key("attention.head_count"), 0);
  metadata.SetU32(key("attention.head_count_kv"), config.num_key_value_heads());
}

// The divisors of the rotary frequencies [D/2] of Llama 3.1.
at::Tensor RopeFactors(const ModelConfig& config) {
  const RopeConfig& rope = config.rope();
  at::Tensor factors = at::empty({config.head_size() / 2}, at::kFloat);
  for (int64_t i = 0; i < factors.numel(); ++i) {
    const double wave = 2 * M_PI * std::pow(rope.base() * rope.rebase(), 2.0 * i / config.head_size());
    const double turns = rope.original_max_position_embeddings() / wave;
    const double smooth = std::clamp((turns - rope.low_freq_factor()) / (rope.high_freq_factor() - rope.low_freq_factor()), 0.0, 1.0);
    factors.mutable_data_ptr<float>()[i] = 1 / ((1 - smooth) / rope.factor() + smooth);
  }
  return factors;
}

bool IsMatrix(const TensorInfo& info) {
  return IsVocabularyWeight(info.name) || info.name.ends_with("_proj.weight") || info.name.ends_with("self_attn.gate.weight");
}

std::string_view TypeOf(const TensorInfo& info, const std::string& dtype) {
  if (!IsMatrix(info)) return "F32";
  const bool whole_blocks = info.shape.back() % kWeightBlock == 0;
  if (dtype == "fp32") return "F32";
  if (dtype == "fp16") return "F16";
  if (dtype == "bf16") return "BF16";
  if (dtype == "q8_0") return whole_blocks ? "Q8_0" : "F16";
  if (dtype == "q4_0") return !whole_blocks ? "F16" : IsVocabularyWeight(info.name) ? "Q8_0" : "Q4_0";
  if (info.blocks) return *info.blocks == WeightKind::kQ8 ? "Q8_0" : "Q4_1";
  return info.dtype == "F16" ? "F16" : info.dtype == "BF16" ? "BF16" : "F32";
}

// general.file_type: that of most matrices.
uint32_t FileType(std::string_view type) {
  return type == "F16" ? 1 : type == "Q4_0" ? 2 : type == "Q4_1" ? 3 : type == "Q8_0" ? 7 : type == "BF16" ? 32 : 0;
}

class Writer {
 public:
  Writer(const Checkpoint& checkpoint, const std::string& dtype) : checkpoint_(checkpoint), dtype_(dtype) {
    const ModelConfig& config = checkpoint.config;
    why_not_ = WhyNotLlamaCpp(config);
    arch_ = !why_not_.empty() ? gguf::kOwnArchitecture : IsSoftmax(config.tmix()) ? config.tmix() : gguf::kRwkv6Architecture;
  }

  absl::StatusOr<std::string> Write(const std::string& path, const std::string& name) {
    for (const TensorInfo& info : checkpoint_.parameters) Add(info);
    const ModelConfig& config = checkpoint_.config;
    if (arch_ == gguf::kRwkv6Architecture && config.tie_word_embeddings()) AddHead();
    if (arch_ == "llama" && config.rope().type() == "llama3") {
      tensors_.push_back({gguf::kRopeFactors, "F32", {config.head_size() / 2}, [this](int64_t first, int64_t count) -> absl::StatusOr<at::Tensor> {
                            return RowsOf(RopeFactors(checkpoint_.config), first, count);
                          }});
    }
    GgufMetadata metadata;
    SetGeneral(name, metadata);
    RADLADS_RETURN_IF_ERROR(SetTokenizer(checkpoint_.files, config, metadata));
    Progress progress("exporting", total_, "B");
    RADLADS_RETURN_IF_ERROR(WriteGguf(path, metadata, tensors_, [&](uint64_t bytes) { progress.Advance(bytes); }));
    progress.Finish();
    if (!why_not_.empty()) return Concatenate("architecture ", arch_, ", for radlads only: ", why_not_);
    return Concatenate("architecture ", arch_, ", for llama.cpp");
  }

 private:
  int64_t Heads(const TensorInfo& info) const {
    const ModelConfig& config = checkpoint_.config;
    return info.name.find(".q_proj.") != info.name.npos ? config.dim_att() / config.head_size() : config.num_key_value_heads();
  }

  void Add(const TensorInfo& info) {
    const std::optional<gguf::Place> place = gguf::InGguf(arch_, info.name);
    RADLADS_CHECK(place.has_value()) << info.name << " has no place in " << arch_;
    const TensorSource& source = *checkpoint_.tensors;
    if (place->layout == Layout::kFused) {
      std::vector<std::string>& parts = fused_[place->name];
      parts.resize(5);
      parts[place->part] = info.name;
      if (std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); })) return;
      Append({place->name, "F32", gguf::ShapeInGguf(Layout::kFused, info.shape), [&source, parts](int64_t first, int64_t count) -> absl::StatusOr<at::Tensor> {
                std::vector<at::Tensor> tensors;
                for (const std::string& part : parts) {
                  RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, source.Read(part));
                  tensors.push_back(tensor.to(at::kFloat).reshape({1, 1, -1}));
                }
                return RowsOf(at::stack(tensors), first, count);
              }});
      return;
    }
    const std::string_view type = TypeOf(info, dtype_);
    const bool as_blocks = info.blocks && ((type == "Q8_0" && *info.blocks == WeightKind::kQ8) || type == "Q4_1");
    Append({place->name, type, gguf::ShapeInGguf(place->layout, info.shape),
            [&source, name = info.name, layout = place->layout, head_rows = info.shape[0] / Heads(info),
             as_blocks](int64_t first, int64_t count) -> absl::StatusOr<at::Tensor> {
              auto read = [&](gguf::Rows rows) -> absl::StatusOr<at::Tensor> {
                return as_blocks ? source.ReadBlockRows(name, rows.first, rows.count) : source.ReadRows(name, rows.first, rows.count);
              };
              if (layout == Layout::kAsIs) return read({first, count});
              if (layout == Layout::kHeads) {
                const gguf::Rows whole = gguf::WholeHeads({first, count}, head_rows);
                RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, read(whole));
                return RowsOf(gguf::ToGguf(layout, tensor, whole.count / head_rows), first - whole.first, count);
              }
              RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, source.Read(name));
              return RowsOf(gguf::ToGguf(layout, tensor, /*heads=*/0), first, count);
            }});
  }

  // llama.cpp's rwkv6qwen2 has a head of its own, always.
  void AddHead() {
    const auto embedding = std::find_if(tensors_.begin(), tensors_.end(), [](const auto& t) { return t.name == "token_embd.weight"; });
    GgufTensorToWrite head = *embedding;
    head.name = "output.weight";
    Append(std::move(head));
  }

  void Append(GgufTensorToWrite tensor) {
    const int64_t elements = c10::multiply_integers(tensor.shape);
    if (tensor.shape.size() == 2) elements_of_[tensor.type] += elements;
    total_ += elements * (tensor.type == "F32" ? 4 : tensor.type == "Q8_0" ? 34 / 32.0 : tensor.type.starts_with("Q4") ? 0.6 : 2);
    tensors_.push_back(std::move(tensor));
  }

  void SetGeneral(const std::string& name, GgufMetadata& metadata) const {
    const ModelConfig& config = checkpoint_.config;
    metadata.SetString("general.architecture", arch_);
    metadata.SetString("general.type", "model");
    metadata.SetString("general.name", name);
    if (!why_not_.empty()) metadata.SetString("general.description", "Not for llama.cpp: " + why_not_);
    const auto most = std::max_element(elements_of_.begin(), elements_of_.end(), [](auto& a, auto& b) { return a.second < b.second; });
    metadata.SetU32("general.file_type", FileType(most->first));
    metadata.SetU32("general.quantization_version", kQuantizationVersion);
    const auto key = [&](const char* suffix) { return Concatenate(arch_, ".", suffix); };
    metadata.SetU32(key("block_count"), config.n_layer());
    metadata.SetU32(key("embedding_length"), config.n_embd());
    metadata.SetU32(key("feed_forward_length"), config.dim_ffn());
    metadata.SetU32(key("vocab_size"), config.vocab_size());
    metadata.SetF32(key("attention.layer_norm_rms_epsilon"), config.rms_norm_eps());
    if (arch_ == gguf::kOwnArchitecture) {
      metadata.SetString(gguf::kConfigKey, ModelConfigToJson(config, at::kFloat));
    } else if (arch_ == gguf::kRwkv6Architecture) {
      SetRwkv6(config, arch_, metadata);
    } else {
      SetAttention(config, arch_, metadata);
    }
  }

  const Checkpoint& checkpoint_;
  const std::string& dtype_;
  std::string why_not_, arch_;
  std::vector<GgufTensorToWrite> tensors_;
  std::map<std::string, std::vector<std::string>> fused_;  // GGUF name -> Hugging Face names of its parts
  std::map<std::string_view, int64_t> elements_of_;
  uint64_t total_ = 0;
};

}  // namespace

std::string WhyNotLlamaCpp(const ModelConfig& config) {
  const std::string& tmix = config.tmix();
  const RopeConfig& rope = config.rope();
  std::string why;
  auto require = [&](bool ok, const char* what) {
    if (!ok) why += (why.empty() ? "" : "; ") + std::string(what);
  };
  const auto plan = PlanLayers(config);
  RADLADS_CHECK(plan.ok()) << plan.status();
  const bool softmax = IsSoftmax(tmix);
  for (const LayerPlan& layer : *plan) {
    if (layer.time_mixer != tmix) {
      require(false, "it knows no models with two of these kinds of layers");
      break;
    }
  }
  if (softmax) {
    require(config.attention_bias() == (tmix == "qwen2"), "it expects other biases of q, k and v");
    require(config.qk_norm() == (tmix == "qwen3"), "it expects q and k to be normalised in qwen3 and nowhere else");
    require(rope.type() != "llama3" || tmix == "llama", "it has llama3 scaling for llama only");
    require(rope.rescale() == 1 || rope.type() == "default" || rope.type() == "linear", "it has no second scaling of rope");
    require(rope.type() != "yarn" || (rope.beta_fast() == 32 && rope.beta_slow() == 1), "its yarn has fixed betas");
    return why;
  }
  if (tmix == "rad_rwkv7") {
    require(false, "its arwkv7 has no rope, no biases of q, k and v, no shared key and value heads, another epsilon of the group "
                   "norm and a bonus term");
    return why;
  }
  require(config.gate_rank_type() == 1, "its rwkv6qwen2 has a full-rank gate");
  require(config.use_tokenshift(), "its rwkv6qwen2 has token shift");
  require(config.balance_state(), "its rwkv6qwen2 has a balanced state");
  require(!config.use_pos_emb(), "its rwkv6qwen2 has no rope");
  require(!config.groupnorm_att(), "its rwkv6qwen2 has no group norm");
  require(!config.qk_norm(), "its rwkv6qwen2 does not normalise q and k");
  require(config.dim_att() == config.n_embd(), "its rwkv6qwen2 has heads that are together as wide as the model");
  return why;
}

absl::StatusOr<std::string> WriteGgufFile(const Checkpoint& checkpoint, const std::string& path, const std::string& dtype,
                                          const std::string& name) {
  return Writer(checkpoint, dtype).Write(path, name);
}

}  // namespace radlads
