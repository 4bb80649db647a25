#include "configs/radlads_names.h"

#include <utility>

namespace radlads {
namespace {

constexpr auto kNoEffect = ReferenceKey::kNoEffect;
constexpr auto kMixer = ReferenceKey::kMixer;
constexpr auto kOnly = ReferenceKey::kOnly;
constexpr auto kRefused = ReferenceKey::kRefused;

constexpr ReferenceKey kKeys[] = {
    // Model_Config and its descendants.
    {"ModelConfig", "attention_type", kMixer, "model.tmix names the mixer, its kernel is chosen for the machine"},
    {"ModelConfig", "classname", kNoEffect, "model.tmix names the architecture"},
    {"ModelConfig", "hf_cfg", kNoEffect, "sizes are those of model.* and of the checkpoint's config.json"},
    {"ModelConfig", "hf_path", kRefused,
     "download the model and pass its directory as train.load_model (student) or train.teacher.path (teacher)"},
    {"ModelConfig", "attn_path", kRefused, "model.tmix names the mixer"},
    {"ModelConfig", "attn_classes_path", kRefused, "model.tmix names the mixer"},
    {"ModelConfig", "parallel", kOnly, "blocks are sequential; only 0 is accepted", "0"},
    {"ModelConfig", "dropout", kOnly, "there is no dropout; only 0 is accepted", "0|0.0"},
    {"ModelConfig", "kv_cache_compression_ratio", kRefused, "GoldFinch is not here; model.tmix names what is"},
    {"ModelConfig", "head_size_divisor", kNoEffect, "group normalisation uses eps = head_size * 1e-5"},
    {"ModelConfig", "brope", kRefused, "model.rope is the only position embedding"},
    {"ModelConfig", "alibi", kRefused, "model.rope is the only position embedding"},
    {"ModelConfig", "use_one_minus_w", kRefused, "model.balance_state scales the keys"},
    {"ModelConfig", "use_v2", kRefused, "x060c2 is not here; model.tmix names what is"},

    // Train_Config.
    {"TrainConfig", "train_stage", kNoEffect, "train.attention_distillation_stage names the stage"},
    {"TrainConfig", "load_partial", kNoEffect,
     "stage 1 makes the student from its teacher, everything else loads strictly"},
    {"TrainConfig", "data_type", kOnly, "make a .bin/.idx pair with //data:make_binidx", "binidx"},
    {"TrainConfig", "strategy", kNoEffect, "training runs in one process and accumulates micro batches to keep the global batch"},
    {"TrainConfig", "ds_bucket_mb", kNoEffect, "one process has no gradients to exchange"},
    {"TrainConfig", "accelerator", kNoEffect, "the build and the machine decide"},
    {"TrainConfig", "wandb", kNoEffect,
     "the run directory has metrics.jsonl and TensorBoard events, which `wandb sync` uploads"},
    {"TrainConfig", "layerwise_lr", kOnly,
     "train.lr2_init and train.lr2_final are always obeyed; leave them at -1 for one rate", "1"},
    {"TrainConfig", "epoch_begin", kOnly, "train.resume continues where a checkpoint stands", "0"},
    {"TrainConfig", "check_val_every_n_epoch", kOnly, "train.val_check_interval counts steps", "1"},

    // Where TeacherConfig and the command lines of other programs look.
    {"TeacherConfig", "hf_path", kRefused, "download the model and pass its directory as train.teacher.path"},
    {"TeacherConfig", "train", kRefused, "a teacher is not trained"},
    {"", "runtime", kRefused, "run names and steps are derived from train.* and model.*"},
    {"", "hf_path", kRefused, "download the model and pass its directory"},
};

constexpr std::string_view kAdamW = "use adamw";
constexpr std::string_view kHalf = "fp16 and tf32 are not here: use bf16, fp32 or auto";

constexpr ReferenceValue kValues[] = {
    {"ModelConfig", "tmix", "qwerky6", "rad_rwkv6", ""},
    {"ModelConfig", "tmix", "qwerky7", "rad_rwkv7", ""},
    {"ModelConfig", "tmix2", "qwerky6", "rad_rwkv6", ""},
    {"ModelConfig", "tmix2", "qwerky7", "rad_rwkv7", ""},
    {"ModelConfig", "cmix", "qwen2", "swiglu", ""},
    {"ModelConfig", "cmix", "qwen3", "swiglu", ""},
    {"ModelConfig", "cmix", "qwerky6", "swiglu", ""},
    {"ModelConfig", "cmix", "qwerky7", "swiglu", ""},
    {"ModelConfig", "cmix2", "qwen2", "swiglu", ""},
    {"ModelConfig", "cmix2", "qwen3", "swiglu", ""},
    {"ModelConfig", "cmix2", "qwerky6", "swiglu", ""},
    {"ModelConfig", "cmix2", "qwerky7", "swiglu", ""},
    {"TrainConfig", "optimizer", "dsfusedadamw", "adamw", ""},
    {"TrainConfig", "optimizer", "adamwschedulefree", "", kAdamW},
    {"TrainConfig", "optimizer", "radamschedulefree", "", kAdamW},
    {"TrainConfig", "optimizer", "adam8bit", "", kAdamW},
    {"TrainConfig", "optimizer", "lion8bit", "", kAdamW},
    {"TrainConfig", "optimizer", "lion", "", kAdamW},
    {"TrainConfig", "optimizer", "lionfp16", "", kAdamW},
    {"TrainConfig", "precision", "bf16-true", "bf16", ""},
    {"TrainConfig", "precision", "bf16-mixed", "bf16", ""},
    {"TrainConfig", "precision", "32", "fp32", ""},
    {"TrainConfig", "precision", "32-true", "fp32", ""},
    {"TrainConfig", "precision", "tf32", "", kHalf},
    {"TrainConfig", "precision", "16", "", kHalf},
    {"TrainConfig", "precision", "16-true", "", kHalf},
    {"TrainConfig", "precision", "16-mixed", "", kHalf},
};

// qwen14bteacher.yaml has the epsilon of the Instruct model in the reference, and the magic prime of distill2.yaml is
// not the largest one; both are kept, because a published command line means its published values.
const ReferenceFile kFiles[] = {
    {"qwen0b5.yaml", {"teachers/qwen2.5-0.5b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen0b5base.yaml", {"teachers/qwen2.5-0.5b.yaml", "teachers/qwen2.5-base.yaml"},
     "", "{model: {ctx_len: 4096, tmix2: null}}"},
    {"qwen0b5teacher.yaml", {"teachers/qwen2.5-0.5b.yaml"}, "out/qwen2-0B5.safetensors", "{model: {ctx_len: 512}}"},
    {"qwen1b5.yaml", {"teachers/qwen2.5-1.5b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen1b5base.yaml", {"teachers/qwen2.5-1.5b.yaml", "teachers/qwen2.5-base.yaml"},
     "", "{model: {ctx_len: 4096, tmix2: null}}"},
    {"qwen1b5teacher.yaml", {"teachers/qwen2.5-1.5b.yaml"}, "out/qwen2-1B5.safetensors", "{model: {ctx_len: 512}}"},
    {"qwen3b.yaml", {"teachers/qwen2.5-3b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen3bbase.yaml", {"teachers/qwen2.5-3b.yaml", "teachers/qwen2.5-base.yaml"},
     "", "{model: {ctx_len: 4096, tmix2: null}}"},
    {"qwen3bteacher.yaml", {"teachers/qwen2.5-3b.yaml"}, "out/qwen2.5-3B.pth", "{model: {ctx_len: 512}}"},
    {"qwen7b.yaml", {"teachers/qwen2.5-7b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen7bbase.yaml", {"teachers/qwen2.5-7b.yaml", "teachers/qwen2.5-base.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen7binstructteacher.yaml", {"teachers/qwen2.5-7b.yaml"},
     "out/Qwen2.5-7B-Instruct.pth", "{model: {ctx_len: 512}}"},
    {"qwen7bteacher.yaml", {"teachers/qwen2.5-7b.yaml", "teachers/qwen2.5-base.yaml"},
     "out/Qwen2.5-7B.pth", "{model: {ctx_len: 512}}"},
    {"qwen14b.yaml", {"teachers/qwen2.5-14b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen14bbase.yaml", {"teachers/qwen2.5-14b-base.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen14binstructteacher.yaml", {"teachers/qwen2.5-14b.yaml"},
     "out/Qwen2.5-14B-Instruct.pth", "{model: {ctx_len: 512}}"},
    {"qwen14bteacher.yaml", {"teachers/qwen2.5-14b-base.yaml"},
     "out/Qwen2.5-14B.pth", "{model: {ctx_len: 512, rms_norm_eps: 1e-6}}"},
    {"qwen32b.yaml", {"teachers/qwen2.5-32b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen32bbase.yaml", {"teachers/qwen2.5-32b-base.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen32binstructteacher.yaml", {"teachers/qwen2.5-32b.yaml"},
     "out/Qwen2.5-32B-Instruct.pth", "{model: {ctx_len: 512}}"},
    {"qwen32bteacher.yaml", {"teachers/qwen2.5-32b-base.yaml"}, "out/Qwen2.5-32B.pth", "{model: {ctx_len: 512}}"},
    {"qwen72b.yaml", {"teachers/qwen2.5-72b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen72bbase.yaml", {"teachers/qwen2.5-72b-base.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen72binstructteacher.yaml", {"teachers/qwen2.5-72b.yaml"},
     "out/Qwen2.5-72B-Instruct.pth", "{model: {ctx_len: 512}}"},
    {"qwen72bteacher.yaml", {"teachers/qwen2.5-72b-base.yaml"}, "out/Qwen2.5-72B.pth", "{model: {ctx_len: 512}}"},
    {"qwq32bteacher.yaml", {"teachers/qwen2.5-32b-base.yaml"},
     "out/QwQ-32B.pth", "{model: {ctx_len: 512, eos_token_id: 151645}}"},
    {"qwen3-8b.yaml", {"teachers/qwen3-8b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen3-8bteacher.yaml", {"teachers/qwen3-8b.yaml"}, "out/Qwen3-8B.pth", "{model: {ctx_len: 512}}"},
    {"qwen3-14b.yaml", {"teachers/qwen3-14b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen3-14bteacher.yaml", {"teachers/qwen3-14b.yaml"}, "out/Qwen3-14B.pth", "{model: {ctx_len: 512}}"},
    {"qwen3-32b.yaml", {"teachers/qwen3-32b.yaml"}, "", "{model: {ctx_len: 512}}"},
    {"qwen3-32bteacher.yaml", {"teachers/qwen3-32b.yaml"}, "out/Qwen3-32B.pth", "{model: {ctx_len: 512}}"},
    {"qwerky6.yaml", {"students/rad_rwkv6.yaml"}},
    {"qwerky7.yaml", {"students/rad_rwkv7.yaml"}},
    {"qwerky6_ablation_groupnorm.yaml", {"students/rad_rwkv6.yaml", "students/rad_rwkv6-groupnorm.yaml"}},
    {"qwerky6_ablation_no_gate.yaml", {"students/rad_rwkv6.yaml", "students/rad_rwkv6-no_gate.yaml"}},
    {"qwerky6_ablation_no_tokenshift.yaml", {"students/rad_rwkv6.yaml", "students/rad_rwkv6-no_tokenshift.yaml"}},
    {"qwerky6_ablation_reinit_att.yaml", {"students/rad_rwkv6.yaml", "students/rad_rwkv6-reinit_att.yaml"}},
    {"qwerky6_ablation_use_rope.yaml", {"students/rad_rwkv6.yaml", "students/rad_rwkv6-use_rope.yaml"}},
    {"distill1.yaml", {"stages/stage1.yaml"}, "", "{train: {magic_prime: 2929793}}"},
    {"distill2.yaml", {"stages/stage2.yaml"}, "", "{train: {magic_prime: 2913641}}"},
    {"distill3.yaml", {"stages/stage3.yaml"}, "", "{train: {magic_prime: 2929793, proj_suffix: 4}}"},
    {"distill3-1024.yaml", {"stages/stage3-1k.yaml"}, "", "{train: {magic_prime: 1464917, proj_suffix: 4-1k}}"},
    {"distill3-2048.yaml", {"stages/stage3-2k.yaml"}, "", "{train: {magic_prime: 732461, proj_suffix: 4-2k}}"},
    {"distill3-4096.yaml", {"stages/stage3-4k.yaml"}, "", "{train: {magic_prime: 366227, proj_suffix: 4-4k}}"},
    {"distill3-8192.yaml", {"stages/stage3-8k.yaml"}, "", "{train: {magic_prime: 183089, proj_suffix: 4-8k}}"},
    {"distill3-16384.yaml", {"stages/stage3-16k.yaml"}, "", "{train: {magic_prime: 91541, proj_suffix: 4-16k}}"},
};

}  // namespace

std::span<const ReferenceKey> ReferenceKeys() { return kKeys; }
std::span<const ReferenceValue> ReferenceValues() { return kValues; }
std::span<const ReferenceFile> ReferenceFiles() { return kFiles; }

const ReferenceKey* FindReferenceKey(std::string_view message, std::string_view key) {
  for (const ReferenceKey& row : kKeys) {
    if (row.message == message && row.key == key) return &row;
  }
  return nullptr;
}

const ReferenceValue* FindReferenceValue(std::string_view message, std::string_view key, std::string_view value) {
  for (const ReferenceValue& row : kValues) {
    if (row.message == message && row.key == key && row.from == value) return &row;
  }
  return nullptr;
}

const ReferenceFile* FindReferenceFile(std::string_view name) {
  for (const ReferenceFile& row : kFiles) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string_view MixerOfAttentionType(std::string_view attention_type) {
  // As models/qwen2.py of the reference chooses: by what the name contains, in this order.
  constexpr std::pair<std::string_view, std::string_view> kFamilies[] = {
      {"rwkv6", "rad_rwkv6"}, {"gla", "rad_rwkv6"}, {"rwkv7", "rad_rwkv7"}};
  for (const auto& [part, mixer] : kFamilies) {
    if (attention_type.find(part) != std::string_view::npos) return mixer;
  }
  return "";
}

}  // namespace radlads
