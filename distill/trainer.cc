#include "distill/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "distill/interrupt.h"
#include "distill/stopwatch.h"

namespace radlads {
namespace {

// The vector's storage as a tensor; it must outlive the tensor.
Tensor AsTensor(std::vector<int64_t>& values, int64_t rows, int64_t ctx) {
  return at::from_blob(values.data(), {rows, ctx}, at::kLong);
}

bool IsFinite(const Tensor& tensor) {
  return std::isfinite(tensor.sum(at::kDouble).item<double>());
}

// Where numbers stop being numbers: a weight, or the first layer whose output is not finite; empty if all is well.
std::string FirstNotFinite(Transformer& model, const Tensor& ids) {
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : model.NamedParameters()) {
    if (!IsFinite(tensor)) return "the weight " + name + " is not finite";
  }
  MixContext context = model.MakeContext(ids, nullptr);
  Tensor residual = model.Embed(ids);
  for (int64_t layer = 0; layer < model.layers(); ++layer) {
    Block& block = model.block(layer);
    const Tensor mixed = block.mixer().Forward(block.MixerInput(residual, model.compute_dtype()), context, nullptr);
    if (!IsFinite(mixed))
      return Concatenate("the time mixer of layer ", layer, " (", block.mixer_name(),
                         ") gives the first value that is not finite");
    residual = block.Continue(residual, mixed, model.compute_dtype());
    if (!IsFinite(residual))
      return Concatenate("the channel mixer of layer ", layer, " gives the first value that is not finite");
  }
  return "";
}

}  // namespace

int64_t GlobalBatch(const TrainConfig& train) {
  return train.devices() * train.num_nodes() * train.micro_bsz() * train.accumulate_grad_batches();
}

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const Config& config, Transformer& student, Stage& stage,
                                                         std::shared_ptr<const Batches> data, RunFiles files,
                                                         std::string tokenizer_from, Validate validate) {
  const TrainConfig& train = config.train();
  const int64_t samples = GlobalBatch(train);
  if (samples <= 0) {
    return InvalidArgument(
        "train.devices, num_nodes, micro_bsz and accumulate_grad_batches must be positive, their product is ", samples);
  }
  const int64_t ctx = data->ctx();
  const int64_t total = train.my_exit_tokens() > 0 ? train.my_exit_tokens() : data->samples_per_pass() * ctx;
  RADLADS_ASSIGN_OR_RETURN(const Schedule schedule, Schedule::Create(train, samples * ctx, total));
  std::unique_ptr<Trainer> trainer(new Trainer(config, student, stage, std::move(data), std::move(files),
                                               std::move(tokenizer_from), std::move(validate), schedule,
                                               samples / train.micro_bsz()));
  RADLADS_RETURN_IF_ERROR(MakeDirectories(trainer->files_.path()));
  RADLADS_RETURN_IF_ERROR(trainer->files_.RemoveLeftovers());
  RADLADS_RETURN_IF_ERROR(trainer->Resume());
  RADLADS_ASSIGN_OR_RETURN(trainer->log_, MetricsLog::Open(trainer->files_.path(), trainer->state_.step));
  return trainer;
}

Trainer::Trainer(const Config& config, Transformer& student, Stage& stage, std::shared_ptr<const Batches> data,
                 RunFiles files, std::string tokenizer_from, Validate validate, Schedule schedule,
                 int64_t micro_batches)
    : config_(config),
      student_(student),
      stage_(stage),
      data_(std::move(data)),
      files_(std::move(files)),
      tokenizer_from_(std::move(tokenizer_from)),
      validate_(std::move(validate)),
      schedule_(std::move(schedule)),
      micro_batches_(micro_batches),
      optimizer_(config.train(), stage.Trainable()) {
  state_.ctx_len = data_->ctx();
  state_.samples_per_pass = data_->samples_per_pass();
}

absl::Status Trainer::Resume() {
  RADLADS_ASSIGN_OR_RETURN(const std::optional<std::string> checkpoint,
                           files_.CheckpointToResume(config_.train().resume()));
  if (!checkpoint) {
    Log().info("resume: nothing to continue in {}, starting at step 0", files_.path());
    return absl::OkStatus();
  }
  RADLADS_ASSIGN_OR_RETURN(const TrainerState state, LoadTrainerState(*checkpoint));
  if (state.ctx_len != state_.ctx_len || state.samples_per_pass != state_.samples_per_pass) {
    return FailedPrecondition(*checkpoint, " was trained with model.ctx_len ", state.ctx_len, " on data of ",
                              state.samples_per_pass, " samples, this run has ", state_.ctx_len, " and ",
                              state_.samples_per_pass,
                              ": give it the same data, or start a new run from it with train.load_model");
  }
  const std::optional<std::string> newest = files_.NewestCheckpoint();
  if (newest) {
    RADLADS_ASSIGN_OR_RETURN(const TrainerState further, LoadTrainerState(*newest));
    if (further.step > state.step) {
      return FailedPrecondition("the run has gone further than ", *checkpoint, ", to ", *newest,
                                ": remove the later checkpoints, or choose another train.proj_suffix");
    }
  }
  RADLADS_RETURN_IF_ERROR(LoadCheckpoint(*checkpoint, student_, optimizer_));
  state_ = state;
  Log().info("resume: continuing from {} (step {} of {}, {} tokens)", *checkpoint, state_.step, total_steps(),
             HumanCount(state_.tokens));
  return absl::OkStatus();
}

absl::Status Trainer::Run() {
  const TrainConfig& train = config_.train();
  InterruptFlag interrupt;
  int64_t saved_step = state_.step;
  if (state_.step == 0) RADLADS_RETURN_IF_ERROR(Score());
  Progress progress(stage_.name(), total_steps() * micro_batches_ * train.micro_bsz() * state_.ctx_len, "tok");
  progress.SkipTo(state_.tokens);
  while (state_.step < total_steps() && interrupt.signal() == nullptr) {
    const int64_t samples_before = state_.next_sample, tokens_before = state_.tokens;
    RADLADS_RETURN_IF_ERROR(Step());
    char note[64];
    std::snprintf(note, sizeof(note), "step %lld loss %.4f", static_cast<long long>(state_.step), state_.last_loss);
    progress.Advance(state_.tokens - tokens_before, note);
    const bool last = state_.step == total_steps();
    if (last || (train.log_every_n_steps() > 0 && state_.step % train.log_every_n_steps() == 0))
      RADLADS_RETURN_IF_ERROR(WriteMetrics());
    if (last || (train.val_check_interval() > 0 && state_.step % train.val_check_interval() == 0))
      RADLADS_RETURN_IF_ERROR(Score());
    if (last || SaveIsDue(samples_before)) {
      RADLADS_RETURN_IF_ERROR(Save());
      saved_step = state_.step;
    }
  }
  progress.Finish();
  if (state_.step == total_steps()) return absl::OkStatus();
  const std::string stopped =
      Concatenate("stopped by ", interrupt.signal(), " after step ", state_.step, " of ", total_steps());
  if (state_.step == 0) return absl::CancelledError(stopped + "; nothing was trained yet");
  if (saved_step != state_.step) RADLADS_RETURN_IF_ERROR(Save());
  return absl::CancelledError(stopped + "; run the same command again to go on from " +
                              files_.CheckpointPath(state_.step));
}

absl::Status Trainer::Step() {
  const TrainConfig& train = config_.train();
  Stopwatch stopwatch;
  double step_loss = 0;
  std::map<std::string, double> parts;
  BatchLoss loss;
  Batch batch;
  for (int64_t micro = 0; micro < micro_batches_; ++micro) {
    RADLADS_RETURN_IF_ERROR(data_->Read(state_.next_sample + micro * train.micro_bsz(), 1, train.micro_bsz(), &batch));
    RADLADS_ASSIGN_OR_RETURN(
        loss, stage_.AccumulateGradients(AsTensor(batch.inputs, batch.rows, batch.ctx),
                                         AsTensor(batch.labels, batch.rows, batch.ctx), 1.0 / micro_batches_));
    if (!std::isfinite(loss.loss)) return BadStep(Concatenate("the loss is ", loss.loss), loss, batch);
    step_loss += loss.loss / micro_batches_;
    for (const auto& [name, value] : loss.parts) parts[name] += value / micro_batches_;
  }
  const AdamW::GradientNorm gradient = optimizer_.Norm();
  if (!std::isfinite(gradient.norm)) {
    return BadStep("the gradient of " +
                       (gradient.first_not_finite.empty() ? "several parameters together" : gradient.first_not_finite) +
                       " is not finite (loss " + std::to_string(step_loss) + ")",
                   loss, batch);
  }
  if (state_.loss.IsSpike(step_loss, train.spike_threshold())) {
    return BadStep(
        Concatenate("the loss jumped to ", step_loss, " from a mean of ", state_.loss.mean, " with deviation ",
                    state_.loss.Deviation(), " (train.spike_threshold ", train.spike_threshold(), ")"),
        loss, batch);
  }
  rates_ = schedule_.At(state_.step);
  // As torch.nn.utils.clip_grad_norm_.
  const double clip =
      train.gradient_clip_val() > 0 ? std::min(1.0, train.gradient_clip_val() / (gradient.norm + 1e-6)) : 1;
  optimizer_.Step(rates_, clip);

  const int64_t samples = micro_batches_ * train.micro_bsz(), tokens = samples * state_.ctx_len;
  state_.step += 1;
  state_.tokens += tokens;
  state_.next_sample += samples;
  state_.loss.Add(step_loss);
  state_.best_loss = state_.step == 1 ? step_loss : std::min(state_.best_loss, step_loss);
  state_.last_loss = step_loss;
  state_.window_steps += 1;
  state_.window["loss"] += step_loss;
  state_.window["grad_norm"] += gradient.norm;
  for (const auto& [name, value] : parts) state_.window[name] += value;
  window_seconds_ += stopwatch.Lap();
  window_tokens_ += tokens;
  return absl::OkStatus();
}

absl::Status Trainer::WriteMetrics() {
  Metrics metrics;
  for (const auto& [name, sum] : state_.window) metrics.emplace_back(name, sum / state_.window_steps);
  metrics.emplace_back("lr", rates_.lr);
  metrics.emplace_back("lr2", rates_.lr2);
  if (config_.train().weight_decay() > 0) metrics.emplace_back("weight_decay", rates_.weight_decay);
  if (window_seconds_ > 0) metrics.emplace_back("tokens_per_second", window_tokens_ / window_seconds_);
  state_.window.clear();
  state_.window_steps = 0;
  window_seconds_ = 0;
  window_tokens_ = 0;
  return log_->Write(state_.step, state_.tokens, metrics);
}

absl::Status Trainer::Score() {
  if (!validate_) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const Metrics metrics, validate_());
  std::string line;
  for (const auto& [name, value] : metrics) {
    if (name.find("perplexity") != std::string::npos) line += Concatenate(line.empty() ? "" : ", ", name, " ", value);
  }
  Log().info("step {}: {}", state_.step, line);
  return log_->Write(state_.step, state_.tokens, metrics);
}

bool Trainer::SaveIsDue(int64_t samples_before) const {
  const TrainConfig& train = config_.train();
  if (train.save_every_n_steps() > 0) return state_.step % train.save_every_n_steps() == 0;
  const int64_t every = train.epoch_save() * kSamplesPerMiniBatch;
  return every > 0 && state_.next_sample / every > samples_before / every;
}

absl::Status Trainer::Save() {
  RADLADS_RETURN_IF_ERROR(
      files_.SaveCheckpoint(state_, student_, optimizer_, tokenizer_from_, config_.train().keep_checkpoints()));
  Log().info("checkpoint: {}", files_.CheckpointPath(state_.step));
  return absl::OkStatus();
}

absl::Status Trainer::BadStep(const std::string& what, const BatchLoss& loss, const Batch& batch) {
  optimizer_.DropGradients();
  const int64_t step = state_.step + 1, samples = micro_batches_ * config_.train().micro_bsz();
  std::string message = Concatenate("step ", step, ": ", what, ".");
  for (const auto& [name, value] : loss.parts) {
    if (std::isfinite(value)) continue;
    message += Concatenate(" The first part of the loss that is not finite is ", name, ".");
    break;
  }
  std::vector<int64_t> inputs = batch.inputs;
  const std::string where = FirstNotFinite(student_, AsTensor(inputs, batch.rows, batch.ctx));
  if (!where.empty()) message += " In the student, " + where + ".";
  message += Concatenate(" The step takes samples ", state_.next_sample, " to ", state_.next_sample + samples - 1,
                         "; those in hand begin at");
  for (int64_t row = 0; row < batch.rows; ++row) {
    message += Concatenate(row == 0 ? " " : "; ", data_->Where(batch.first_sample + row * batch.stride));
  }
  const std::optional<std::string> newest = files_.NewestCheckpoint();
  message += ". Nothing of this step was applied; ";
  message += newest ? "the last good checkpoint is " + *newest : "there is no checkpoint yet";
  message += ". Lower the rate (train.lr_init, lr2_init), clip harder (train.gradient_clip_val) or look at that batch.";
  return absl::OutOfRangeError(message);
}

}  // namespace radlads
