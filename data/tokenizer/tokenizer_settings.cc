#include <nlohmann/json.hpp>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/json_fields.h"
#include "data/tokenizer/tokenizer_json.h"

namespace radlads {
namespace {

using nlohmann::json;
using namespace json_fields;

// "eos_token": null, a string, or an object with "content".
absl::Status ReadNamedToken(const json& root, const char* key, std::optional<std::string>* token) {
  const auto it = root.find(key);
  if (it == root.end() || token->has_value()) return absl::OkStatus();
  const json& content = it->is_object() ? Member(*it, "content") : *it;
  if (content.is_null()) {
    *token = "";
  } else if (content.is_string()) {
    *token = content.get<std::string>();
  } else {
    return InvalidArgument("\"", key, "\" is ", Shortened(*it),
                           ", expected a string or an object with \"content\"");
  }
  return absl::OkStatus();
}

absl::Status ReadNamedTokens(const json& root, TokenizerSettings* settings) {
  RADLADS_RETURN_IF_ERROR(ReadNamedToken(root, "bos_token", &settings->bos_token));
  RADLADS_RETURN_IF_ERROR(ReadNamedToken(root, "eos_token", &settings->eos_token));
  RADLADS_RETURN_IF_ERROR(ReadNamedToken(root, "pad_token", &settings->pad_token));
  return ReadNamedToken(root, "unk_token", &settings->unk_token);
}

// A string, a list of {"name", "template"}, or an object from name to template.
absl::Status ReadChatTemplates(const json& value, TokenizerSettings* settings) {
  std::vector<ChatTemplateSource>& templates = settings->chat_templates;
  if (value.is_null() || !templates.empty()) return absl::OkStatus();
  const auto add = [&](const json& name, const json& source) {
    if (!name.is_string() || !source.is_string()) return false;
    templates.push_back({name.get<std::string>(), source.get<std::string>()});
    return true;
  };
  bool well_formed = true;
  if (value.is_array()) {
    for (const json& item : value) well_formed &= add(Member(item, "name"), Member(item, "template"));
  } else if (value.is_object()) {
    for (const auto& [name, source] : value.items()) well_formed &= add(name, source);
  } else {
    well_formed = add(kDefaultChatTemplate, value);
  }
  if (well_formed) return absl::OkStatus();
  return InvalidArgument("\"chat_template\" is ", Shortened(value),
                         ", expected a string, a list of {\"name\", \"template\"} or an object from name to template");
}

absl::Status ReadConfig(const json& root, TokenizerSettings* settings) {
  RADLADS_RETURN_IF_ERROR(ReadNamedTokens(root, settings));
  RADLADS_RETURN_IF_ERROR(ReadChatTemplates(Member(root, "chat_template"), settings));
  if (const json& name = Member(root, "tokenizer_class"); name.is_string()) settings->tokenizer_class = name.get<std::string>();
  for (const auto& [key, flag] : {std::pair{"add_bos_token", &settings->add_bos_token}, {"add_eos_token", &settings->add_eos_token}}) {
    if (Member(root, key).is_null()) continue;
    RADLADS_ASSIGN_OR_RETURN(*flag, Flag(root, key, std::nullopt, "tokenizer_config.json"));
  }
  const json& added = Member(root, "added_tokens_decoder");
  if (added.is_null()) return absl::OkStatus();
  if (!added.is_object())
    return InvalidArgument("\"added_tokens_decoder\" is ", Shortened(added),
                           ", expected an object");
  for (const auto& [key, value] : added.items()) {
    const json& content = Member(value, "content");
    const bool number =
        !key.empty() && key.size() <= 8 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!number || !content.is_string()) {
      return InvalidArgument("\"added_tokens_decoder\" has \"", key, "\": ", Shortened(value),
                             ", expected an id with an object that has \"content\"");
    }
    settings->added_tokens.push_back(
        {static_cast<int32_t>(std::stol(key)), content.get<std::string>()});
  }
  return absl::OkStatus();
}

// "eos_token_id": null, an id or a list of them.
absl::Status ReadEndIds(const json& root, std::vector<int32_t>* ids) {
  const json& eos = Member(root, "eos_token_id");
  if (eos.is_null()) return absl::OkStatus();
  for (const json& item : eos.is_array() ? eos : json::array({eos})) {
    RADLADS_ASSIGN_OR_RETURN(const int32_t id, Id(item, "eos_token_id"));
    ids->push_back(id);
  }
  return absl::OkStatus();
}

absl::Status ReadGeneration(const json& root, TokenizerSettings* settings) {
  const json& bos = Member(root, "bos_token_id");
  if (!bos.is_null()) {
    RADLADS_ASSIGN_OR_RETURN(settings->generation_bos_id, Id(bos, "bos_token_id"));
  }
  return ReadEndIds(root, &settings->generation_eos_ids);
}

absl::Status ReadModelConfig(const json& root, TokenizerSettings* settings) {
  return ReadEndIds(root, &settings->model_eos_ids);
}

absl::Status ReadChatTemplateFile(const json& root, TokenizerSettings* settings) {
  return ReadChatTemplates(Member(root, "chat_template"), settings);
}

absl::Status ReadWith(std::string_view text, const std::string& name, TokenizerSettings* settings,
                      absl::Status (*read)(const json&, TokenizerSettings*)) {
  auto root = ParseObject(text);
  return Annotate(root.ok() ? read(*root, settings) : root.status(), name);
}

}  // namespace

absl::Status ParseTokenizerConfig(std::string_view text, const std::string& name,
                                  TokenizerSettings* settings) {
  return ReadWith(text, name, settings, ReadConfig);
}

absl::Status ParseSpecialTokensMap(std::string_view text, const std::string& name,
                                   TokenizerSettings* settings) {
  return ReadWith(text, name, settings, ReadNamedTokens);
}

absl::Status ParseGenerationConfig(std::string_view text, const std::string& name,
                                   TokenizerSettings* settings) {
  return ReadWith(text, name, settings, ReadGeneration);
}

absl::Status ParseModelConfig(std::string_view text, const std::string& name, TokenizerSettings* settings) {
  return ReadWith(text, name, settings, ReadModelConfig);
}

absl::Status ParseChatTemplateJson(std::string_view text, const std::string& name, TokenizerSettings* settings) {
  return ReadWith(text, name, settings, ReadChatTemplateFile);
}

}  // namespace radlads
