#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/hf_config_keys.h"

namespace radlads {
namespace {

using nlohmann::json;

// Absent keys and null are the same to transformers.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool Has(const char* key) const { return Find(key) != nullptr; }
  const json* Find(const char* key) const {
    auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  // There, and null.
  bool IsNull(const char* key) const { return object_.contains(key) && !Has(key); }
  const std::string& where() const { return where_; }

  // Required values.
  absl::StatusOr<int64_t> Size(const char* key) const {  // 1 to 2^31-1
    const json* value = Find(key);
    if (value == nullptr) return Missing(key);
    if (!value->is_number_integer() || *value < 1 || *value > INT32_MAX) return Wrong(key, "a whole number from 1 to 2^31-1");
    return value->get<int64_t>();
  }
  absl::StatusOr<double> Positive(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return Missing(key);
    if (!value->is_number() || !(value->get<double>() > 0)) return Wrong(key, "a positive number");
    return value->get<double>();
  }
  absl::StatusOr<std::string> Text(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return Missing(key);
    if (!value->is_string()) return Wrong(key, "a string");
    return value->get<std::string>();
  }
  // Values with a default.
  absl::StatusOr<int64_t> Size(const char* key, int64_t otherwise) const {
    if (!Has(key)) return otherwise;
    return Size(key);
  }
  absl::StatusOr<int64_t> Count(const char* key, int64_t otherwise) const {  // 0 to 2^31-1
    const json* value = Find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number_integer() || *value < 0 || *value > INT32_MAX) return Wrong(key, "a whole number from 0 to 2^31-1");
    return value->get<int64_t>();
  }
  absl::StatusOr<double> Positive(const char* key, double otherwise) const {
    if (!Has(key)) return otherwise;
    return Positive(key);
  }
  absl::StatusOr<std::string> Text(const char* key, const std::string& otherwise) const {
    if (!Has(key)) return otherwise;
    return Text(key);
  }
  absl::StatusOr<bool> Flag(const char* key, bool otherwise) const {  // RADLADS writes some as 0 and 1
    const json* value = Find(key);
    if (value == nullptr) return otherwise;
    if (value->is_boolean()) return value->get<bool>();
    if (value->is_number_integer() && (*value == 0 || *value == 1)) return *value == 1;
    return Wrong(key, "true or false");
  }

  absl::Status Missing(const char* key) const { return InvalidArgument(where_, ": \"", key, "\" is missing"); }
  absl::Status Wrong(const char* key, const char* expected) const {
    return InvalidArgument(where_, ": \"", key, "\" is ", Find(key)->dump().substr(0, 80), ", expected ", expected);
  }

 private:
  const json& object_;
  const std::string where_;
};

absl::StatusOr<const hf::Architecture*> FindArchitecture(const Fields& fields) {
  std::string types, classes;
  for (const hf::Architecture& known : hf::kArchitectures) {
    types += (types.empty() ? "" : ", ") + std::string(known.model_type);
    classes += (classes.empty() ? "" : ", ") + std::string(known.class_name);
  }
  const hf::Architecture* found = nullptr;
  if (fields.Has("model_type")) {
    RADLADS_ASSIGN_OR_RETURN(const std::string model_type, fields.Text("model_type"));
    for (const hf::Architecture& known : hf::kArchitectures) {
      if (known.model_type == model_type) found = &known;
    }
    if (found == nullptr) return Unimplemented(fields.where(), ": model_type is \"", model_type, "\"; known are ", types);
  }
  if (const json* names = fields.Find("architectures"); names != nullptr && !names->empty()) {
    if (!names->is_array() || !names->front().is_string()) return fields.Wrong("architectures", "a list of class names");
    const std::string name = names->front().get<std::string>();
    const hf::Architecture* by_class = nullptr;
    for (const hf::Architecture& known : hf::kArchitectures) {
      if (known.class_name == name) by_class = &known;
    }
    if (by_class == nullptr) return Unimplemented(fields.where(), ": the architecture is \"", name, "\"; known are ", classes);
    if (found != nullptr && found != by_class) {
      return InvalidArgument(fields.where(), ": model_type is ", found->model_type, ", but the architecture is ", name);
    }
    found = by_class;
  }
  if (found == nullptr) return InvalidArgument(fields.where(), ": neither model_type nor architectures says which model this is; known are ", types);
  return found;
}

absl::Status ReadScaling(const Fields& scaling, int64_t max_positions, RopeConfig& rope) {
  RADLADS_ASSIGN_OR_RETURN(std::string type, scaling.Text("type", "default"));
  if (scaling.Has("rope_type")) {
    RADLADS_ASSIGN_OR_RETURN(const std::string newer, scaling.Text("rope_type"));
    if (scaling.Has("type") && type != newer) {
      return InvalidArgument(scaling.where(), ": rope_type is \"", newer, "\", but type is \"", type, "\"; remove the one that is wrong");
    }
    type = newer;
  }
  for (const char* layers : {"full_attention", "sliding_attention"}) {
    if (scaling.Has(layers)) return Unimplemented(scaling.where(), ": scalings by the kind of layer (\"", layers, "\") are not supported");
  }
  RADLADS_ASSIGN_OR_RETURN(const double partial, scaling.Positive("partial_rotary_factor", 1));
  if (partial != 1) return Unimplemented(scaling.where(), ": partial_rotary_factor is ", partial, "; only whole heads are rotated");
  RADLADS_ASSIGN_OR_RETURN(const double rescale, scaling.Positive(hf::kRopeRescale, 1));
  if (rescale != 1) rope.set_rescale(rescale);
  rope.set_type(type);
  if (type == "default") return absl::OkStatus();
  if (type != "linear" && type != "llama3" && type != "yarn") {
    return Unimplemented(scaling.where(), ": rope_type is \"", type, "\"; known are default, linear, llama3, yarn");
  }
  RADLADS_ASSIGN_OR_RETURN(const double factor, scaling.Positive("factor"));
  rope.set_factor(factor);
  if (type == "linear") return absl::OkStatus();
  if (type == "llama3") {
    RADLADS_ASSIGN_OR_RETURN(const double low, scaling.Positive("low_freq_factor"));
    RADLADS_ASSIGN_OR_RETURN(const double high, scaling.Positive("high_freq_factor"));
    if (!(high > low)) return InvalidArgument(scaling.where(), ": high_freq_factor (", high, ") must exceed low_freq_factor (", low, ")");
    RADLADS_ASSIGN_OR_RETURN(const int64_t original, scaling.Size("original_max_position_embeddings"));
    rope.set_low_freq_factor(low);
    rope.set_high_freq_factor(high);
    rope.set_original_max_position_embeddings(original);
    return absl::OkStatus();
  }
  for (const char* key : {"mscale", "mscale_all_dim"}) {
    if (scaling.Has(key)) return Unimplemented(scaling.where(), ": yarn with \"", key, "\" is not supported");
  }
  RADLADS_ASSIGN_OR_RETURN(const bool truncate, scaling.Flag("truncate", true));
  if (!truncate) return Unimplemented(scaling.where(), ": yarn with \"truncate\": false is not supported");
  RADLADS_ASSIGN_OR_RETURN(const int64_t original, scaling.Size("original_max_position_embeddings", max_positions));
  RADLADS_ASSIGN_OR_RETURN(const double fast, scaling.Positive("beta_fast", 32));
  RADLADS_ASSIGN_OR_RETURN(const double slow, scaling.Positive("beta_slow", 1));
  if (original < 1) return scaling.Missing("original_max_position_embeddings");
  rope.set_original_max_position_embeddings(original);
  rope.set_beta_fast(fast);
  rope.set_beta_slow(slow);
  if (scaling.Has("attention_factor")) {
    RADLADS_ASSIGN_OR_RETURN(const double attention, scaling.Positive("attention_factor"));
    rope.set_attention_factor(attention);
  }
  return absl::OkStatus();
}

// Adds the rope_theta of `fields`, if it has one, to what was found before: all that a file says must agree.
absl::Status ReadTheta(const Fields& fields, const std::string& name, std::optional<double>& theta, std::string& named) {
  if (!fields.Has("rope_theta")) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const double found, fields.Positive("rope_theta"));
  if (theta && *theta != found) {
    return InvalidArgument(fields.where(), ": ", named, " is ", *theta, ", but ", name, " says ", found, "; remove the one that is wrong");
  }
  theta = found;
  named = name;
  return absl::OkStatus();
}

absl::Status ReadRope(const Fields& fields, int64_t max_positions, RopeConfig& rope) {
  std::optional<double> theta;
  std::string theta_in;
  RADLADS_RETURN_IF_ERROR(ReadTheta(fields, "rope_theta", theta, theta_in));
  // The spelling of transformers 5, and that of 4. A file may have both when it was edited by hand.
  std::optional<RopeConfig> read;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const json* value = fields.Find(key);
    if (value == nullptr) continue;
    if (!value->is_object()) return fields.Wrong(key, "an object or null");
    const Fields inner(*value, Concatenate(fields.where(), ": ", key));
    RADLADS_RETURN_IF_ERROR(ReadTheta(Fields(*value, fields.where()), key, theta, theta_in));
    RopeConfig found;
    RADLADS_RETURN_IF_ERROR(ReadScaling(inner, max_positions, found));
    if (read && found.SerializeAsString() != read->SerializeAsString()) {
      return InvalidArgument(fields.where(), ": rope_parameters is ", fields.Find("rope_parameters")->dump(), ", but rope_scaling is ",
                             value->dump(), "; transformers 5 reads rope_parameters, 4 reads rope_scaling: keep the one that is meant, with rope_theta in it");
    }
    read = found;
  }
  if (!theta) {
    return InvalidArgument(fields.where(), ": rope_theta is missing (it may stand by itself, in rope_parameters or in rope_scaling); ",
                           "it is never guessed: add the value that the model was trained with");
  }
  if (read) rope = *read;
  if (!read) rope.set_type("default");
  rope.set_base(*theta);
  return absl::OkStatus();
}

absl::Status RefuseUnsupported(const Fields& fields, const hf::Architecture& architecture, int64_t layers) {
  RADLADS_ASSIGN_OR_RETURN(const std::string activation, fields.Text("hidden_act", "silu"));
  if (activation != "silu" && activation != "swish") {
    return Unimplemented(fields.where(), ": hidden_act is \"", activation, "\"; only silu is supported");
  }
  for (const char* key : {"rope_interleaved", "mlp_bias", "attention_output_bias", "qkv_bias"}) {
    RADLADS_ASSIGN_OR_RETURN(const bool set, fields.Flag(key, false));
    if (set) return Unimplemented(fields.where(), ": \"", key, "\": true is not supported");
  }
  RADLADS_ASSIGN_OR_RETURN(const double partial, fields.Positive("partial_rotary_factor", 1));
  if (partial != 1) return Unimplemented(fields.where(), ": partial_rotary_factor is ", partial, "; only whole heads are rotated");
  // transformers gives o_proj a bias too, unless the file, being ours, says otherwise.
  RADLADS_ASSIGN_OR_RETURN(const bool bias, fields.Flag("attention_bias", false));
  if (bias && !fields.Has("attention_output_bias") && (architecture.tmix == "llama" || architecture.tmix == "qwen3")) {
    return Unimplemented(fields.where(), ": attention_bias of ", architecture.model_type, " puts a bias on o_proj, which is not supported");
  }
  if (const json* quantization = fields.Find("quantization_config")) {
    if (!quantization->is_object()) return fields.Wrong("quantization_config", "an object");
    RADLADS_ASSIGN_OR_RETURN(const std::string method, Fields(*quantization, fields.where()).Text("quant_method", "unnamed"));
    if (method != hf::kQuantMethod) {
      return Unimplemented(fields.where(), ": the weights are quantised (quantization_config) by \"", method, "\", known is ", hf::kQuantMethod,
                           "; take the repository with the plain ones");
    }
  }
  if (const json* types = fields.Find("layer_types")) {
    if (!types->is_array()) return fields.Wrong("layer_types", "a list");
    for (const json& type : *types) {
      if (type != "full_attention") {
        return Unimplemented(fields.where(), ": layer_types holds ", type.dump(), "; only full_attention is supported");
      }
    }
    if (types->size() != static_cast<size_t>(layers)) {
      return InvalidArgument(fields.where(), ": ", types->size(), " layer_types for ", layers, " layers");
    }
  }
  RADLADS_ASSIGN_OR_RETURN(const bool window, fields.Flag("use_sliding_window", false));
  RADLADS_ASSIGN_OR_RETURN(const int64_t first, fields.Count("max_window_layers", 28));
  // Without the key the modelling code has a window of 4096.
  const bool is_off = fields.IsNull("sliding_window") || fields.Has("layer_types") || first >= layers;
  if (window && !is_off) return Unimplemented(fields.where(), ": sliding windows from layer ", first, " on are not supported");
  return absl::OkStatus();
}

absl::Status ReadStudent(const Fields& fields, const hf::Architecture& architecture, ModelConfig& config) {
  RADLADS_ASSIGN_OR_RETURN(const int64_t gate, fields.Count("gate_rank_type", architecture.gate_rank_type));
  if (gate > 2) return fields.Wrong("gate_rank_type", "0, 1 or 2");
  RADLADS_ASSIGN_OR_RETURN(const bool rope, fields.Flag("use_rope", false));
  RADLADS_ASSIGN_OR_RETURN(const bool balance, fields.Flag("balance_state", true));
  RADLADS_ASSIGN_OR_RETURN(const bool norm, fields.Flag("groupnorm_att", false));
  RADLADS_ASSIGN_OR_RETURN(const bool shift, fields.Flag("use_tokenshift", architecture.use_tokenshift));
  config.set_gate_rank_type(gate);
  config.set_use_pos_emb(rope);
  config.set_balance_state(balance);
  config.set_groupnorm_att(norm);
  config.set_use_tokenshift(shift);

  const bool rwkv7 = hf::IsRwkv7(config.tmix()) || hf::IsRwkv7(config.tmix2());
  const bool rwkv6 = config.tmix() == "rad_rwkv6" || config.tmix2() == "rad_rwkv6";
  // A rank that no layer uses is kept if the file has it.
  auto rank = [&](const char* key, bool in_use, auto set) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const int64_t value, fields.Count(key, 0));
    if (value > 0) set(value);
    if (value == 0 && in_use) {
      return InvalidArgument(fields.where(), ": \"", key, "\" is missing; the modelling code and the trainer derive different ranks, ",
                             "so it is not guessed: add the size of the weights");
    }
    return absl::OkStatus();
  };
  RADLADS_RETURN_IF_ERROR(rank("lora_rank_gate", gate == 2, [&](int64_t n) { config.set_lora_rank_gate(n); }));
  RADLADS_RETURN_IF_ERROR(rank("lora_rank_tokenshift", rwkv6 && shift, [&](int64_t n) { config.set_lora_rank_tokenshift(n); }));
  RADLADS_RETURN_IF_ERROR(rank("lora_rank_decay", true, [&](int64_t n) { config.set_lora_rank_decay(n); }));
  RADLADS_RETURN_IF_ERROR(rank("lora_rank_iclr", rwkv7, [&](int64_t n) { config.set_lora_rank_iclr(n); }));
  return rank("lora_rank_value_residual_mix", rwkv7, [&](int64_t n) { config.set_lora_rank_value_residual_mix(n); });
}

absl::Status ReadLayerPlan(const Fields& fields, const hf::Architecture& architecture, ModelConfig& config) {
  for (const char* key : {hf::kTmix, hf::kTmix2}) {
    if (!fields.Has(key)) continue;
    RADLADS_ASSIGN_OR_RETURN(const std::string name, fields.Text(key));
    bool known = false;
    for (const hf::Architecture& candidate : hf::kArchitectures) known |= candidate.tmix == name;
    if (!known) return Unimplemented(fields.where(), ": ", key, " is \"", name, "\"; known are llama, qwen2, qwen3, rad_rwkv6, rad_rwkv7");
    if (std::string_view(key) == hf::kTmix) config.set_tmix(name);
    if (std::string_view(key) == hf::kTmix2) config.set_tmix2(name);
  }
  RADLADS_ASSIGN_OR_RETURN(const double ratio, fields.Positive(hf::kInvOtherLayerRatio, 1));
  if (ratio != 1) config.set_inv_other_layer_ratio(ratio);
  RADLADS_ASSIGN_OR_RETURN(const int64_t softmax_layers, fields.Count("num_attention_layers", 0));
  if (softmax_layers > config.n_layer()) {
    return InvalidArgument(fields.where(), ": num_attention_layers is ", softmax_layers, ", but there are ", config.n_layer(), " layers");
  }
  if (softmax_layers == 0) return absl::OkStatus();
  config.set_preserve_last_n_layers(softmax_layers);
  if (!config.has_tmix2() && hf::IsStudent(architecture.tmix)) {
    config.set_tmix2(config.attention_bias() ? "qwen2" : config.qk_norm() ? "qwen3" : "llama");
  }
  return absl::OkStatus();
}

absl::Status ReadTokenIds(const Fields& fields, ModelConfig& config) {
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    const json* value = fields.Find(key);
    if (value == nullptr) continue;
    if (value->is_array()) {
      if (value->empty()) continue;
      value = &value->front();
    }
    if (!value->is_number_integer() || *value < 0 || *value > INT32_MAX) return fields.Wrong(key, "a token id or a list of them");
    if (key[0] == 'b') config.set_bos_token_id(value->get<int64_t>());
    if (key[0] == 'e') config.set_eos_token_id(value->get<int64_t>());
  }
  if (fields.Has(hf::kVocabPaddingIdx)) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t index, fields.Count(hf::kVocabPaddingIdx, 0));
    config.set_vocab_padding_idx(index);
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ParseObject(const std::string& text, const std::string& file_name) {
  RADLADS_ASSIGN_OR_RETURN(json object, ParseJson(text, {.where = file_name}));
  if (!object.is_object()) return InvalidArgument(file_name, ": expected a JSON object, found ", object.type_name());
  return object;
}

}  // namespace

absl::StatusOr<ModelConfig> ModelConfigFromJson(const std::string& text, const std::string& file_name) {
  RADLADS_ASSIGN_OR_RETURN(const json object, ParseObject(text, file_name));
  const Fields fields(object, file_name);
  RADLADS_ASSIGN_OR_RETURN(const hf::Architecture* architecture, FindArchitecture(fields));
  ModelConfig config;
  config.set_tmix(std::string(architecture->tmix));
  RADLADS_ASSIGN_OR_RETURN(const int64_t vocabulary, fields.Size("vocab_size"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t width, fields.Size("hidden_size"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t ffn, fields.Size("intermediate_size"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t layers, fields.Size("num_hidden_layers"));
  RADLADS_ASSIGN_OR_RETURN(const int64_t heads, fields.Size("num_attention_heads"));
  RADLADS_RETURN_IF_ERROR(RefuseUnsupported(fields, *architecture, layers));
  // The Qwen2 family has a number of its own as default, which fits none of its models.
  if (architecture->tmix != "llama" && !fields.Has("num_key_value_heads")) return fields.Missing("num_key_value_heads");
  RADLADS_ASSIGN_OR_RETURN(const int64_t kv_heads, fields.Size("num_key_value_heads", heads));
  if (heads % kv_heads != 0) {
    return InvalidArgument(file_name, ": num_attention_heads (", heads, ") is not a multiple of num_key_value_heads (", kv_heads, ")");
  }
  if (!fields.Has("head_dim") && architecture->tmix != "qwen3" && width % heads != 0) {
    return InvalidArgument(file_name, ": hidden_size (", width, ") is not a multiple of num_attention_heads (", heads, "), and there is no head_dim");
  }
  RADLADS_ASSIGN_OR_RETURN(const int64_t head_size, fields.Size("head_dim", architecture->tmix == "qwen3" ? 128 : width / heads));
  RADLADS_ASSIGN_OR_RETURN(const double eps, fields.Positive("rms_norm_eps", 1e-6));
  RADLADS_ASSIGN_OR_RETURN(const bool tied, fields.Flag("tie_word_embeddings", false));
  RADLADS_ASSIGN_OR_RETURN(const bool bias, fields.Flag("attention_bias", architecture->attention_bias));
  RADLADS_ASSIGN_OR_RETURN(const bool qk_norm, fields.Flag(hf::kQkNorm, architecture->qk_norm));
  RADLADS_ASSIGN_OR_RETURN(const int64_t positions, fields.Count("max_position_embeddings", 0));
  config.set_vocab_size(vocabulary);
  config.set_n_embd(width);
  config.set_dim_ffn(ffn);
  config.set_n_layer(layers);
  config.set_dim_att(heads * head_size);
  config.set_head_size(head_size);
  config.set_num_key_value_heads(kv_heads);
  config.set_rms_norm_eps(eps);
  config.set_tie_word_embeddings(tied);
  config.set_attention_bias(bias);
  config.set_qk_norm(qk_norm);
  if (positions > 0) config.set_max_position_embeddings(positions);
  RADLADS_RETURN_IF_ERROR(ReadRope(fields, positions, *config.mutable_rope()));
  RADLADS_RETURN_IF_ERROR(ReadTokenIds(fields, config));
  RADLADS_RETURN_IF_ERROR(ReadLayerPlan(fields, *architecture, config));
  if (hf::IsStudent(config.tmix()) || hf::IsStudent(config.tmix2())) RADLADS_RETURN_IF_ERROR(ReadStudent(fields, *architecture, config));
  return config;
}

absl::StatusOr<std::optional<at::ScalarType>> DtypeFromJson(const std::string& text, const std::string& file_name) {
  RADLADS_ASSIGN_OR_RETURN(const json object, ParseObject(text, file_name));
  const Fields fields(object, file_name);
  const char* key = fields.Has("dtype") ? "dtype" : "torch_dtype";
  if (!fields.Has(key)) return std::optional<at::ScalarType>();
  RADLADS_ASSIGN_OR_RETURN(std::string name, fields.Text(key));
  if (name.starts_with("torch.")) name = name.substr(6);
  if (name == "float32" || name == "float") return at::ScalarType::Float;
  if (name == "bfloat16") return at::ScalarType::BFloat16;
  if (name == "float16" || name == "half") return at::ScalarType::Half;
  if (name == "float64" || name == "double") return at::ScalarType::Double;
  return Unimplemented(file_name, ": ", key, " is \"", name, "\"; known are float32, bfloat16, float16, float64");
}

}  // namespace radlads
