#include "serve/warm_text.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "data/tokenizer/chat_template.h"

namespace radlads {
namespace {

bool IsSpace(unsigned char c) {
  return std::isspace(c) != 0;
}

// What the chat template writes before the first user's message.
absl::StatusOr<std::string> BeforeQuestion(std::string_view system, const Tokenizer& tokenizer) {
  const std::vector<ChatMessage> messages = {{"system", std::string(system)}, {"user", "radlads-question"}};
  RADLADS_ASSIGN_OR_RETURN(std::string text, ApplyChatTemplate(tokenizer, messages, /*add_generation_prompt=*/false));
  // Some templates cut white space off.
  const auto first = std::find_if_not(system.begin(), system.end(), IsSpace);
  const auto last = std::find_if_not(system.rbegin(), std::make_reverse_iterator(first), IsSpace).base();
  const size_t end = text.rfind(messages[1].content), begin = text.find(std::string_view(first, last));
  if (end == std::string::npos || begin == std::string::npos || begin > end) {
    return InvalidArgument("the chat template writes no system message before the first question");
  }
  text.resize(end);
  return text;
}

// What a text goes on with may change its last tokens: of letters, digits, marks, white space, which merge with what is
// before them in ways of their own.
constexpr const char* kNext[] = {"a",  "s",  "ing", "A",  "1",  ".",    ",",    ":", ")",  "(",  "\"",
                                 "'s", " a", "  ",  "\t", "\n", "\n\n", "\r\n", "é", "你", "。", "\u0301"};

// The tokens of `text` that stay what they are.
std::vector<int32_t> CertainTokens(const std::string& text, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.Encode(text);
  const auto keep_common = [&](const std::string& other) {
    const std::vector<int32_t> others = tokenizer.Encode(other);
    ids.erase(std::mismatch(ids.begin(), ids.end(), others.begin(), others.end()).first, ids.end());
  };
  for (const char* next : kNext) keep_common(text + next);
  // The last word may become any that begins so.
  size_t word = text.size();
  while (word > 0 && std::isalpha(static_cast<unsigned char>(text[word - 1])) != 0) --word;
  for (const char* other : {"q", "Z"}) keep_common(text.substr(0, word) + other);
  return ids;
}

}  // namespace

absl::StatusOr<std::vector<WarmText>> ReadWarmTexts(std::span<const std::string> arguments,
                                                    std::span<const std::string> models) {
  std::vector<WarmText> texts;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    WarmText warm{.path = argument};
    if (equals != std::string::npos) {
      warm.model = argument.substr(0, equals);
      warm.path = argument.substr(equals + 1);
      if (std::find(models.begin(), models.end(), warm.model) == models.end()) {
        return NotFound("--warm ", argument, ": there is no model ", warm.model);
      }
    }
    RADLADS_ASSIGN_OR_RETURN(warm.text, ReadFile(warm.path));
    if (warm.text.ends_with('\n')) warm.text.pop_back();
    if (warm.text.ends_with('\r')) warm.text.pop_back();
    texts.push_back(std::move(warm));
  }
  return texts;
}

absl::StatusOr<std::vector<int64_t>> PromptPrefix(std::string_view text, const Tokenizer& tokenizer) {
  std::string begin(text);
  if (tokenizer.chat_template()) {
    RADLADS_ASSIGN_OR_RETURN(begin, BeforeQuestion(text, tokenizer));
  }
  const std::vector<int32_t> ids = CertainTokens(begin, tokenizer);
  if (ids.empty()) {
    return InvalidArgument("the text of ", begin.size(),
                           " bytes is too short: it has no token that does not depend on what follows it");
  }
  return std::vector<int64_t>(ids.begin(), ids.end());
}

absl::StatusOr<std::vector<std::vector<int64_t>>> PromptPrefixes(std::span<const WarmText> texts,
                                                                 const std::string& model, const Tokenizer& tokenizer) {
  std::vector<std::vector<int64_t>> prefixes;
  for (const WarmText& warm : texts) {
    if (!warm.model.empty() && warm.model != model) continue;
    auto prefix = PromptPrefix(warm.text, tokenizer);
    if (!prefix.ok()) return Annotate(prefix.status(), Concatenate("--warm ", warm.path));
    prefixes.push_back(*std::move(prefix));
  }
  return prefixes;
}

}  // namespace radlads
