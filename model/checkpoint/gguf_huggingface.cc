#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_layout.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/safetensors.h"

namespace radlads {
namespace {

using gguf::Layout;

absl::StatusOr<std::string> Architecture(const GgufFile& file) {
  RADLADS_ASSIGN_OR_RETURN(std::string architecture, file.String("general.architecture"));
  for (const char* known : {"llama", "qwen2", "qwen3", gguf::kRwkv6Architecture, gguf::kOwnArchitecture}) {
    if (architecture == known) return architecture;
  }
  return Unimplemented(file.path(), ": the architecture is \"", architecture, "\"; known are llama, qwen2, qwen3, ",
                       gguf::kRwkv6Architecture, " and our own ", gguf::kOwnArchitecture);
}

absl::StatusOr<int64_t> PositiveInt(const GgufFile& file, const std::string& key) {
  RADLADS_ASSIGN_OR_RETURN(int64_t value, file.Int(key));
  if (value < 1 || value > INT32_MAX) return InvalidArgument(file.path(), ": ", key, " is ", value, ", expected 1 to 2^31-1");
  return value;
}

absl::StatusOr<double> PositiveFloat(const GgufFile& file, const std::string& key) {
  RADLADS_ASSIGN_OR_RETURN(double value, file.Float(key));
  if (!(value > 0) || !std::isfinite(value)) return InvalidArgument(file.path(), ": ", key, " is ", value, ", expected a positive number");
  // Keys are fp32 as a rule: 9.99999975e-06 was 1e-05 before it was written.
  if (static_cast<double>(static_cast<float>(value)) == value) {
    char text[64];
    *std::to_chars(text, text + sizeof(text) - 1, static_cast<float>(value)).ptr = '\0';
    value = std::strtod(text, nullptr);
  }
  return value;
}

class HuggingFaceView : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<HuggingFaceView>> Open(std::shared_ptr<const GgufFile> file) {
    RADLADS_ASSIGN_OR_RETURN(const std::string architecture, Architecture(*file));
    int64_t heads = 0, kv_heads = 0;  // of rows to be permuted
    if (architecture == "llama") {
      RADLADS_ASSIGN_OR_RETURN(heads, PositiveInt(*file, "llama.attention.head_count"));
      kv_heads = heads;
      if (file->HasKey("llama.attention.head_count_kv")) {
        RADLADS_ASSIGN_OR_RETURN(kv_heads, PositiveInt(*file, "llama.attention.head_count_kv"));
      }
    }
    std::unique_ptr<HuggingFaceView> view(new HuggingFaceView);
    for (const TensorInfo& raw : file->tensors()) {
      if (raw.name == gguf::kRopeFactors) continue;  // part of the config
      const std::vector<gguf::Place> places = gguf::InHuggingFace(architecture, raw.name);
      if (places.empty()) {
        return Unimplemented(file->path(), ": tensor ", raw.name, " is not one of a ", architecture, " model as transformers has it");
      }
      for (const gguf::Place& place : places) {
        Entry entry{raw.name, place.layout, place.part, 0};
        if (place.layout == Layout::kHeads) entry.heads = raw.name.find("attn_q.") != raw.name.npos ? heads : kv_heads;
        if (entry.heads > 0 && (raw.shape.empty() || raw.shape[0] % (2 * entry.heads) != 0)) {
          return InvalidArgument(file->path(), ": ", raw.name, " is ", ShapeString(raw.shape), ", whose rows are not ", entry.heads,
                                 " heads of even size");
        }
        TensorInfo info = raw;
        info.name = place.name;
        info.shape = gguf::ShapeInHuggingFace(place.layout, raw.shape);
        if (place.layout != Layout::kAsIs && place.layout != Layout::kHeads) {
          info.blocks.reset();
          if (!HasPlace(place.layout, raw.shape)) {
            return InvalidArgument(file->path(), ": ", raw.name, " is ", ShapeString(raw.shape), ", not as llama.cpp has it");
          }
        }
        if (places.size() > 1) info.bytes = raw.bytes / places.size();
        view->entries_[info.name] = entry;
        view->tensors_.push_back(std::move(info));
      }
    }
    view->file_ = std::move(file);
    return view;
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool Has(std::string_view name) const override { return entries_.contains(name); }
  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    auto found = entries_.find(name);
    if (found == entries_.end()) return NotFound(file_->path(), " has no tensor for ", name);
    RADLADS_ASSIGN_OR_RETURN(at::Tensor tensor, file_->Read(found->second.raw_name));
    return gguf::ToHuggingFace(found->second.layout, tensor, found->second.heads, found->second.part);
  }
  absl::StatusOr<at::Tensor> ReadRows(const std::string& name, int64_t first, int64_t count) const override {
    auto found = entries_.find(name);
    if (found == entries_.end()) return NotFound(file_->path(), " has no tensor for ", name);
    if (!HasRows(found->second)) return TensorSource::ReadRows(name, first, count);
    return Rows(found->second, {first, count}, &TensorSource::ReadRows);
  }
  absl::StatusOr<at::Tensor> ReadBlocks(const std::string& name) const override {
    auto found = entries_.find(name);
    if (found == entries_.end() || !HasRows(found->second)) return TensorSource::ReadBlocks(name);
    RADLADS_ASSIGN_OR_RETURN(at::Tensor blocks, file_->ReadBlocks(found->second.raw_name));
    return gguf::ToHuggingFace(found->second.layout, blocks, found->second.heads, 0);  // rows are whole blocks
  }
  absl::StatusOr<at::Tensor> ReadBlockRows(const std::string& name, int64_t first, int64_t count) const override {
    auto found = entries_.find(name);
    if (found == entries_.end() || !HasRows(found->second)) return TensorSource::ReadBlocks(name);
    return Rows(found->second, {first, count}, &TensorSource::ReadBlockRows);
  }

 private:
  static bool HasPlace(Layout layout, const std::vector<int64_t>& shape) {
    switch (layout) {
      case Layout::kFlat: return shape.size() == 1;
      case Layout::kTransposed: return shape.size() == 2;
      case Layout::kShiftDown: return shape.size() == 2 && shape[0] % 5 == 0;
      case Layout::kShiftUp: return shape.size() == 3 && shape[0] == 5;
      default: return shape.size() == 4 && shape[0] == 5 && shape[1] == 1 && shape[2] == 1;
    }
  }

  struct Entry {
    std::string raw_name;
    Layout layout;
    int part;
    int64_t heads;  // of kHeads
  };

  // Whether its rows are those of the file, be it in another order.
  static bool HasRows(const Entry& entry) { return entry.layout == Layout::kAsIs || entry.layout == Layout::kHeads; }

  absl::StatusOr<at::Tensor> Rows(const Entry& entry, gguf::Rows rows,
                                  absl::StatusOr<at::Tensor> (TensorSource::*read)(const std::string&, int64_t, int64_t) const) const {
    const TensorSource& file = *file_;
    if (entry.layout == Layout::kAsIs) return (file.*read)(entry.raw_name, rows.first, rows.count);
    const int64_t head_rows = file_->Find(entry.raw_name)->shape[0] / entry.heads;
    const gguf::Rows whole = gguf::WholeHeads(rows, head_rows);
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor heads, (file.*read)(entry.raw_name, whole.first, whole.count));
    return RowsOf(gguf::ToHuggingFace(Layout::kHeads, heads, whole.count / head_rows, 0), rows.first - whole.first, rows.count);
  }

  std::shared_ptr<const GgufFile> file_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, Entry, std::less<>> entries_;
};

// Llama 3.1 files carry the divisors of the rotary frequencies [D/2] instead of the four numbers that they come from. All
// published models share two of these, low 1 and high 4; the other two follow from the divisors, and whether these do too.
absl::Status RopeFromFactors(const GgufFile& file, int64_t head_size, RopeConfig& rope) {
  RADLADS_ASSIGN_OR_RETURN(at::Tensor tensor, file.Read(gguf::kRopeFactors));
  const at::Tensor divisors = tensor.to(at::kDouble).contiguous();
  const absl::Status refusal = Unimplemented(file.path(), ": ", gguf::kRopeFactors, " is not a llama3 scaling with low_freq_factor 1 and high_freq_factor 4");
  if (divisors.dim() != 1 || divisors.numel() != head_size / 2 || divisors.numel() == 0) return refusal;
  constexpr double kLow = 1, kHigh = 4;
  const double* divisor = divisors.const_data_ptr<double>();
  const double factor = divisors.max().item<double>();
  const auto wavelength = [&](int64_t i) { return 2 * M_PI * std::pow(rope.base(), 2.0 * i / head_size); };
  // From the divisor that lies deepest between 1 and `factor`. Where none does, any context that leaves none between gives
  // the same rotation: 8192, or the largest power of two among them.
  double positions = 0, nearest = 0.5, least = 0, most = INT32_MAX;
  for (int64_t i = 0; i < divisors.numel(); ++i) {
    const double smooth = (1 / divisor[i] - 1 / factor) / (1 - 1 / factor);
    if (smooth >= 0.5) least = std::max(least, kHigh * wavelength(i));
    if (smooth < 0.5) most = std::min(most, kLow * wavelength(i));
    if (!(std::abs(smooth - 0.5) < nearest - 1e-4)) continue;
    nearest = std::abs(smooth - 0.5);
    positions = std::round((kLow + smooth * (kHigh - kLow)) * wavelength(i));
  }
  if (positions == 0) positions = least <= 8192 && 8192 <= most ? 8192 : std::exp2(std::floor(std::log2(most)));
  for (int64_t i = 0; i < divisors.numel(); ++i) {
    const double smooth = std::clamp((positions / wavelength(i) - kLow) / (kHigh - kLow), 0.0, 1.0);
    const double expected = 1 / ((1 - smooth) / factor + smooth);
    if (!(std::abs(divisor[i] - expected) <= 1e-4 * expected)) return refusal;
  }
  if (!(positions >= 1 && positions <= INT32_MAX)) return refusal;
  rope.set_type("llama3");
  rope.set_factor(factor);
  rope.set_low_freq_factor(kLow);
  rope.set_high_freq_factor(kHigh);
  rope.set_original_max_position_embeddings(static_cast<int64_t>(positions));
  return absl::OkStatus();
}

absl::Status RopeScaling(const GgufFile& file, const std::string& prefix, RopeConfig& rope) {
  const std::string scaling = prefix + "rope.scaling.";
  std::string type = "none";
  if (file.HasKey(scaling + "type")) {
    RADLADS_ASSIGN_OR_RETURN(type, file.String(scaling + "type"));
  } else if (file.HasKey(prefix + "rope.scale_linear") || file.HasKey(scaling + "factor")) {
    return Unimplemented(file.path(), ": rope is scaled, but ", scaling, "type is missing");
  }
  if (type == "none") return absl::OkStatus();
  if (type != "linear" && type != "yarn") {
    return Unimplemented(file.path(), ": ", scaling, "type is \"", type, "\"; known are none, linear, yarn");
  }
  rope.set_type(type);
  RADLADS_ASSIGN_OR_RETURN(const double factor, PositiveFloat(file, scaling + "factor"));
  rope.set_factor(factor);
  if (type == "linear") return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const int64_t original, PositiveInt(file, scaling + "original_context_length"));
  rope.set_original_max_position_embeddings(original);
  if (file.HasKey(scaling + "attn_factor")) {
    RADLADS_ASSIGN_OR_RETURN(const double attention, PositiveFloat(file, scaling + "attn_factor"));
    if (attention != 1) rope.set_attention_factor(attention * (0.1 * std::log(factor) + 1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> OpenGgufAsHuggingFace(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(auto file, GgufFile::Open(path));
  return OpenGgufAsHuggingFace(std::shared_ptr<const GgufFile>(std::move(file)));
}

absl::StatusOr<std::unique_ptr<TensorSource>> OpenGgufAsHuggingFace(std::shared_ptr<const GgufFile> file) {
  return HuggingFaceView::Open(std::move(file));
}

namespace {

// RAD-RWKV6 with the options that llama.cpp knows: gate, token shift and balanced state, no rope, no group norm.
absl::StatusOr<ModelConfig> Rwkv6Config(const GgufFile& file) {
  const std::string prefix = Concatenate(gguf::kRwkv6Architecture, ".");
  ModelConfig config;
  config.set_tmix("rad_rwkv6");
  RADLADS_ASSIGN_OR_RETURN(const int64_t layers, PositiveInt(file, prefix + "block_count"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t width, PositiveInt(file, prefix + "embedding_length"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t ffn, PositiveInt(file, prefix + "feed_forward_length"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t head_size, PositiveInt(file, prefix + "wkv.head_size"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t kv_heads, PositiveInt(file, prefix + "attention.head_count_kv"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t shift, PositiveInt(file, prefix + "time_mix_extra_dim"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t decay, PositiveInt(file, prefix + "time_decay_extra_dim"));
  RADLADS_ASSIGN_OR_RETURN(const double eps, PositiveFloat(file, prefix + "attention.layer_norm_rms_epsilon"));
  config.set_n_layer(layers);
  config.set_n_embd(width);
  config.set_dim_att(width);
  config.set_dim_ffn(ffn);
  config.set_head_size(head_size);
  config.set_num_key_value_heads(kv_heads);
  config.set_lora_rank_tokenshift(shift);
  config.set_lora_rank_decay(decay);
  config.set_rms_norm_eps(eps);
  config.set_attention_bias(file.Has("blk.0.time_mix_receptance.bias"));
  config.set_qk_norm(false);
  config.set_gate_rank_type(1);
  config.set_use_pos_emb(false);
  config.set_balance_state(true);
  config.set_groupnorm_att(false);
  config.set_use_tokenshift(true);
  return config;
}

// llama.cpp's rwkv6qwen2 has a head of its own, always: that of a tied model is the embedding again.
absl::StatusOr<bool> IsTied(const GgufFile& file, const TensorInfo& embedding) {
  const TensorInfo* head = file.Find("output.weight");
  if (head == nullptr) return true;
  if (head->dtype != embedding.dtype || head->shape != embedding.shape) return false;
  bool same = true;
  const absl::Status read = ForEachPieceOfRows(head->shape, kPieceBytes, [&](int64_t first, int64_t count) -> absl::Status {
    if (!same) return absl::OkStatus();
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor a, file.ReadRows(embedding.name, first, count));
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor b, file.ReadRows(head->name, first, count));
    same = at::equal(a, b);
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  return same;
}

// What all architectures have: vocabulary, tied head, token ids.
absl::Status ReadVocabulary(const GgufFile& file, ModelConfig& config) {
  const TensorInfo* embedding = file.Find("token_embd.weight");
  if (embedding == nullptr) return InvalidArgument(file.path(), ": token_embd.weight is missing");
  if (embedding->shape.size() != 2 || embedding->shape[1] != config.n_embd()) {
    return InvalidArgument(file.path(), ": token_embd.weight is ", ShapeString(embedding->shape), ", expected [vocabulary,", config.n_embd(), "]");
  }
  config.set_vocab_size(embedding->shape[0]);
  bool is_tied = !file.Has("output.weight");
  if (config.tmix() == "rad_rwkv6") {
    RADLADS_ASSIGN_OR_RETURN(is_tied, IsTied(file, *embedding));
  }
  config.set_tie_word_embeddings(is_tied);
  if (file.HasKey("tokenizer.ggml.bos_token_id")) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t id, file.Int("tokenizer.ggml.bos_token_id"));
    config.set_bos_token_id(id);
  }
  if (file.HasKey("tokenizer.ggml.eos_token_id")) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t id, file.Int("tokenizer.ggml.eos_token_id"));
    config.set_eos_token_id(id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ModelConfigFromGguf(const GgufFile& file) {
  RADLADS_ASSIGN_OR_RETURN(const std::string architecture, Architecture(file));
  if (architecture == gguf::kOwnArchitecture) {
    RADLADS_ASSIGN_OR_RETURN(const std::string text, file.String(gguf::kConfigKey));
    return ModelConfigFromJson(text, Concatenate(file.path(), ": ", gguf::kConfigKey));
  }
  if (architecture == gguf::kRwkv6Architecture) {
    RADLADS_ASSIGN_OR_RETURN(ModelConfig config, Rwkv6Config(file));
    RADLADS_RETURN_IF_ERROR(ReadVocabulary(file, config));
    return config;
  }
  const std::string prefix = architecture + ".";
  for (const char* key : {"expert_count", "attention.sliding_window"}) {
    if (!file.HasKey(prefix + key)) continue;
    RADLADS_ASSIGN_OR_RETURN(const int64_t value, file.Int(prefix + key));
    if (value != 0) return Unimplemented(file.path(), ": ", prefix, key, " is ", value, "; experts and sliding windows are not supported");
  }
  ModelConfig config;
  config.set_tmix(architecture);
  RADLADS_ASSIGN_OR_RETURN(const int64_t layers, PositiveInt(file, prefix + "block_count"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t width, PositiveInt(file, prefix + "embedding_length"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t ffn, PositiveInt(file, prefix + "feed_forward_length"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t heads, PositiveInt(file, prefix + "attention.head_count"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t positions, PositiveInt(file, prefix + "context_length"));
  RADLADS_ASSIGN_OR_RETURN(const double eps, PositiveFloat(file, prefix + "attention.layer_norm_rms_epsilon"));
  int64_t kv_heads = heads, head_size = width / heads;
  if (file.HasKey(prefix + "attention.head_count_kv")) {
    RADLADS_ASSIGN_OR_RETURN(kv_heads, PositiveInt(file, prefix + "attention.head_count_kv"));
  }
  if (file.HasKey(prefix + "attention.key_length")) {
    RADLADS_ASSIGN_OR_RETURN(head_size, PositiveInt(file, prefix + "attention.key_length"));
  } else if (width % heads != 0) {
    return InvalidArgument(file.path(), ": ", heads, " heads do not divide an embedding_length of ", width);
  }
  if (file.HasKey(prefix + "rope.dimension_count")) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t rotated, file.Int(prefix + "rope.dimension_count"));
    if (rotated != head_size) {
      return Unimplemented(file.path(), ": rope turns ", rotated, " of the ", head_size, " dimensions of a head; expected all of them");
    }
  }
  config.set_n_layer(layers);
  config.set_n_embd(width);
  config.set_dim_ffn(ffn);
  config.set_dim_att(heads * head_size);
  config.set_head_size(head_size);
  config.set_num_key_value_heads(kv_heads);
  config.set_max_position_embeddings(positions);
  config.set_rms_norm_eps(eps);

  RADLADS_RETURN_IF_ERROR(ReadVocabulary(file, config));
  config.set_attention_bias(file.Has("blk.0.attn_q.bias"));
  config.set_qk_norm(file.Has("blk.0.attn_q_norm.weight"));

  RADLADS_ASSIGN_OR_RETURN(const double base, PositiveFloat(file, prefix + "rope.freq_base"));
  config.mutable_rope()->set_base(base);
  if (file.Has(gguf::kRopeFactors)) {
    RADLADS_RETURN_IF_ERROR(RopeFromFactors(file, head_size, *config.mutable_rope()));
  } else {
    RADLADS_RETURN_IF_ERROR(RopeScaling(file, prefix, *config.mutable_rope()));
  }
  return config;
}

}  // namespace radlads
