#include "eval/opened_model.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/file.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "data/tokenizer/tokenizer_files.h"
#include "model/checkpoint/gguf.h"
#include "model/precision.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

// Changes when a file of the model does.
std::string FilesOf(const std::string& path) {
  std::vector<std::string> files;
  const auto add = [&](const std::filesystem::path& file) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    const auto time = std::filesystem::last_write_time(file, error).time_since_epoch().count();
    files.push_back(Concatenate(file.filename().string(), " ", size, " ", time));
  };
  if (!IsDirectory(path)) {
    add(path);
  } else {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.is_regular_file()) add(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const std::string& file : files) text += (text.empty() ? "" : ", ") + file;
  return text;
}

// The tokenizer in `named`, or that of the model where it is empty. What ends a text by the files of the model does so with
// either.
absl::StatusOr<std::shared_ptr<const Tokenizer>> OpenTokenizer(const std::string& model, const std::string& named) {
  if (IsDirectory(model)) {
    if (named.empty()) return Tokenizer::Load(model);
    RADLADS_ASSIGN_OR_RETURN(const TokenizerSettings settings, EndsOfModel(model));
    std::vector<int32_t> ends = settings.generation_eos_ids;
    ends.insert(ends.end(), settings.model_eos_ids.begin(), settings.model_eos_ids.end());
    return Tokenizer::Load(named, ends);
  }
  if (!model.ends_with(".gguf")) return Tokenizer::Load(named.empty() ? model : named);  // other weights have none in them
  RADLADS_ASSIGN_OR_RETURN(const auto file, GgufFile::Open(model));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int32_t> ends, EndTokenIdsFromGguf(*file));
  if (!named.empty()) return Tokenizer::Load(named, ends);
  RADLADS_ASSIGN_OR_RETURN(const TokenizerFiles files, TokenizerFilesFromGguf(*file));
  return Tokenizer::FromFiles(files, model, ends);
}

}  // namespace

void AddModelFlags(CLI::App& app, ModelFlags& flags) {
  app.add_option("--model", flags.model, "Hugging Face directory, GGUF file or run.")->required();
  app.add_option("--batch_tokens", flags.batch_tokens, "Tokens that go through the model at once.")
      ->check(AtLeast(1))
      ->capture_default_str();
  app.add_option("--dtype", flags.dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(OneOf({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; default: all cores.")->check(AtLeast(1));
}

absl::StatusOr<OpenedModel> OpenModel(const ModelFlags& flags, const std::string& tokenizer) {
  SetThreads(flags.threads);
  at::set_num_threads(Threads());
  RADLADS_ASSIGN_OR_RETURN(const Precision precision, ChoosePrecision(flags.dtype));
  OpenedModel opened;
  opened.dtype = precision.dtype == at::kBFloat16 ? "bf16" : "fp32";
  Log().info("computing in {}: {}", opened.dtype, precision.reason);
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(flags.model));
  RADLADS_ASSIGN_OR_RETURN(opened.tokenizer, OpenTokenizer(directory, tokenizer));
  RADLADS_ASSIGN_OR_RETURN(opened.model, LoadForInference(directory, precision.dtype));
  opened.identity = Concatenate(std::filesystem::absolute(directory).string(), " (", FilesOf(directory), ") in ",
                                opened.dtype, ", tokenizer ", opened.tokenizer->Hash());
  return opened;
}

}  // namespace radlads
