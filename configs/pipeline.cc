#include "configs/pipeline.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <set>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

// Collects sentences; `prefix` names the stage of a pipeline.
class Problems {
 public:
  explicit Problems(std::string prefix = "") : prefix_(std::move(prefix)) {}

  template <typename... Args>
  void Add(const Args&... args) {
    text_ += (text_.empty() ? "" : "\n") + prefix_ + Concatenate(args...);
  }
  template <typename... Args>
  void Unless(bool good, const Args&... args) {
    if (!good) Add(args...);
  }
  const std::string& text() const { return text_; }

 private:
  std::string prefix_, text_;
};

bool OneOf(const std::string& value, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return value == name; });
}

void CheckRope(const RopeConfig& rope, const std::string& path, Problems& problems) {
  problems.Unless(rope.base() > 0, path, ".base: found ", rope.base(), ", expected a positive number");
  problems.Unless(rope.rescale() > 0, path, ".rescale: found ", rope.rescale(), ", expected a positive number");
  problems.Unless(rope.rebase() > 0, path, ".rebase: found ", rope.rebase(), ", expected a positive number");
  problems.Unless(rope.factor() > 0, path, ".factor: found ", rope.factor(), ", expected a positive number");
  problems.Unless(OneOf(rope.type(), {"default", "linear", "llama3", "yarn"}), path, ".type: found '", rope.type(),
                  "', expected default, linear, llama3 or yarn");
  if (OneOf(rope.type(), {"llama3", "yarn"})) {
    problems.Unless(rope.original_max_position_embeddings() > 0, path, ".original_max_position_embeddings: ",
                    rope.type(), " scaling needs the context length before scaling");
  }
  if (rope.type() == "llama3") {
    problems.Unless(rope.low_freq_factor() < rope.high_freq_factor(), path, ": low_freq_factor ",
                    rope.low_freq_factor(), " is not below high_freq_factor ", rope.high_freq_factor());
  }
}

void CheckModel(const ModelConfig& model, const std::string& path, Problems& problems) {
  const auto positive = [&](const char* name, int64_t value) {
    problems.Unless(value > 0, path, ".", name, ": found ", value, ", expected a positive number");
  };
  const auto not_negative = [&](const char* name, int64_t value) {
    problems.Unless(value >= 0, path, ".", name, ": found ", value, ", expected 0 or more");
  };
  positive("ctx_len", model.ctx_len());
  if (model.has_vocab_size()) positive("vocab_size", model.vocab_size());
  if (model.has_n_layer()) positive("n_layer", model.n_layer());
  if (model.has_n_embd()) positive("n_embd", model.n_embd());
  positive("head_size", model.head_size());
  not_negative("dim_att", model.dim_att());
  not_negative("dim_ffn", model.dim_ffn());
  not_negative("num_key_value_heads", model.num_key_value_heads());
  not_negative("preserve_last_n_layers", model.preserve_last_n_layers());
  not_negative("lora_rank_gate", model.lora_rank_gate());
  not_negative("lora_rank_tokenshift", model.lora_rank_tokenshift());
  not_negative("lora_rank_decay", model.lora_rank_decay());
  not_negative("lora_rank_iclr", model.lora_rank_iclr());
  not_negative("lora_rank_value_residual_mix", model.lora_rank_value_residual_mix());

  const int64_t width = model.dim_att() > 0 ? model.dim_att() : model.n_embd();
  if (width > 0 && model.head_size() > 0) {
    const int64_t heads = width / model.head_size();
    if (width % model.head_size() != 0) {
      problems.Add(path, ": ", model.dim_att() > 0 ? "dim_att " : "n_embd ", width, " is not a multiple of head_size ",
                   model.head_size());
    } else if (model.num_key_value_heads() > 0 && heads % model.num_key_value_heads() != 0) {
      problems.Add(path, ".num_key_value_heads: found ", model.num_key_value_heads(), ", expected a divisor of the ",
                   heads, " query heads");
    }
  }
  if (model.has_vocab_size() && model.has_vocab_padding_idx()) {
    problems.Unless(model.vocab_padding_idx() >= 0 && model.vocab_padding_idx() < model.vocab_size(), path,
                    ".vocab_padding_idx: found ", model.vocab_padding_idx(), ", expected a row of the ",
                    model.vocab_size(), " of the embedding");
  }
  if (model.has_n_layer()) {
    problems.Unless(model.preserve_last_n_layers() <= model.n_layer(), path, ".preserve_last_n_layers: found ",
                    model.preserve_last_n_layers(), ", but there are ", model.n_layer(), " layers");
  }
  problems.Unless(model.inv_other_layer_ratio() >= 1, path, ".inv_other_layer_ratio: found ",
                  model.inv_other_layer_ratio(), ", expected 1 or more");
  problems.Unless(model.inv_other_layer_ratio() <= 1 || !model.tmix2().empty(), path,
                  ".tmix2: is not set, but inv_other_layer_ratio gives it some of the layers");
  problems.Unless(model.gate_rank_type() >= 0 && model.gate_rank_type() <= 2, path, ".gate_rank_type: found ",
                  model.gate_rank_type(), ", expected 0 (none), 1 (full matrix) or 2 (low rank)");
  problems.Unless(model.rms_norm_eps() > 0, path, ".rms_norm_eps: found ", model.rms_norm_eps(),
                  ", expected a positive number");
  CheckRope(model.rope(), path + ".rope", problems);
}

void CheckStage(const TrainConfig& train, Problems& problems) {
  const int64_t stage = train.attention_distillation_stage();
  const bool has_teacher = !train.teacher().path().empty();
  problems.Unless(stage == 1 || stage == 2 || stage == 21 || stage == -1, "train.attention_distillation_stage: found ", stage,
                  ", expected 1 (align the mixers), 2 (match the logits), 21 (match them, only the mixers learn) or -1 (cross entropy)");
  if (stage == 1) {
    problems.Unless(has_teacher || !OneOf(train.load_model(), {"", "auto"}),
                    "train.load_model: is not set, but stage 1 starts from the teacher; set it or train.teacher.path");
  } else if (stage == 2 || stage == 21) {
    problems.Unless(has_teacher, "train.teacher.path: is not set, but stage 2 matches the logits of a teacher");
    problems.Unless(!OneOf(train.load_model(), {"", "auto"}),
                    "train.load_model: is not set, but stage 2 starts from the result of stage 1");
  }
  const double kl = train.teacher().kl_weight(), ce = train.teacher().ce_weight();
  problems.Unless(kl >= 0, "train.teacher.kl_weight: found ", kl, ", expected 0 or more");
  problems.Unless(ce >= 0, "train.teacher.ce_weight: found ", ce, ", expected 0 or more");
  if (has_teacher && stage != 1) {
    problems.Unless(kl > 0 || ce > 0, "train.teacher: kl_weight and ce_weight are both 0, so there is nothing to learn");
  }
}

void CheckRates(const TrainConfig& train, Problems& problems) {
  problems.Unless(OneOf(train.lr_decay_type(), {"linear", "exp", "cos", "oneminussqrt"}),
                  "train.lr_decay_type: found '", train.lr_decay_type(), "', expected linear, exp, cos or oneminussqrt");
  problems.Unless(train.lr_wait() >= 0, "train.lr_wait: found ", train.lr_wait(), ", expected 0 or more");
  problems.Unless(train.lr_wait() < train.lr_endpoint(), "train.lr_wait: found ", train.lr_wait(),
                  ", expected less than lr_endpoint, which is ", train.lr_endpoint());
  problems.Unless(train.lr_init() >= 0, "train.lr_init: found ", train.lr_init(), ", expected 0 or more");
  problems.Unless(train.lr_final() >= 0, "train.lr_final: found ", train.lr_final(), ", expected 0 or more");
  if (train.lr_decay_type() == "exp") {
    problems.Unless(train.lr_init() > 0 && train.lr_final() > 0 && train.lr2_init() != 0 && train.lr2_final() != 0,
                    "train.lr_decay_type: exp never arrives at 0 and cannot leave it; expected positive rates");
  }
  problems.Unless(train.warmup_steps() >= -1, "train.warmup_steps: found ", train.warmup_steps(),
                  ", expected 0 or more (or -1)");
  for (const auto& [name, beta] : {std::pair("beta1", train.beta1()), std::pair("beta2", train.beta2())}) {
    problems.Unless(beta >= 0 && beta < 1, "train.", name, ": found ", beta, ", expected at least 0 and less than 1");
  }
  problems.Unless(train.adam_eps() > 0, "train.adam_eps: found ", train.adam_eps(), ", expected a positive number");
  problems.Unless(train.weight_decay() >= 0, "train.weight_decay: found ", train.weight_decay(),
                  ", expected 0 or more");
  problems.Unless(train.weight_decay_final() <= 0 || train.weight_decay() > 0,
                  "train.weight_decay_final: is reached exponentially from weight_decay, which is 0 and cannot grow");
  problems.Unless(OneOf(train.optimizer(), {"adamw"}), "train.optimizer: found '", train.optimizer(),
                  "', expected adamw");
  problems.Unless(OneOf(train.precision(), {"auto", "bf16", "fp32"}), "train.precision: found '", train.precision(),
                  "', expected auto, bf16 or fp32");
}

void CheckData(const TrainConfig& train, Problems& problems) {
  if (train.data_mixture().empty()) {
    problems.Unless(!train.data_file().empty(),
                    "train.data_file: is not set; expected the prefix of a .bin/.idx pair (//data:make_binidx makes "
                    "one), CATALOG/NAME or grpc://HOST:PORT/NAME");
    return;
  }
  problems.Unless(train.data_file().empty(), "train.data_file: found '", train.data_file(),
                  "', but train.data_mixture lists the data; expected one of the two");
  problems.Unless(train.magic_prime() == 0, "train.magic_prime: found ", train.magic_prime(),
                  ", expected 0: each dataset of train.data_mixture has its own");
  std::set<std::string> names;
  for (int i = 0; i < train.data_mixture_size(); ++i) {
    const DataMixtureEntry& entry = train.data_mixture(i);
    const std::string path = Concatenate("train.data_mixture.", i);
    problems.Unless(!entry.data_file().empty(), path, ".data_file: is not set");
    problems.Unless(entry.data_file().empty() || names.insert(entry.data_file()).second, path, ".data_file: found '",
                    entry.data_file(), "' a second time; list it once, with the sum of its weights");
    problems.Unless(entry.weight() > 0 && std::isfinite(entry.weight()), path, ".weight: found ", entry.weight(),
                    ", expected a positive number");
  }
}

void CheckAmounts(const Config& config, Problems& problems) {
  const TrainConfig& train = config.train();
  bool sound = config.model().ctx_len() > 0;
  const auto positive = [&](const char* name, int64_t value) {
    problems.Unless(value > 0, "train.", name, ": found ", value, ", expected a positive number");
    sound = sound && value > 0;
  };
  const auto not_negative = [&](const char* name, double value) {
    problems.Unless(value >= 0, "train.", name, ": found ", value, ", expected 0 or more");
  };
  positive("micro_bsz", train.micro_bsz());
  positive("accumulate_grad_batches", train.accumulate_grad_batches());
  positive("devices", train.devices());
  positive("num_nodes", train.num_nodes());
  positive("log_every_n_steps", train.log_every_n_steps());
  not_negative("gradient_clip_val", train.gradient_clip_val());
  not_negative("token_gradient_limit", train.token_gradient_limit());
  not_negative("my_exit_tokens", train.my_exit_tokens());
  not_negative("save_every_n_steps", train.save_every_n_steps());
  not_negative("epoch_save", train.epoch_save());
  not_negative("keep_checkpoints", train.keep_checkpoints());
  not_negative("val_check_interval", train.val_check_interval());
  not_negative("validation_tokens", train.validation_tokens());
  not_negative("spike_threshold", train.spike_threshold());
  not_negative("threads", train.threads());
  not_negative("magic_prime", train.magic_prime());
  CheckData(train, problems);
  problems.Unless(!train.resume().empty(), "train.resume: found '', expected auto, never or the path of a checkpoint");
  problems.Unless(!train.proj_dir().empty(), "train.proj_dir: found '', expected a folder ('.' is the current one)");
  if (!sound || train.my_exit_tokens() <= 0) return;
  const double step = 1.0 * config.model().ctx_len() * train.micro_bsz() * train.accumulate_grad_batches() *
                      train.devices() * train.num_nodes();
  problems.Unless(train.warmup_steps() <= 0 || train.warmup_steps() * step < train.my_exit_tokens(),
                  "train.warmup_steps: ", train.warmup_steps(), " steps of ", static_cast<int64_t>(step),
                  " tokens are all of the run, which has ", train.my_exit_tokens(), " (my_exit_tokens)");
}

void CheckRun(const Config& config, Problems& problems) {
  problems.Unless(!config.model().tmix().empty(),
                  "model.tmix: is not set; expected the student's time mixer, rad_rwkv7 say "
                  "(-c configs/students/rad_rwkv7.yaml)");
  CheckModel(config.model(), "model", problems);
  if (config.train().teacher().has_model()) {
    CheckModel(config.train().teacher().model(), "train.teacher.model", problems);
  }
  CheckStage(config.train(), problems);
  CheckRates(config.train(), problems);
  CheckAmounts(config, problems);
}

bool IsFileName(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

bool StartsFromTeacher(const TrainConfig& train) {
  return train.attention_distillation_stage() == 1 && OneOf(train.load_model(), {"", "auto"}) &&
         !train.teacher().path().empty();
}

}  // namespace

absl::Status Validate(const Config& config) {
  RADLADS_ASSIGN_OR_RETURN(const std::vector<Config> runs, ExpandPipeline(config));
  std::string text;
  for (size_t i = 0; i < runs.size(); ++i) {
    Problems problems(config.pipeline().empty() ? "" : "pipeline." + config.pipeline(i).name() + ": ");
    CheckRun(runs[i], problems);
    if (!problems.text().empty()) text += (text.empty() ? "" : "\n") + problems.text();
  }
  return text.empty() ? absl::OkStatus() : absl::InvalidArgumentError(text);
}

absl::StatusOr<std::vector<Config>> ExpandPipeline(const Config& config) {
  Config base = config;
  base.clear_pipeline();
  if (config.pipeline().empty()) {
    if (StartsFromTeacher(base.train())) base.mutable_train()->set_load_model(base.train().teacher().path());
    return std::vector<Config>{base};
  }
  const std::string directory = RunDirectory(config.train(), config.model());
  Problems problems;
  std::set<std::string> names;
  std::vector<Config> runs;
  for (int i = 0; i < config.pipeline_size(); ++i) {
    const PipelineStage& stage = config.pipeline(i);
    const std::string path = "pipeline." + (stage.name().empty() ? std::to_string(i) : stage.name());
    problems.Unless(IsFileName(stage.name()), path, ".name: found '", stage.name(),
                    "', expected a name for the stage and its folder, without '/' and not beginning with '.'");
    problems.Unless(stage.name().empty() || names.insert(stage.name()).second, path,
                    ".name: two stages have this name, expected different ones");
    const TrainConfig& own = stage.train();
    problems.Unless(!own.has_proj_dir() && !own.has_proj_name() && !own.has_proj_suffix0() && !own.has_proj_suffix(),
                    path, ".train: sets proj_*, but its directory is ", JoinPath(directory, stage.name()),
                    "; set proj_* in the train section outside of the pipeline");
    Config run = base;
    run.mutable_model()->MergeFrom(stage.model());
    // A list of data replaces the one before it, and either way of naming data replaces the other.
    if (own.has_data_file() || own.data_mixture_size() > 0) {
      run.mutable_train()->clear_data_file();
      run.mutable_train()->clear_data_mixture();
    }
    run.mutable_train()->MergeFrom(own);
    TrainConfig& train = *run.mutable_train();
    train.set_proj_dir(directory);
    train.set_proj_name(stage.name());
    train.clear_proj_suffix0();
    train.set_proj_suffix("");
    if (!own.has_load_model() && i > 0) {
      train.set_load_model(RunDirectory(runs.back().train(), runs.back().model()));
    } else if (StartsFromTeacher(train)) {
      train.set_load_model(train.teacher().path());
    }
    runs.push_back(std::move(run));
  }
  if (!problems.text().empty()) return absl::InvalidArgumentError(problems.text());
  return runs;
}

std::string RunDirectory(const TrainConfig& train, const ModelConfig& model) {
  std::string name = train.proj_name();
  if (name.empty()) {
    if (model.n_layer() > 0 && model.n_embd() > 0) name = Concatenate("L", model.n_layer(), "-D", model.n_embd(), "-");
    name += model.tmix();
    if (!model.tmix2().empty()) name += "_" + model.tmix2();
  }
  if (!train.proj_suffix0().empty()) name += "-" + train.proj_suffix0();
  if (!train.proj_suffix().empty()) name += "-" + train.proj_suffix();
  return JoinPath(train.proj_dir(), name);
}

}  // namespace radlads
