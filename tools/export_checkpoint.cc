// Writes a model in the formats of other software.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/pth.h"
#include "tools/checkpoint.h"
#include "tools/gguf_file.h"
#include "tools/huggingface_directory.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr char kDescription[] =
    "Writes a model for other software. --from is a run of //distill:train or any model that import_checkpoint reads;\n"
    "--to says by its name what is made:\n"
    "  DIRECTORY   a Hugging Face directory that transformers (4.49 and later) loads as it is: config.json, safetensors,\n"
    "              tokenizer, model card, and for students the model code (trust_remote_code=True), which is plain\n"
    "              PyTorch\n"
    "  FILE.gguf   for llama.cpp: llama, qwen2, qwen3, and RAD-RWKV6 as published (rwkv6qwen2). What llama.cpp cannot\n"
    "              run gets an architecture of our own, and the file says why\n"
    "  FILE.pth    a state dict that the Python code of RADLADS loads (train.load_model, generate.py)\n\n"
    "--dtype says how the weights are stored: keep (as they are; quantised ones as fp32, in GGUF in their blocks), fp32,\n"
    "bf16, fp16; in GGUF also q8_0 and q4_0, of the matrices, what is left being fp32.\n\n"
    "Example: bazel run //tools:export_checkpoint -- --from $PWD/out/mine --to $PWD/out/mine-hf --dtype bf16";

struct Flags {
  std::string from, to, dtype = "keep", max_shard_size = "5GB";
  CheckpointDescription description;
  ModelCardSources card;
  bool force = false;
};

absl::Status WritePthFile(const Checkpoint& checkpoint, const std::string& path, const std::string& dtype) {
  std::vector<TensorToWrite> tensors;
  uint64_t total = 0;
  for (const TensorInfo& info : checkpoint.parameters) {
    tensors.push_back(PlainTensor(*checkpoint.tensors, info, PlainDtype(dtype, info)));
    total += c10::multiply_integers(info.shape) * c10::elementSize(tensors.back().dtype);
  }
  Progress progress("exporting", total, "B");
  RADLADS_RETURN_IF_ERROR(WritePth(path, tensors, [&](uint64_t bytes) { progress.Advance(bytes); }));
  progress.Finish();
  return absl::OkStatus();
}

absl::Status Export(Flags flags) {
  std::string to = flags.to;
  while (to.size() > 1 && to.back() == '/') to.pop_back();
  if (flags.card.results.empty() != flags.card.teacher_results.empty()) {
    return InvalidArgument("--results and --teacher_results go together");
  }
  RADLADS_ASSIGN_OR_RETURN(const uint64_t max_shard_bytes, ParseSize(flags.max_shard_size));
  const bool is_gguf = to.ends_with(".gguf"), is_pth = to.ends_with(".pth");
  if (flags.dtype.starts_with("q") && !is_gguf) {
    return InvalidArgument("--dtype ", flags.dtype, " is one of GGUF; for quantised weights that radlads reads, use import_checkpoint");
  }
  RADLADS_RETURN_IF_ERROR(CheckTarget(flags.from, to, is_gguf || is_pth, flags.force));
  RADLADS_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(flags.from, flags.description));
  if (flags.card.title.empty()) flags.card.title = fs::path(to).stem().string();
  if (IsDirectory(flags.from)) {
    const fs::path from = fs::weakly_canonical(flags.from);
    flags.card.run = from.filename() == "final" ? from.parent_path().string() : from.string();
  }
  std::string note;
  if (is_gguf) {
    RADLADS_ASSIGN_OR_RETURN(note, WriteGgufFile(checkpoint, to, flags.dtype, flags.card.title));
  } else if (is_pth) {
    RADLADS_RETURN_IF_ERROR(WritePthFile(checkpoint, to, flags.dtype));
  } else {
    RADLADS_RETURN_IF_ERROR(WriteHuggingFaceDirectory(checkpoint, to, flags.dtype, max_shard_bytes, flags.card));
  }
  std::printf("%s: %s, %zu tensors%s%s\n", to.c_str(), checkpoint.config.tmix().c_str(), checkpoint.parameters.size(),
              note.empty() ? "" : "; ", note.c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  Flags flags;
  CLI::App app(kDescription, "export_checkpoint");
  app.add_option("--from", flags.from, "run, Hugging Face directory, GGUF file or .pth file")->required();
  app.add_option("--to", flags.to, "what to make; it appears whole or not at all")->required();
  app.add_option("--dtype", flags.dtype, "how the weights are stored, see above")
      ->check(OneOf({"keep", "fp32", "bf16", "fp16", "q8_0", "q4_0"}))
      ->capture_default_str();
  app.add_option("--max_shard_size", flags.max_shard_size, "write shards when the weights take more than this")
      ->capture_default_str();
  app.add_option("--config", flags.description.configs,
                 "for weights without a config.json: one, or the recipes of the model (repeatable, later wins)");
  app.add_option("--tokenizer", flags.description.tokenizer, "directory of the tokenizer's files, if not --from");
  app.add_option("--name", flags.card.title, "name of the model; that of --to if not given");
  app.add_option("--base_model", flags.card.base_model, "model card: the teacher's repository on Hugging Face");
  app.add_option("--teacher_results", flags.card.teacher_results, "model card: what //eval:run tasks wrote for the teacher");
  app.add_option("--results", flags.card.results, "model card: what it wrote for this model");
  app.add_flag("--force", flags.force, "replace the model that is in --to");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(Export(std::move(flags)));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) { return radlads::Main(argc, argv); }
