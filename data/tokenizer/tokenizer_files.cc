#include "data/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr const char* kNames[] = {"tokenizer.json",         "tokenizer_config.json", "special_tokens_map.json",
                                  "generation_config.json", "added_tokens.json",     "vocab.json",
                                  "merges.txt",             "chat_template.jinja",   "chat_template.json"};
constexpr char kGenerationConfig[] = "generation_config.json";
constexpr char kTemplates[] = "additional_chat_templates";

// The name of a file, and what reads it.
using Reader = std::pair<const char*, absl::Status (*)(std::string_view, const std::string&, TokenizerSettings*)>;

// Names of templates beside the default one, within `directory`.
absl::StatusOr<std::vector<std::string>> AdditionalTemplates(const std::string& directory) {
  std::vector<std::string> names;
  const std::string templates = JoinPath(directory, kTemplates);
  if (!IsDirectory(templates)) return names;
  std::error_code error;
  for (fs::directory_iterator entry(templates, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".jinja") names.push_back(JoinPath(kTemplates, entry->path().filename().string()));
  }
  if (error) return InvalidArgument(templates, ": ", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const std::string& directory) {
  std::vector<std::string> names(std::begin(kNames), std::end(kNames));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<std::string> templates, AdditionalTemplates(directory));
  names.insert(names.end(), templates.begin(), templates.end());
  TokenizerFiles files;
  for (const std::string& name : names) {
    const std::string file = JoinPath(directory, name);
    if (!FileExists(file)) continue;
    RADLADS_ASSIGN_OR_RETURN(std::string contents, ReadFile(file));
    files.emplace_back(name, std::move(contents));
  }
  return files;
}

absl::StatusOr<TokenizerSettings> EndsOfModel(const std::string& directory) {
  TokenizerSettings settings;
  const Reader readers[] = {{kGenerationConfig, ParseGenerationConfig}, {"config.json", ParseModelConfig}};
  for (const auto& [name, parse] : readers) {
    const std::string file = JoinPath(directory, name);
    if (!FileExists(file)) continue;
    RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    RADLADS_RETURN_IF_ERROR(parse(text, file, &settings));
  }
  return settings;
}

absl::StatusOr<TokenizerFiles> TokenizerFilesToCopy(const std::string& directory) {
  RADLADS_ASSIGN_OR_RETURN(TokenizerFiles files, ReadTokenizerFiles(directory));
  RADLADS_ASSIGN_OR_RETURN(const TokenizerSettings settings, EndsOfModel(directory));
  if (settings.model_eos_ids.size() > 1) RADLADS_RETURN_IF_ERROR(AddEndTokenIds(settings.model_eos_ids, &files));
  return files;
}

absl::Status WriteTokenizerFiles(const TokenizerFiles& files, const std::string& directory) {
  for (const auto& [name, contents] : files) {
    const std::string file = JoinPath(directory, name);
    RADLADS_RETURN_IF_ERROR(MakeDirectories(fs::path(file).parent_path().string()));
    RADLADS_RETURN_IF_ERROR(WriteFileAtomically(file, contents));
  }
  return absl::OkStatus();
}

const std::string* FindTokenizerFile(const TokenizerFiles& files, std::string_view name) {
  const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.first == name; });
  return found == files.end() ? nullptr : &found->second;
}

absl::StatusOr<TokenizerSettings> ParseTokenizerSettings(const TokenizerFiles& files, const std::string& directory) {
  TokenizerSettings settings;
  // Files of templates count before those in JSON, as in transformers.
  if (const std::string* source = FindTokenizerFile(files, "chat_template.jinja")) {
    settings.chat_templates.push_back({kDefaultChatTemplate, *source});
  }
  for (const auto& [name, source] : files) {
    const fs::path path = name;
    if (path.parent_path() == kTemplates) settings.chat_templates.push_back({path.stem().string(), source});
  }
  const Reader readers[] = {
      {"tokenizer_config.json", ParseTokenizerConfig},
      {"special_tokens_map.json", ParseSpecialTokensMap},
      {kGenerationConfig, ParseGenerationConfig},
      {"chat_template.json", ParseChatTemplateJson}};
  for (const auto& [name, parse] : readers) {
    const std::string* text = FindTokenizerFile(files, name);
    if (text == nullptr) continue;
    RADLADS_RETURN_IF_ERROR(parse(*text, directory.empty() ? name : JoinPath(directory, name), &settings));
  }
  return settings;
}

absl::Status AddEndTokenIds(const std::vector<int32_t>& ids, TokenizerFiles* files) {
  auto file = std::find_if(files->begin(), files->end(), [](const auto& entry) { return entry.first == kGenerationConfig; });
  ordered_json generation = {{"_from_model_config", true}};
  TokenizerSettings settings;
  if (file != files->end()) {
    RADLADS_RETURN_IF_ERROR(ParseGenerationConfig(file->second, kGenerationConfig, &settings));
    RADLADS_ASSIGN_OR_RETURN(generation, ParseOrderedJson(file->second, {.where = kGenerationConfig, .python_numbers = true}));
  }
  std::vector<int32_t> all = settings.generation_eos_ids;
  for (const int32_t id : ids) {
    if (std::find(all.begin(), all.end(), id) == all.end()) all.push_back(id);
  }
  if (all.size() == settings.generation_eos_ids.size()) return absl::OkStatus();
  generation["eos_token_id"] = all.size() == 1 ? ordered_json(all[0]) : ordered_json(all);
  if (file == files->end()) file = files->insert(files->end(), {kGenerationConfig, ""});
  file->second = generation.dump(2) + "\n";
  return absl::OkStatus();
}

}  // namespace radlads
