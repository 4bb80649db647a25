#include "data/tokenizer/chat_template.h"

#include <optional>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/jinja.h"
#include "data/tokenizer/jinja_lexer.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

std::string WellFormed(const std::string& text) {
  if (IsValidUtf8(text)) return text;
  std::string result;
  AppendUtf8Lossy(text, /*final=*/true, &result);
  return result;
}

}  // namespace

absl::StatusOr<std::string> ApplyChatTemplate(const Tokenizer& tokenizer,
                                              std::span<const ChatMessage> messages,
                                              bool add_generation_prompt,
                                              const JinjaValue::Dict& variables) {
  if (!tokenizer.chat_template().has_value() && !tokenizer.chat_template_names().empty()) {
    std::string names;
    for (const std::string& name : tokenizer.chat_template_names()) names += (names.empty() ? "" : ", ") + name;
    return FailedPrecondition("the tokenizer has chat templates named ", names, ", but none named \"", kDefaultChatTemplate,
                              "\"; name the one that is meant so in its tokenizer_config.json, or make a chat_template.jinja of it");
  }
  if (!tokenizer.chat_template().has_value()) {
    return FailedPrecondition(
        "the tokenizer has no chat template (chat_template in tokenizer_config.json, or ",
        "chat_template.jinja); give the model a plain prompt, or use an instruct model");
  }
  const auto parsed = JinjaTemplate::Parse(WellFormed(*tokenizer.chat_template()));
  if (!parsed.ok()) return Annotate(parsed.status(), "chat template");

  JinjaValue::List list;
  for (const ChatMessage& message : messages) {
    JinjaValue::Dict keys = {{"role", JinjaValue(WellFormed(message.role))},
                             {"content", JinjaValue(WellFormed(message.content))}};
    if (!message.name.empty()) keys.emplace_back("name", JinjaValue(WellFormed(message.name)));
    if (!message.reasoning_content.empty()) {
      keys.emplace_back("reasoning_content", JinjaValue(WellFormed(message.reasoning_content)));
    }
    list.emplace_back(std::move(keys));
  }
  JinjaValue::Dict all = variables;
  all.emplace_back("messages", JinjaValue(std::move(list)));
  all.emplace_back("add_generation_prompt", JinjaValue(add_generation_prompt));
  all.emplace_back("tools", JinjaValue(nullptr));
  all.emplace_back("documents", JinjaValue(nullptr));
  const std::pair<const char*, std::optional<int32_t>> named[] = {
      {"bos_token", tokenizer.bos_id()},
      {"eos_token", tokenizer.eos_id()},
      {"pad_token", tokenizer.pad_id()},
      {"unk_token", tokenizer.unk_id()}};
  for (const auto& [name, id] : named) {
    if (id.has_value())
      all.emplace_back(name, JinjaValue(std::string(*tokenizer.TokenOf(*id))));
  }
  auto text = parsed->Render(all);
  if (!text.ok()) return Annotate(text.status(), "chat template");
  return text;
}

bool ChatTemplateReads(const Tokenizer& tokenizer, std::string_view name) {
  if (!tokenizer.chat_template().has_value()) return false;
  const auto tokens = TokenizeJinja(WellFormed(*tokenizer.chat_template()), JinjaWhitespace());
  if (!tokens.ok()) return false;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const JinjaToken& token = (*tokens)[i];
    const bool attribute = i > 0 && (*tokens)[i - 1].text == ".";
    if (token.kind == JinjaToken::Kind::kName && token.text == name && !attribute) return true;
  }
  return false;
}

}  // namespace radlads
