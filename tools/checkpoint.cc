#include "tools/checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "configs/loader.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/match_tensors.h"
#include "model/pretrained.h"
#include "model/transformer.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr char kGenerationConfig[] = "generation_config.json";

struct ReadConfigResult {
  ModelConfig config;
  std::vector<int32_t> ends;  // all end tokens that a config.json names
};

absl::StatusOr<ReadConfigResult> ReadConfig(const std::vector<std::string>& paths) {
  ReadConfigResult result;
  if (paths.size() == 1 && paths[0].ends_with(".json")) {
    RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(paths[0]));
    RADLADS_ASSIGN_OR_RETURN(result.config, ModelConfigFromJson(text, paths[0]));
    TokenizerSettings settings;
    RADLADS_RETURN_IF_ERROR(ParseModelConfig(text, paths[0], &settings));
    result.ends = settings.model_eos_ids;
    return result;
  }
  Config config;
  for (const std::string& path : paths) RADLADS_RETURN_IF_ERROR(MergeFile(path, config));
  result.config = config.model();
  return result;
}

// The files of the tokenizer: those of `named` where that is set, else what `own` gives. `ends`, which the model names
// besides, end its texts too.
absl::Status ReadTokenizer(const std::string& named, const std::function<absl::StatusOr<TokenizerFiles>()>& own,
                           const std::vector<int32_t>& ends, Checkpoint& checkpoint) {
  if (named.empty()) {
    RADLADS_ASSIGN_OR_RETURN(checkpoint.files, own());
  } else {
    RADLADS_ASSIGN_OR_RETURN(checkpoint.files, TokenizerFilesToCopy(named));
    if (checkpoint.files.empty()) return NotFound("no tokenizer.json nor any other file of a tokenizer in ", named);
    // Which says more of the model than of its tokenizer.
    if (FindTokenizerFile(checkpoint.files, kGenerationConfig) == nullptr) {
      const auto files = own();
      const std::string* generation = files.ok() ? FindTokenizerFile(*files, kGenerationConfig) : nullptr;
      if (generation != nullptr) checkpoint.files.emplace_back(kGenerationConfig, *generation);
    }
  }
  // A single one stands in config.json.
  return ends.size() > 1 ? AddEndTokenIds(ends, &checkpoint.files) : absl::OkStatus();
}

absl::Status ReadGguf(const CheckpointDescription& description, Checkpoint& checkpoint) {
  RADLADS_ASSIGN_OR_RETURN(auto opened, GgufFile::Open(checkpoint.path));
  const std::shared_ptr<const GgufFile> file = std::move(opened);
  RADLADS_ASSIGN_OR_RETURN(checkpoint.config, ModelConfigFromGguf(*file));
  RADLADS_ASSIGN_OR_RETURN(checkpoint.tensors, OpenGgufAsHuggingFace(file));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int32_t> ends, EndTokenIdsFromGguf(*file));
  return ReadTokenizer(description.tokenizer, [&] { return TokenizerFilesFromGguf(*file); }, ends, checkpoint);
}

// A directory, or a file of weights with a config beside it.
absl::Status ReadWeights(const CheckpointDescription& description, Checkpoint& checkpoint) {
  RADLADS_ASSIGN_OR_RETURN(checkpoint.tensors, OpenTensors(checkpoint.path));
  const fs::path path = checkpoint.path;
  const std::string directory = IsDirectory(path) ? path.string() : path.has_parent_path() ? path.parent_path().string() : ".";
  std::vector<std::string> configs = description.configs;
  if (configs.empty()) {
    configs = {JoinPath(directory, "config.json")};
    if (!FileExists(configs[0])) {
      return NotFound(checkpoint.path, " does not say which model it is, and there is no ", configs[0],
                      "; name a config.json, or the recipes that it was trained with, with --config");
    }
  }
  RADLADS_ASSIGN_OR_RETURN(ReadConfigResult read, ReadConfig(configs));
  checkpoint.config = std::move(read.config);
  return ReadTokenizer(description.tokenizer, [&] { return TokenizerFilesToCopy(directory); }, read.ends, checkpoint);
}

// transformers 4 gives some classes of tokenizers a post-processor of their own.
absl::Status WarnOfOlderTransformers(const TokenizerFiles& files, const TokenizerSpec& spec) {
  RADLADS_ASSIGN_OR_RETURN(const TokenizerSettings settings, ParseTokenizerSettings(files, ""));
  const std::string& name = settings.tokenizer_class;
  if (!name.starts_with("LlamaTokenizer") && !name.starts_with("GemmaTokenizer") && !name.starts_with("CohereTokenizer")) {
    return absl::OkStatus();
  }
  const bool bos = settings.add_bos_token.value_or(true), eos = settings.add_eos_token.value_or(false);
  if (bos == !spec.prefix.empty() && eos == !spec.suffix.empty()) return absl::OkStatus();
  const auto said = [](bool bos, bool eos) { return bos && eos ? "BOS and EOS" : bos ? "a BOS" : eos ? "an EOS" : "nothing"; };
  Log().warn("tokenizer.json puts {} around a text, which radlads and transformers 5 follow; transformers 4 puts {} there, as "
             "tokenizer_config.json names the class {} with add_bos_token {} and add_eos_token {}",
             said(!spec.prefix.empty(), !spec.suffix.empty()), said(bos, eos), name, bos, eos);
  return absl::OkStatus();
}

// Compares the ids of tokenizer.json with the rows of the embedding. What is no tokenizer of ours is not looked at.
absl::Status CompareWithEmbedding(const Checkpoint& checkpoint, const std::string& named) {
  const std::string* text = FindTokenizerFile(checkpoint.files, "tokenizer.json");
  if (text == nullptr) return absl::OkStatus();
  const std::string& from = named.empty() ? checkpoint.path : named;
  const auto spec = ParseTokenizerJson(*text, JoinPath(from, "tokenizer.json"));
  if (absl::IsUnimplemented(spec.status())) return absl::OkStatus();
  if (!spec.ok() && !named.empty()) return spec.status();
  if (!spec.ok()) {
    Log().warn("copied as it is, but not read by radlads: {}; --tokenizer DIRECTORY takes other files", std::string(spec.status().message()));
    return absl::OkStatus();
  }
  RADLADS_RETURN_IF_ERROR(WarnOfOlderTransformers(checkpoint.files, *spec));
  const int64_t rows = checkpoint.config.vocab_size(), ids = static_cast<int64_t>(spec->tokens.size());
  if (ids <= rows) return absl::OkStatus();
  int64_t model_ids = 0;  // one more than the largest that text without added tokens may get
  for (int64_t id = 0; id < ids; ++id) {
    if (spec->in_model[id]) model_ids = id + 1;
  }
  if (!named.empty() && model_ids > rows) {
    return InvalidArgument("the tokenizer in ", named, " has ", model_ids, " ids, but the embedding of ", checkpoint.path, " has ", rows,
                           " rows; they are not of one model");
  }
  Log().warn("the tokenizer in {} has {} ids, but the embedding has {} rows: {} without a row end with an error where a text has them", from,
             ids, rows, model_ids > rows ? "ids" : "added tokens");
  return absl::OkStatus();
}

bool IsGguf(const std::string& path) {
  const auto file = MappedFile::Open(path);
  if (!file.ok() || (*file)->bytes().size() < 4) return false;
  return std::string_view(reinterpret_cast<const char*>((*file)->bytes().data()), 4) == "GGUF";
}

}  // namespace

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& path, const CheckpointDescription& description) {
  Checkpoint checkpoint;
  RADLADS_ASSIGN_OR_RETURN(checkpoint.path, ResolveModelDirectory(path));
  if (!IsDirectory(checkpoint.path) && IsGguf(checkpoint.path)) {
    RADLADS_RETURN_IF_ERROR(ReadGguf(description, checkpoint));
  } else {
    RADLADS_RETURN_IF_ERROR(ReadWeights(description, checkpoint));
  }
  // Says which tensors there are. Its parameters are never touched, so they take no memory.
  RADLADS_ASSIGN_OR_RETURN(const auto model, Transformer::Create(checkpoint.config, at::kBFloat16));
  checkpoint.config = model->config();
  std::vector<NamedShape> shapes;
  for (const auto& [name, parameter] : model->NamedParameters()) shapes.push_back({name, parameter.sizes().vec()});
  RADLADS_ASSIGN_OR_RETURN(checkpoint.parameters, MatchTensors(checkpoint.path, shapes, checkpoint.config.tie_word_embeddings(),
                                                               *checkpoint.tensors));
  std::map<std::string_view, size_t> place;
  for (size_t i = 0; i < shapes.size(); ++i) place[shapes[i].name] = i;
  std::sort(checkpoint.parameters.begin(), checkpoint.parameters.end(),
            [&](const TensorInfo& a, const TensorInfo& b) { return place[a.name] < place[b.name]; });
  RADLADS_RETURN_IF_ERROR(CompareWithEmbedding(checkpoint, description.tokenizer));
  return checkpoint;
}

absl::Status CheckTarget(const std::string& from, const std::string& to, bool is_file, bool force) {
  std::error_code error;
  if (!fs::exists(to, error)) return absl::OkStatus();
  if (is_file) {
    if (fs::is_directory(to, error)) return FailedPrecondition(to, " is a directory; --to names a file");
    if (!force) return FailedPrecondition(to, " is there already; name another file, or replace it with --force");
    if (fs::equivalent(from, to, error)) return FailedPrecondition(to, " is what is read; name another file");
    return absl::OkStatus();
  }
  if (!fs::is_directory(to, error)) return FailedPrecondition(to, " is a file; --to names a directory");
  if (fs::is_empty(to, error)) return absl::OkStatus();
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

at::ScalarType PlainDtype(std::string_view flag, const TensorInfo& info) {
  // GGUF's plain types have the names of safetensors; quantised ones decode to fp32.
  const at::ScalarType stored = SafetensorsDtype(info.dtype).value_or(at::kFloat);
  if (!at::isFloatingType(stored)) return stored;
  return flag == "fp32" ? at::kFloat : flag == "bf16" ? at::kBFloat16 : flag == "fp16" ? at::kHalf : stored;
}

TensorToWrite PlainTensor(const TensorSource& source, const TensorInfo& info, at::ScalarType dtype) {
  return {info.name, dtype, info.shape, [&source, name = info.name](int64_t first, int64_t count) { return source.ReadRows(name, first, count); }};
}

std::string DtypeName(at::ScalarType dtype) {
  return dtype == at::kFloat      ? "fp32"
         : dtype == at::kBFloat16 ? "bf16"
         : dtype == at::kHalf     ? "fp16"
                                  : c10::toString(dtype);
}

absl::StatusOr<uint64_t> ParseSize(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit = end;
  while (!unit.empty() && unit.front() == ' ') unit.erase(0, 1);
  for (char& c : unit) c = std::toupper(c);
  double factor = 0;
  for (const auto& [name, bytes] : {std::pair{"", 1.0}, {"B", 1.0}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KIB", 1024.0},
                                    {"MIB", 1048576.0}, {"GIB", 1073741824.0}}) {
    if (unit == name) factor = bytes;
  }
  if (end == text.c_str() || factor == 0 || !(number * factor >= 1) || !(number * factor < 9e18)) {
    return InvalidArgument("'", text, "' is not a size; expected a number with B, KB, MB, GB, KiB, MiB or GiB, as in 5GB");
  }
  return static_cast<uint64_t>(number * factor);
}

}  // namespace radlads
