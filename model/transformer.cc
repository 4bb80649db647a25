#include "model/transformer.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <utility>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rms_norm/rms_norm_cpu.h"
#include "model/activation_checkpoint.h"
#include "model/layer_plan.h"
#include "model/registry.h"
#include "model/rope_tables.h"
#include "model/token_gradient_limit.h"

namespace radlads {
namespace {

at::ScalarType WideDtype(at::ScalarType compute) { return compute == at::kDouble ? at::kDouble : at::kFloat; }

// Parameters are made in torch's default dtype; this makes that `dtype` for a scope.
class DefaultDtype {
 public:
  explicit DefaultDtype(at::ScalarType dtype) : before_(torch::get_default_dtype()) {
    torch::set_default_dtype(c10::scalarTypeToTypeMeta(dtype));
  }
  ~DefaultDtype() { torch::set_default_dtype(before_); }

 private:
  caffe2::TypeMeta before_;
};

}  // namespace

RmsNormLayer::RmsNormLayer(int64_t width, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::ones({width}));
}

Tensor RmsNormLayer::Forward(const Tensor& x, at::ScalarType out) { return RmsNorm(x, weight, eps_, out); }

void RmsNormLayer::Infer(const InferencePass& pass, const float* residual, void* y) const {
  RmsNormForwardCpu({.rows = pass.rows(),
                     .width = inference_weight_.numel(),
                     .x = residual,
                     .weight = Floats(inference_weight_),
                     .eps = static_cast<float>(eps_),
                     .x_bf16 = false,
                     .y_bf16 = pass.bf16},
                    y);
}

Block::Block(const ModelConfig& config, const ModelSizes& sizes, const LayerPlan& plan) : mixer_name_(plan.time_mixer) {
  input_layernorm_ = register_module("input_layernorm", std::make_shared<RmsNormLayer>(sizes.width, config.rms_norm_eps()));
  self_attn_ = register_module("self_attn", MakeTimeMixer(config, sizes, plan));
  post_attention_layernorm_ =
      register_module("post_attention_layernorm", std::make_shared<RmsNormLayer>(sizes.width, config.rms_norm_eps()));
  mlp_ = register_module("mlp", MakeChannelMixer(config, sizes, plan));
}

Tensor Block::MixerInput(const Tensor& residual, at::ScalarType compute) {
  return input_layernorm_->Forward(residual, compute);
}

Tensor Block::Continue(const Tensor& residual, const Tensor& mixed, at::ScalarType compute) {
  Tensor x = residual + mixed;
  return x + mlp_->Forward(post_attention_layernorm_->Forward(x, compute));
}

void Block::SetForInference() {
  input_layernorm_->SetForInference();
  post_attention_layernorm_->SetForInference();
  self_attn_->SetForInference();
}

void Block::Infer(const InferencePass& pass, LayerState* state, float* residual) const {
  const SharedMemory x(pass.Bytes(input_layernorm_->weight.numel()));
  input_layernorm_->Infer(pass, residual, x.data());
  self_attn_->Infer(pass, x.data(), state, residual);
  post_attention_layernorm_->Infer(pass, residual, x.data());
  mlp_->Infer(pass, x.data(), residual);
}

absl::StatusOr<std::shared_ptr<Transformer>> Transformer::Create(const ModelConfig& config, at::ScalarType dtype) {
  RADLADS_ASSIGN_OR_RETURN(const ModelSizes sizes, ResolveSizes(config));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<LayerPlan> plan, PlanLayers(config));
  RADLADS_RETURN_IF_ERROR(CheckRope(config.rope()));
  DefaultDtype guard(dtype);
  auto model = std::make_shared<Transformer>(config, sizes, plan);
  model->compute_ = dtype;
  return model;
}

Transformer::Transformer(const ModelConfig& config, const ModelSizes& sizes, const std::vector<LayerPlan>& plan)
    : config_(WithSizes(config, sizes)), sizes_(sizes) {
  embed_tokens_ = register_module("embed_tokens", std::make_shared<Linear>(sizes.width, config.vocab_size(), false));
  for (const LayerPlan& layer : plan) {
    layers_.push_back(register_module("layer" + std::to_string(layer.layer), std::make_shared<Block>(config, sizes, layer)));
  }
  rope_frequencies_ = RopeFrequencies(config_.rope(), sizes.head_dim);
  norm_ = register_module("norm", std::make_shared<RmsNormLayer>(sizes.width, config.rms_norm_eps()));
  if (!config.tie_word_embeddings()) {
    lm_head_ = register_module("lm_head", std::make_shared<Linear>(sizes.width, config.vocab_size(), false));
  }
}

Tensor Transformer::Embed(const Tensor& ids) { return embed_tokens_->Rows(ids).to(WideDtype(compute_)); }

Tensor Transformer::FinalNorm(const Tensor& residual) { return norm_->Forward(residual, compute_); }

const Linear& Transformer::Head() const { return lm_head_ ? *lm_head_ : *embed_tokens_; }

Tensor Transformer::HeadWeight() const { return Head().Weight(compute_); }

Tensor Transformer::Logits(const Tensor& hidden) {
  return Head().Forward(hidden, WideDtype(compute_));
}

MixContext Transformer::MakeContext(const Tensor& ids, const ModelState* state) const {
  const int64_t batch = ids.size(0), time = ids.size(1);
  const bool carried = state != nullptr && !state->empty();
  const auto integers = at::TensorOptions(at::kLong).device(device());
  Tensor start = carried ? state->position : at::zeros({batch}, integers);
  MixContext context;
  Tensor positions;  // [T] or [B,T]
  if (reset_at_document_) {
    context.reset = ids.cpu().eq(config_.eos_token_id());
    positions = at::empty({batch, time}, at::kLong);
    context.document = at::empty({batch, time}, at::kLong);
    auto reset = context.reset.accessor<bool, 2>();
    auto position = positions.accessor<int64_t, 2>();
    auto document = context.document.accessor<int64_t, 2>();
    const Tensor begun = carried ? state->document : at::zeros({batch}, integers);
    for (int64_t b = 0; b < batch; ++b) {
      int64_t next = start[b].item<int64_t>(), number = begun[b].item<int64_t>();
      for (int64_t t = 0; t < time; ++t) {
        if (reset[b][t]) {
          next = 0;
          ++number;
        }
        position[b][t] = next++;
        document[b][t] = number;
      }
    }
    context.reset = context.reset.to(device());
    context.document = context.document.to(device());
    positions = positions.to(device());
  } else {
    const Tensor offsets = at::arange(time, integers);
    // To look at the positions would be to wait for the device.
    const bool together = batch == 1 || (device().is_cpu() && start.eq(start[0]).all().item<bool>());
    positions = together ? offsets + start[0] : start.unsqueeze(1) + offsets;
  }
  if (state != nullptr && state->tokens.defined()) {
    RADLADS_CHECK(!reset_at_document_) << "rows of different lengths are not cut at documents";
    context.lengths = state->tokens + time;
  }
  auto [cos, sin] = RopeTables(config_.rope(), rope_frequencies_.to(device()), positions.reshape({-1}), WideDtype(compute_));
  std::vector<int64_t> shape = positions.sizes().vec();
  shape.push_back(sizes_.head_dim);
  context.cos = cos.view(shape);
  context.sin = sin.view(shape);
  return context;
}

Tensor Transformer::Forward(const Tensor& given, ModelState* state) {
  RADLADS_CHECK(given.dim() == 2 && given.scalar_type() == at::kLong) << "ids must be [B,T] int64, found " << given.sizes();
  const Tensor ids = given.to(device());
  RADLADS_CHECK(state == nullptr || state->empty() || state->batch() == ids.size(0))
      << "the state has " << state->batch() << " rows, the ids " << ids.size(0);
  if (state != nullptr && state->layers.empty()) state->layers.resize(layers_.size());
  if (CanInfer()) return Infer(ids, state);
  MixContext context = MakeContext(ids, state);
  Tensor residual = Embed(ids);
  const bool checkpoint = checkpointing_ && state == nullptr && at::GradMode::is_enabled();
  const bool limit = token_gradient_limit_ > 0 && at::GradMode::is_enabled();
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (limit) residual = LimitTokenGradient(residual, token_gradient_limit_);
    residual = checkpoint ? RunBlockCheckpointed(*layers_[i], residual, context)
                          : RunBlock(*layers_[i], residual, context, state ? &state->layers[i] : nullptr);
  }
  if (state != nullptr) MovePositions(context, ids.size(0), ids.size(1), state);
  return FinalNorm(residual);
}

void Transformer::MovePositions(const MixContext& context, int64_t batch, int64_t time, ModelState* state) const {
  const auto integers = at::TensorOptions(at::kLong).device(device());
  if (context.lengths.defined()) state->tokens = context.lengths;
  const Tensor before = state->position.defined() ? state->position : at::zeros({batch}, integers);
  if (!context.document.defined()) {
    state->position = before + time;
    if (!state->document.defined()) state->document = at::zeros({batch}, integers);
    return;
  }
  state->document = context.document.select(1, time - 1).clone();
  // The next position of a row follows from where its current document began.
  const Tensor since = context.reset.flip({1}).to(at::kLong).argmax(1);  // tokens after the last reset
  state->position = at::where(context.reset.any(1), since + 1, before + time);
}

bool Transformer::CanInfer() const {
  return for_inference_ && !at::GradMode::is_enabled() && device().is_cpu() && norm_->weight.scalar_type() != at::kDouble &&
         !reset_at_document_ && (compute_ == at::kFloat || compute_ == at::kBFloat16);
}

Tensor Transformer::Infer(const Tensor& ids, ModelState* state) {
  const int64_t batch = ids.size(0), time = ids.size(1), width = sizes_.width;
  const MixContext context = MakeContext(ids, state);
  ModelState fresh(layers_.size());
  std::vector<LayerState>& carried = state != nullptr ? state->layers : fresh.layers;
  const int64_t longer = context.lengths.defined() ? 0 : time;
  for (size_t i = 0; i < layers_.size(); ++i) layers_[i]->mixer().MakeRoom(batch, longer, compute_, &carried[i]);
  const Tensor list = ids.contiguous(), cos = context.cos.contiguous(), sin = context.sin.contiguous();
  const Tensor hidden = at::empty({batch, time, width}, compute_);
  void* const to = hidden.mutable_data_ptr();
  RunTeam([&] {
    const SharedMemory residual(batch * time * width * sizeof(float));
    const SharedMemory v_first(batch * time * sizes_.attention * sizeof(float));
    const InferencePass pass = {.batch = batch,
                                .time = time,
                                .bf16 = compute_ == at::kBFloat16,
                                .cos = Floats(cos),
                                .sin = Floats(sin),
                                .tables_per_batch = cos.dim() == 3,
                                .lengths = context.lengths.defined() ? context.lengths.const_data_ptr<int64_t>() : nullptr,
                                .v_first = v_first.floats()};
    ParallelFor(pass.rows(), 16, [&](int64_t first, int64_t last) {
      const int64_t* id = list.const_data_ptr<int64_t>();
      for (int64_t row = first; row < last; ++row) {
        embed_tokens_->matrix().Read(id[row], 1, residual.floats() + row * width, /*bf16=*/false);
      }
    });
    for (size_t i = 0; i < layers_.size(); ++i) layers_[i]->Infer(pass, &carried[i], residual.floats());
    norm_->Infer(pass, residual.floats(), to);
  });
  if (state != nullptr) MovePositions(context, batch, time, state);
  return hidden;
}

Tensor Transformer::RunBlock(Block& block, const Tensor& residual, MixContext& context, LayerState* state) {
  Tensor mixed = block.mixer().Forward(block.MixerInput(residual, compute_), context, state);
  return block.Continue(residual, mixed, compute_);
}

Tensor Transformer::RunBlockCheckpointed(Block& block, const Tensor& residual, MixContext& context) {
  // v_first is an input of most blocks and an output of the first: it goes through the checkpoint like the residual
  // stream, so that its gradient does too.
  MixContext shared = context;
  shared.v_first = Tensor();
  shared.runs_again = true;
  const bool has_v_first = context.v_first.defined();
  auto part = [this, &block, shared, has_v_first](const std::vector<Tensor>& inputs) {
    MixContext mine = shared;
    if (has_v_first) mine.v_first = inputs[1];
    std::vector<Tensor> outputs = {RunBlock(block, inputs[0], mine, nullptr)};
    if (!has_v_first && mine.v_first.defined()) outputs.push_back(mine.v_first);
    return outputs;
  };
  std::vector<Tensor> inputs = {residual.requires_grad() ? residual : residual.detach().requires_grad_()};
  if (has_v_first) inputs.push_back(context.v_first);
  std::vector<Tensor> outputs = RunCheckpointed(part, inputs);
  if (outputs.size() > 1) context.v_first = outputs[1];
  return outputs[0];
}

std::string Transformer::PlanDescription() const {
  std::string text = Concatenate(config_.n_layer(), " layers of width ", sizes_.width, ", ", sizes_.heads, " heads of ",
                                 sizes_.head_dim, " (", sizes_.kv_heads, " for keys and values), vocabulary ",
                                 config_.vocab_size(), config_.tie_word_embeddings() ? ", tied head:" : ":");
  for (size_t first = 0; first < layers_.size();) {
    size_t last = first;
    while (last + 1 < layers_.size() && layers_[last + 1]->mixer_name() == layers_[first]->mixer_name()) ++last;
    text += Concatenate("\n  layer", first == last ? " " : "s ", first);
    if (last > first) text += Concatenate("-", last);
    text += ": " + layers_[first]->mixer_name() + " + swiglu";
    first = last + 1;
  }
  return text;
}

std::vector<std::pair<std::string, Tensor>> Transformer::NamedParameters() const {
  std::vector<std::pair<std::string, Tensor>> parameters;
  if (embed_tokens_->weight.defined()) parameters.emplace_back("model.embed_tokens.weight", embed_tokens_->weight);
  for (size_t i = 0; i < layers_.size(); ++i) {
    for (const auto& item : layers_[i]->named_parameters()) {
      parameters.emplace_back(Concatenate("model.layers.", i, ".", item.key()), item.value());
    }
  }
  parameters.emplace_back("model.norm.weight", norm_->weight);
  if (lm_head_ && lm_head_->weight.defined()) parameters.emplace_back("lm_head.weight", lm_head_->weight);
  return parameters;
}

std::map<std::string, Linear*> Transformer::LinearsByWeight() const {
  std::map<std::string, Linear*> linears = {{"model.embed_tokens.weight", embed_tokens_.get()}};
  if (lm_head_) linears["lm_head.weight"] = lm_head_.get();
  for (size_t i = 0; i < layers_.size(); ++i) {
    for (const auto& item : layers_[i]->named_modules()) {
      auto* linear = dynamic_cast<Linear*>(item.value().get());
      if (linear != nullptr) linears[Concatenate("model.layers.", i, ".", item.key(), ".weight")] = linear;
    }
  }
  return linears;
}

void Transformer::SetForInference() {
  for (const auto& [name, parameter] : NamedParameters()) parameter.set_requires_grad(false);
  for (const auto& [name, linear] : LinearsByWeight()) linear->SetForInference();
  for (const auto& layer : layers_) layer->SetForInference();
  norm_->SetForInference();
  rope_frequencies_ = rope_frequencies_.to(device());
  for_inference_ = true;
}

bool Transformer::HasPackedWeights() const {
  for (const auto& [name, linear] : LinearsByWeight()) {
    if (linear->packed()) return true;
  }
  return false;
}

}  // namespace radlads
