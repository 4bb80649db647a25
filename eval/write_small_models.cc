// Writes small models, to start programs with and for other software to compute the same: write_small_models DIRECTORY.
// Each is a Hugging Face directory DIRECTORY/NAME, NAME of SmallKinds or more, with golden.safetensors:
//   input_ids [2,70], logits [2,70,W], loss (of the next token), grad.<parameter> of the loss (no gradient: zero)
//   prompt [1,9], greedy [1,64]
#include <ATen/ATen.h>
#include <torch/utils.h>

#include <cstdio>

#include "base/file.h"
#include "base/logging.h"
#include "base/program.h"
#include "base/status.h"
#include "eval/testing.h"
#include "model/checkpoint/safetensors.h"
#include "model/pretrained.h"
#include "model/testing.h"
#include "model/transformer.h"

namespace radlads {
namespace {

ModelConfig With(const std::string& kind, const std::function<void(ModelConfig&)>& change) {
  ModelConfig config = SmallConfig(kind);
  change(config);
  return config;
}

// Every small kind, and what the recipes of configs/ add to them.
std::vector<std::pair<std::string, ModelConfig>> Models() {
  std::vector<std::pair<std::string, ModelConfig>> models;
  for (const std::string& kind : SmallKinds()) models.emplace_back(kind, SmallConfig(kind));
  models.emplace_back("rwkv6_llama_no_gate_tied", With("rad_rwkv6", [](ModelConfig& c) {
                        c.set_attention_bias(false);
                        c.set_gate_rank_type(0);
                        c.set_tie_word_embeddings(true);
                      }));
  models.emplace_back("rwkv7_qwen3_yarn", With("rad_rwkv7", [](ModelConfig& c) {
                        c.set_attention_bias(false);
                        c.set_qk_norm(true);
                        c.set_dim_att(96);
                        c.set_num_key_value_heads(3);
                        c.set_max_position_embeddings(128);
                        c.mutable_rope()->set_type("yarn");
                        c.mutable_rope()->set_factor(4);
                        c.mutable_rope()->set_original_max_position_embeddings(32);
                      }));
  models.emplace_back("rwkv6_rwkv7_softmax", With("rad_rwkv6", [](ModelConfig& c) {
                        c.set_n_layer(5);
                        c.set_tmix2("rad_rwkv7");
                        c.set_inv_other_layer_ratio(2);
                        c.set_preserve_last_n_layers(1);
                        c.set_use_pos_emb(true);
                      }));
  models.emplace_back("softmax_rwkv7", With("qwen2", [](ModelConfig& c) {
                        c.set_tmix2("rad_rwkv7");
                        c.set_inv_other_layer_ratio(1.5);
                      }));
  models.emplace_back("llama3_tied", With("llama", [](ModelConfig& c) {
                        c.set_tie_word_embeddings(true);
                        c.mutable_rope()->set_type("llama3");
                        c.mutable_rope()->set_factor(8);
                        c.mutable_rope()->set_original_max_position_embeddings(8192);
                      }));
  return models;
}

absl::Status Write(const std::string& directory, const ModelConfig& config) {
  RADLADS_RETURN_IF_ERROR(MakeDirectories(directory));
  const auto model = RandomModel(config);
  WriteSmallTokenizer(directory);
  RADLADS_RETURN_IF_ERROR(SaveTransformer(*model, directory, at::kFloat, /*tokenizer_from=*/""));

  at::manual_seed(7);
  const at::Tensor ids = at::randint(1, config.vocab_size(), {2, 70}, at::kLong);
  const at::Tensor logits = model->Logits(model->Forward(ids));
  const at::Tensor loss = at::cross_entropy_loss(logits.slice(1, 0, -1).reshape({-1, config.vocab_size()}),
                                                 ids.slice(1, 1).reshape({-1}));
  loss.backward();
  NamedTensors golden = {{"input_ids", ids}, {"logits", logits.detach()}, {"loss", loss.detach()}};
  for (const auto& [name, parameter] : model->NamedParameters()) {
    golden.emplace_back("grad." + name, parameter.grad().defined() ? parameter.grad() : at::zeros_like(parameter));
  }

  at::NoGradGuard no_grad;
  const at::Tensor prompt = ids.slice(0, 0, 1).slice(1, 0, 9).contiguous();
  ModelState state;
  std::vector<at::Tensor> greedy;
  at::Tensor next = prompt;
  for (int i = 0; i < 64; ++i) {
    next = model->Logits(model->Forward(next, &state).slice(1, -1)).argmax(-1);
    greedy.push_back(next);
  }
  golden.emplace_back("prompt", prompt);
  golden.emplace_back("greedy", at::cat(greedy, 1));
  return WriteSafetensors(JoinPath(directory, "golden.safetensors"), golden);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  if (absl::Status status = radlads::BeginProgram(); !status.ok()) return radlads::ExitCode(status);
  if (argc != 2 || argv[1][0] == '-') {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 1;
  }
  for (const auto& [name, config] : radlads::Models()) {
    const absl::Status status = radlads::Write(radlads::JoinPath(argv[1], name), config);
    if (!status.ok()) return radlads::ExitCode(status);
  }
  return 0;
}
