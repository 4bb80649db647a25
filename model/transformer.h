// The one language model of the project: embedding, blocks of (time mixer, channel mixer), head. Teacher, student
// and hybrid differ only in the mixers that their layer plan names.
#ifndef RADLADS_MODEL_TRANSFORMER_H_
#define RADLADS_MODEL_TRANSFORMER_H_

#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "configs/config.pb.h"
#include "model/layer_plan.h"
#include "model/linear.h"
#include "model/mixer.h"
#include "model/state.h"

namespace radlads {

// RMSNorm with the weight's Hugging Face name "weight" [C].
class RmsNormLayer : public torch::nn::Module {
 public:
  RmsNormLayer(int64_t width, double eps);
  // x [...,C] -> same shape in `out` dtype.
  Tensor Forward(const Tensor& x, at::ScalarType out);
  // Inference (inference.h), after SetForInference: residual [rows,C] -> y, activations.
  void Infer(const InferencePass& pass, const float* residual, void* y) const;
  void SetForInference() { inference_weight_ = InferenceVector(weight); }
  Tensor weight;

 private:
  double eps_;
  Tensor inference_weight_;
};

// One layer. Submodules: input_layernorm, self_attn, post_attention_layernorm, mlp.
class Block : public torch::nn::Module {
 public:
  Block(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan);

  // What the time mixer reads: the normed residual stream, in the compute dtype.
  Tensor MixerInput(const Tensor& residual, at::ScalarType compute);
  // residual + mixed, then the channel mixer: the residual stream after the layer.
  Tensor Continue(const Tensor& residual, const Tensor& mixed, at::ScalarType compute);
  // Inference (inference.h), after SetForInference: the whole layer, in place.
  void Infer(const InferencePass& pass, LayerState* state, float* residual) const;
  void SetForInference();

  TimeMixer& mixer() { return *self_attn_; }
  const std::string& mixer_name() const { return mixer_name_; }

 private:
  std::string mixer_name_;
  std::shared_ptr<RmsNormLayer> input_layernorm_, post_attention_layernorm_;
  std::shared_ptr<TimeMixer> self_attn_;
  std::shared_ptr<ChannelMixer> mlp_;
};

class Transformer : public torch::nn::Module {
 public:
  // Parameters are allocated in `dtype`, uninitialised. INVALID_ARGUMENT when the config contradicts itself
  // (unknown mixer, heads that do not divide, missing vocab_size, ...).
  static absl::StatusOr<std::shared_ptr<Transformer>> Create(const ModelConfig& config, at::ScalarType dtype = at::kFloat);

  // ids [B,T] int64, on any device -> final normed hidden states [B,T,C] in the compute dtype, on the model's. With
  // `state`, which is there too, continues from it and updates it. Thread-compatible: concurrent calls need different models or no gradients.
  Tensor Forward(const Tensor& ids, ModelState* state = nullptr);
  // hidden [...,C] -> logits [...,W] in fp32 (double for double).
  Tensor Logits(const Tensor& hidden);

  // The pieces of Forward, for stages that look inside.
  Tensor Embed(const Tensor& ids);  // [B,T] -> the residual stream [B,T,C], fp32 (double for double)
  MixContext MakeContext(const Tensor& ids, const ModelState* state) const;
  Block& block(int64_t layer) { return *layers_[layer]; }
  int64_t layers() const { return layers_.size(); }
  Tensor FinalNorm(const Tensor& residual);
  // [W,C]: lm_head.weight, or the embedding when tied: the live parameter, or a quantised weight as new numbers in the
  // compute dtype.
  Tensor HeadWeight() const;

  const ModelConfig& config() const { return config_; }
  // Where the parameters are; Module::to moves them, before SetForInference.
  at::Device device() const { return norm_->weight.device(); }
  // Layer by layer: which time mixer, how wide; for logs.
  std::string PlanDescription() const;

  // Compute dtype of activations. Parameters keep their own. Default: the parameters' dtype.
  void SetComputeDtype(at::ScalarType dtype) { compute_ = dtype; }
  at::ScalarType compute_dtype() const { return compute_; }
  // Cut state and attention before every eos_token_id (config.eos_token_id must be set): the token that ends a document
  // is the first that the next one sees, as in RADLADS' mask.
  void SetResetAtDocument(bool reset) { reset_at_document_ = reset; }
  // In training, no token contributes more than `limit` times the median token to the gradient of the residual stream
  // below a block (token_gradient_limit.h). 0: no limit.
  void SetTokenGradientLimit(double limit) { token_gradient_limit_ = limit; }
  // Recompute each block in the backward pass instead of keeping its activations. Only without `state`.
  void SetCheckpointing(bool on) { checkpointing_ = on; }

  // All parameters by their Hugging Face names ("model.layers.0.self_attn.q_proj.weight", ...); a tied head is
  // not listed, nor are packed weights. The tensors are the live ones.
  std::vector<std::pair<std::string, Tensor>> NamedParameters() const;
  // What can hold packed weights, by the Hugging Face name of the weight; a tied head is the embedding.
  std::map<std::string, Linear*> LinearsByWeight() const;
  // Whether one of them does: the model is for inference only.
  bool HasPackedWeights() const;
  // No parameter learns from now on. On the CPU, in fp32 or bf16 and without resets at documents, Forward then runs as
  // inference.h says, with gradients off, and in fp32 rows of a batch give the same bits whatever the others, and a
  // sequence the same whole and in pieces.
  void SetForInference();

  // Use Create.
  Transformer(const ModelConfig& config, const ModelSizes& sizes, const std::vector<LayerPlan>& plan);

 private:
  const Linear& Head() const;
  bool CanInfer() const;
  Tensor Infer(const Tensor& ids, ModelState* state);
  // The state after the pass.
  void MovePositions(const MixContext& context, int64_t batch, int64_t time, ModelState* state) const;
  Tensor RunBlock(Block& block, const Tensor& residual, MixContext& context, LayerState* state);
  Tensor RunBlockCheckpointed(Block& block, const Tensor& residual, MixContext& context);

  ModelConfig config_;
  ModelSizes sizes_;
  at::ScalarType compute_ = at::kFloat;
  bool reset_at_document_ = false;
  bool checkpointing_ = false;
  bool for_inference_ = false;
  double token_gradient_limit_ = 0;
  std::shared_ptr<Linear> embed_tokens_, lm_head_;  // no lm_head when tied
  std::vector<std::shared_ptr<Block>> layers_;
  std::shared_ptr<RmsNormLayer> norm_;
  Tensor rope_frequencies_;  // in double whatever Module::to makes of the parameters
};

}  // namespace radlads

#endif  // RADLADS_MODEL_TRANSFORMER_H_
