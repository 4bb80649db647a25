// How fast a stage trains: SmolLM2-135M's shape into RAD-RWKV7 on random tokens, beside the machine's own GEMM rate
// measured in the same run. FLOPs are counted as the PyTorch version of the recipe counts them, so the two compare.
//   bazel run //distill:train_benchmark -- [--stage 1] [--dtype bf16] [--batch 2] [--ctx 512] [--steps 5]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "distill/caching_allocator.h"
#include "distill/optimizer.h"
#include "model/precision.h"
#include "distill/stage.h"
#include "distill/stopwatch.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

struct Options {
  std::vector<int> stages = {1, 2};
  std::vector<std::string> dtypes = {"fp32", "bf16"};
  int64_t batch = 2, ctx = 512, steps = 4, layers = 30;
  int threads = 0;
  bool malloc = false;
};

ModelConfig SmolLm2(int64_t layers) {
  ModelConfig config;
  config.set_tmix("llama");
  config.set_n_layer(layers);
  config.set_n_embd(576);
  config.set_dim_ffn(1536);
  config.set_head_size(64);
  config.set_num_key_value_heads(3);
  config.set_vocab_size(49152);
  config.set_tie_word_embeddings(true);
  config.set_rms_norm_eps(1e-5);
  config.mutable_rope()->set_base(1e5);
  return config;
}

// Best rate of y = x W^T in GFLOP/s at the shape of the channel mixer.
double GemmRate(at::ScalarType dtype, int64_t rows) {
  const at::Tensor x = at::randn({rows, 576}).to(dtype), weight = at::randn({1536, 576}).to(dtype);
  double best = 1e9;
  for (int repeat = 0; repeat < 60; ++repeat) {
    Stopwatch stopwatch;
    at::linear(x, weight);
    best = std::min(best, stopwatch.Lap());
  }
  return 2.0 * rows * 576 * 1536 / best * 1e-9;
}

// Matrices of a block's part, in parameters.
double Matrices(Transformer& model, const std::string& part) {
  double count = 0;
  for (const auto& [name, tensor] : model.NamedParameters()) {
    if (name.find("layers.1." + part) != std::string::npos && tensor.dim() > 1) count += tensor.numel();
  }
  return count;
}

// Teacher forward 2 FLOPs a parameter, learning ones 6, causal attention, recurrence 3 * 9 D^2 a head; stage 2 adds the
// MLP's backward and both heads.
double FlopsPerToken(int stage, Transformer& teacher, Transformer& student, int64_t ctx) {
  const double attention = Matrices(teacher, "self_attn."), mlp = Matrices(teacher, "mlp."),
               mixer = Matrices(student, "self_attn.");
  const double layer =
      2 * (attention + mlp) + 2.0 * ctx * 576 + 6 * (mixer + (stage == 1 ? 0 : mlp)) + 27.0 * 64 * 64 * 9;
  return layer * student.layers() + (stage == 1 ? 0 : 8.0 * 49152 * 576);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

absl::Status Measure(const Options& options, int stage_number, const std::string& precision,
                     const ModelConfig& student_config) {
  RADLADS_ASSIGN_OR_RETURN(const Precision chosen, ChoosePrecision(precision));
  RADLADS_ASSIGN_OR_RETURN(auto teacher, CreateRandom(SmolLm2(options.layers), 1));
  RADLADS_ASSIGN_OR_RETURN(const ModelConfig full, StudentConfig(student_config, SmolLm2(options.layers)));
  RADLADS_ASSIGN_OR_RETURN(auto student, CreateStudent(full, *teacher, 2));
  teacher->to(chosen.dtype);
  teacher->SetComputeDtype(chosen.dtype);
  ReleaseCachedMemory();
  student->SetComputeDtype(chosen.dtype);
  for (const auto& [name, tensor] : teacher->NamedParameters()) tensor.set_requires_grad(false);
  Config config;
  config.mutable_train()->set_attention_distillation_stage(stage_number);
  config.mutable_train()->mutable_teacher()->set_kl_weight(1);
  config.mutable_train()->mutable_teacher()->set_ce_weight(0);
  RADLADS_ASSIGN_OR_RETURN(auto stage, CreateStage(config, *student, teacher.get()));
  AdamW optimizer(config.train(), stage->Trainable());

  const int64_t tokens = options.batch * options.ctx;
  const at::Tensor ids = at::randint(0, 49152, {options.batch, options.ctx}, at::kLong);
  std::vector<double> step, teacher_time, student_time, loss, backward, optimizer_time, processor;
  for (int64_t i = 0; i <= options.steps; ++i) {
    Stopwatch whole, part;
    const std::clock_t clock = std::clock();
    RADLADS_ASSIGN_OR_RETURN(const BatchLoss ignored, stage->AccumulateGradients(ids, ids, 1));
    part.Lap();
    optimizer.Norm();
    optimizer.Step({.lr = 1e-4, .lr2 = 1e-4, .weight_decay = 0}, 1);
    if (i == 0) continue;  // allocations and caches
    optimizer_time.push_back(part.Lap());
    step.push_back(whole.Lap());
    processor.push_back(static_cast<double>(std::clock() - clock) / CLOCKS_PER_SEC);
    teacher_time.push_back(stage->times().teacher);
    student_time.push_back(stage->times().student);
    loss.push_back(stage->times().loss);
    backward.push_back(stage->times().backward);
  }
  const double best = *std::min_element(step.begin(), step.end());
  const double gflops = FlopsPerToken(stage_number, *teacher, *student, options.ctx) * tokens / best * 1e-9;
  const double gemm = GemmRate(chosen.dtype, tokens);
  std::printf("%5d %5s %9.0f %9.0f %8.0f %8.0f %6.0f%% | %8.0f %8.0f %8.0f %8.0f %8.0f | %8.0f\n", stage_number,
              precision.c_str(), tokens / best, tokens / Median(step), gflops, gemm, 100 * gflops / gemm,
              1e3 * Median(teacher_time), 1e3 * Median(student_time), 1e3 * Median(loss), 1e3 * Median(backward),
              1e3 * Median(optimizer_time), 1e3 * Median(processor));
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status Benchmark(const Options& options) {
  if (!options.malloc) InstallCachingAllocator();
  SetThreads(options.threads);
  at::set_num_threads(Threads());
  PinThreads();
  ModelConfig student;
  student.set_tmix("rad_rwkv7");
  student.set_gate_rank_type(2);
  student.set_balance_state(false);
  student.set_lora_rank_decay(32);
  student.set_lora_rank_iclr(32);
  student.set_lora_rank_value_residual_mix(32);
  student.set_lora_rank_gate(96);
  std::printf("SmolLM2-135M into RAD-RWKV7, %lld x %lld tokens a step, %lld layers, %d threads\n",
              static_cast<long long>(options.batch), static_cast<long long>(options.ctx),
              static_cast<long long>(options.layers), Threads());
  std::printf(
      "stage dtype     tok/s  (median)  GFLOP/s GEMM rate  share | teacher  student     loss backward    adamw | cpu "
      "(ms)\n");
  for (const std::string& dtype : options.dtypes) {
    for (int stage : options.stages) RADLADS_RETURN_IF_ERROR(Measure(options, stage, dtype, student));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  if (absl::Status status = radlads::BeginProgram(); !status.ok()) return radlads::ExitCode(status);
  radlads::Options options;
  CLI::App app("Training speed of stages 1 and 2 in tokens per second, and the share of the machine's GEMM rate.");
  app.add_option("--stage", options.stages, "1, 2, or both");
  app.add_option("--dtype", options.dtypes, "fp32, bf16, or both");
  app.add_option("--batch", options.batch, "rows of a batch")->capture_default_str();
  app.add_option("--ctx", options.ctx, "tokens of a row")->capture_default_str();
  app.add_option("--steps", options.steps, "timed steps, after one that is not")->capture_default_str();
  app.add_option("--layers", options.layers, "layers of both models, at least 2")
      ->capture_default_str()
      ->check(radlads::InRange(2, 1000));
  app.add_option("--threads", options.threads, "0: all cores")->capture_default_str();
  app.add_flag("--malloc", options.malloc, "large tensors from malloc instead of the caching allocator");
  if (const auto exit_code = radlads::ParseFlags(app, argc, argv)) return *exit_code;
  return radlads::ExitCode(radlads::Benchmark(options));
}
