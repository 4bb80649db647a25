#include "data/tokenizer/chat_template.h"

#include <optional>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/jinja.h"
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
                                              bool add_generation_prompt) {
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
    list.emplace_back(JinjaValue::Dict{{"role", JinjaValue(WellFormed(message.role))},
                                       {"content", JinjaValue(WellFormed(message.content))}});
  }
  JinjaValue::Dict variables = {{"messages", JinjaValue(std::move(list))},
                                {"add_generation_prompt", JinjaValue(add_generation_prompt)},
                                {"tools", JinjaValue(nullptr)},
                                {"documents", JinjaValue(nullptr)}};
  const std::pair<const char*, std::optional<int32_t>> named[] = {
      {"bos_token", tokenizer.bos_id()},
      {"eos_token", tokenizer.eos_id()},
      {"pad_token", tokenizer.pad_id()},
      {"unk_token", tokenizer.unk_id()}};
  for (const auto& [name, id] : named) {
    if (id.has_value())
      variables.emplace_back(name, JinjaValue(std::string(*tokenizer.TokenOf(*id))));
  }
  auto text = parsed->Render(variables);
  if (!text.ok()) return Annotate(text.status(), "chat template");
  return text;
}

}  // namespace radlads
