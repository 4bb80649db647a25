// Turns a pretrained model into a Hugging Face directory: config.json, safetensors, tokenizer files.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <optional>

#include "base/file.h"
#include "base/logging.h"
#include "base/program.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/quantized.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"
#include "tools/checkpoint.h"

namespace radlads {
namespace {

constexpr char kDescription[] =
    "Turns a pretrained model into a Hugging Face directory: config.json, model.safetensors, tokenizer files.\n"
    "--from may be a GGUF file of llama.cpp (llama, qwen2, qwen3; any part of a split one) or a Hugging Face directory, a\n"
    "student's too.\n\n"
    "--dtype says how the weights are stored:\n"
    "  keep              as they are: Q8_0, Q4_1 and Q4_0 of GGUF in their blocks, without loss; other quantised "
    "types,\n"
    "                    decoded exactly, as fp32\n"
    "  fp32, bf16, fp16  plain; transformers reads the directory too\n"
    "  q8, q4            the matrices in blocks of 32 with a scale (8.5 bits a weight) or a scale and a minimum (5 "
    "bits,\n"
    "                    embedding and head 8.5): for generation and evaluation. What is in smaller blocks stays so.\n"
    "Quantised weights are read by radlads alone.\n\n"
    "Example: bazel run //tools:import_checkpoint -- --from $(tools/fetch_teacher.sh) --to $PWD/out/teacher";

struct Flags {
  std::string from, to, dtype = "keep", max_shard_size = "5GB";
  CheckpointDescription description;
  bool force = false;
};

// How a tensor is stored: plain, or in blocks.
struct Storage {
  at::ScalarType dtype;
  std::optional<WeightKind> blocks;
};

std::optional<WeightKind> TargetBlocks(const std::string& flag, const TensorInfo& info) {
  if (!CanBeQuantized(info)) return std::nullopt;
  if (flag == "keep") return info.blocks;
  if (flag != "q8" && flag != "q4") return std::nullopt;
  const WeightKind kind = flag == "q8" || IsVocabularyWeight(info.name) ? WeightKind::kQ8 : WeightKind::kQ4;
  return info.blocks && BlockBytes(*info.blocks) < BlockBytes(kind) ? info.blocks : kind;
}

Storage StorageOf(const std::string& flag, const TensorInfo& info) {
  return {PlainDtype(flag, info), TargetBlocks(flag, info)};
}

// `source` must outlive the result.
TensorToWrite ToWrite(const TensorSource& source, const TensorInfo& info, const Storage& storage) {
  if (!storage.blocks) return PlainTensor(source, info, storage.dtype);
  const WeightKind kind = *storage.blocks;
  return {StoredName(info.name, kind), at::kByte, StoredShape(info.shape, kind),
          [&source, &info, kind](int64_t first, int64_t count) -> absl::StatusOr<at::Tensor> {
            if (info.blocks == kind) return source.ReadBlockRows(info.name, first, count);
            RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, source.ReadRows(info.name, first, count));
            const auto blocks = QuantizeTensor(tensor, kind);
            return blocks.ok() ? blocks : Annotate(blocks.status(), info.name);
          }};
}

// As --dtype calls it.
std::string StorageName(const Storage& storage) {
  return storage.blocks ? std::string(WeightKindName(*storage.blocks)) : DtypeName(storage.dtype);
}

absl::Status Import(const Flags& flags) {
  std::string to = flags.to;
  while (to.size() > 1 && to.back() == '/') to.pop_back();
  RADLADS_ASSIGN_OR_RETURN(const uint64_t max_shard_bytes, ParseSize(flags.max_shard_size));
  RADLADS_RETURN_IF_ERROR(CheckTarget(flags.from, to, /*is_file=*/false, flags.force));
  RADLADS_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(flags.from, flags.description));
  const TensorSource& source = *checkpoint.tensors;

  std::vector<TensorToWrite> tensors;
  at::ScalarType plain = at::kFloat;  // what config.json calls torch_dtype: the embedding's
  std::map<std::string, int64_t> parameters_of;
  uint64_t total = 0;
  int64_t parameters = 0;
  for (const TensorInfo& info : checkpoint.parameters) {
    const Storage storage = StorageOf(flags.dtype, info);
    if (info.name == "model.embed_tokens.weight") plain = storage.dtype;
    const int64_t elements = c10::multiply_integers(info.shape);
    parameters += elements;
    parameters_of[StorageName(storage)] += elements;
    tensors.push_back(ToWrite(source, info, storage));
    total += c10::multiply_integers(tensors.back().shape) * c10::elementSize(tensors.back().dtype);
  }
  const bool quantized = parameters_of.contains("q8") || parameters_of.contains("q4");
  RADLADS_RETURN_IF_ERROR(WriteDirectoryAtomically(to, [&](const std::string& directory) -> absl::Status {
    Progress progress("importing", total, "B");
    RADLADS_RETURN_IF_ERROR(WriteShardedSafetensors(directory, std::move(tensors), max_shard_bytes, {},
                                                    [&](uint64_t bytes) { progress.Advance(bytes); }));
    progress.Finish();
    RADLADS_RETURN_IF_ERROR(WriteTokenizerFiles(checkpoint.files, directory));
    return WriteFileAtomically(JoinPath(directory, "config.json"),
                               ModelConfigToJson(checkpoint.config, plain, quantized));
  }));
  std::string dtypes;
  for (const auto& [name, count] : parameters_of)
    dtypes += Concatenate(dtypes.empty() ? "" : " + ", HumanCount(count), " ", name);
  std::printf("%s: %s, %s parameters (%s), %s, %zu tokenizer files\n", to.c_str(), checkpoint.config.tmix().c_str(),
              HumanCount(parameters).c_str(), dtypes.c_str(), HumanCount(total, "B").c_str(), checkpoint.files.size());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (absl::Status status = BeginProgram(); !status.ok()) return ExitCode(status);
  Flags flags;
  CLI::App app(kDescription, "import_checkpoint");
  app.add_option("--from", flags.from, "Hugging Face directory, run, GGUF file or .pth file")->required();
  app.add_option("--to", flags.to, "directory to make; it appears whole or not at all")->required();
  app.add_option("--dtype", flags.dtype, "how the weights are stored, see above")
      ->check(OneOf({"keep", "fp32", "bf16", "fp16", "q8", "q4"}))
      ->capture_default_str();
  app.add_option("--config", flags.description.configs,
                 "for weights without a config.json: one, or the recipes of the model (repeatable, later wins)");
  app.add_option("--tokenizer", flags.description.tokenizer, "directory of the tokenizer's files, taken whatever --from has; ids must fit its embedding");
  app.add_option("--max_shard_size", flags.max_shard_size, "write shards when the weights take more than this")
      ->capture_default_str();
  app.add_flag("--force", flags.force, "replace the model that is in --to");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  return ExitCode(Import(flags));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
