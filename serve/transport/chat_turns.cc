#include "serve/transport/chat_turns.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "serve/transport/chat_text.h"

namespace radlads {
namespace {

// Stand for messages whose text does not matter.
const ChatMessage kQuestion = {"user", "radlads-question"}, kAnswer = {"assistant", "radlads-answer"},
                  kNextQuestion = {"user", "radlads-next"}, kSystem = {"system", "radlads-system"};

bool IsBlank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isspace(c) != 0; });
}

// The text between two that stand in `text` in this order.
std::optional<std::string_view> Between(std::string_view text, std::string_view first, std::string_view second) {
  const size_t begin = text.find(first);
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t end = text.find(second, begin + first.size());
  if (end == std::string_view::npos) return std::nullopt;
  return text.substr(begin + first.size(), end - begin - first.size());
}

// What a template writes around messages.
struct Marks {
  std::string to_user, to_answer;  // between an answer and the next question, between a question and its answer
  std::string question;            // before the first question, whatever comes before that
  std::string before_system, after_system;
};

std::optional<Marks> MarksOf(const Tokenizer& tokenizer) {
  const auto text = ChatText(std::vector{kQuestion, kAnswer, kNextQuestion}, tokenizer);
  if (!text.ok()) return std::nullopt;
  const auto to_user = Between(*text, kAnswer.content, kNextQuestion.content);
  const size_t first = text->find(kQuestion.content), last = text->find(kNextQuestion.content);
  if (!to_user || to_user->empty() || first == std::string::npos) return std::nullopt;
  Marks marks{.to_user = std::string(*to_user), .to_answer = text->substr(last + kNextQuestion.content.size())};
  if (marks.to_answer.empty()) return std::nullopt;
  const std::string_view head = std::string_view(*text).substr(0, first);
  size_t common = 0;
  while (common < head.size() && common < to_user->size() &&
         head[head.size() - 1 - common] == (*to_user)[to_user->size() - 1 - common]) {
    ++common;
  }
  marks.question = std::string(head.substr(head.size() - common));
  const auto with_system = ChatText(std::vector{kSystem, kQuestion}, tokenizer);
  if (with_system.ok()) {
    if (const auto after = Between(*with_system, kSystem.content, kQuestion.content)) {
      marks.before_system = with_system->substr(0, with_system->find(kSystem.content));
      marks.after_system = std::string(*after);
    }
  }
  return marks;
}

// Bytes of a text and where its tokens end in them.
struct Spelled {
  std::string text;
  std::vector<size_t> ends;

  // Tokens whose end is not after `byte`.
  int64_t TokensTo(size_t byte) const { return std::upper_bound(ends.begin(), ends.end(), byte) - ends.begin(); }
};

Spelled Spell(std::span<const int64_t> ids, const Tokenizer& tokenizer) {
  Spelled spelled;
  for (const int64_t id : ids) {
    spelled.text += tokenizer.BytesOf(static_cast<int32_t>(id)).value_or("");
    spelled.ends.push_back(spelled.text.size());
  }
  return spelled;
}

}  // namespace

absl::StatusOr<NextTurn> ContinueChat(std::span<const ChatMessage> messages, const Tokenizer& tokenizer,
                                      const ChatOptions& options) {
  std::vector<ChatMessage> all = {kQuestion, kAnswer};
  all.insert(all.end(), messages.begin(), messages.end());
  RADLADS_ASSIGN_OR_RETURN(const std::string whole, ChatText(all, tokenizer, options));
  RADLADS_RETURN_IF_ERROR(CheckChat(all, tokenizer, options, /*before=*/2));
  // The first turn had these variables, or none: some templates write them at the beginning, some after each question.
  std::string past;
  for (const JinjaValue::Dict& variables : {JinjaValue::Dict(), options.variables}) {
    RADLADS_ASSIGN_OR_RETURN(past, ChatText(std::span(&kQuestion, 1), tokenizer, {.variables = variables}));
    past += kAnswer.content;
    if (whole.starts_with(past)) break;
  }
  if (!whole.starts_with(past)) {
    return InvalidArgument(
        "the chat template of this model writes earlier turns anew after these messages, so that a kept text cannot go "
        "on with them; send the whole conversation without session_id and previous_response_id, or plain text to "
        "/v1/completions");
  }
  NextTurn next;
  for (const int32_t id : tokenizer.Encode(std::string_view(whole).substr(past.size()))) next.ids.push_back(id);
  for (size_t i = 0; i < next.ids.size(); ++i) {
    const int32_t id = static_cast<int32_t>(next.ids[i]);
    const auto& stops = tokenizer.stop_ids();
    if (tokenizer.IsSpecial(id) || std::find(stops.begin(), stops.end(), id) != stops.end()) {
      next.reply_end = i + 1;
      break;
    }
    if (!IsBlank(tokenizer.BytesOf(id).value_or("-"))) break;
  }
  return next;
}

int64_t PartBegin(std::span<const int64_t> ids, int64_t place, const Tokenizer& tokenizer) {
  const Spelled spelled = Spell(ids, tokenizer);
  size_t byte = place == 0 ? 0 : spelled.ends[place - 1];
  if (const std::optional<Marks> marks = MarksOf(tokenizer)) {
    for (const std::string& mark : {marks->to_user, marks->to_answer}) {
      // One that ends right here is the beginning of what follows, too.
      const size_t begin = byte < mark.size() ? 0 : byte - mark.size(), found = spelled.text.find(mark, begin);
      if (found != std::string::npos && found < byte) byte = found;
    }
  }
  while (byte > 0 && byte < spelled.text.size() && (spelled.text[byte] & 0xC0) == 0x80) --byte;
  return spelled.TokensTo(byte);
}

absl::Status SetChatPrompt(std::span<const ChatMessage> messages, const ServedModel& model, const ChatOptions& options,
                           TextRequest* text) {
  bool begun = !text->snapshot.empty();
  if (!text->session.empty()) {
    RADLADS_ASSIGN_OR_RETURN(const SessionInfo session, model.service->GetSession(text->session));
    begun = session.tokens > 0;
  }
  if (begun && messages.empty()) return absl::OkStatus();
  if (begun) {
    RADLADS_ASSIGN_OR_RETURN(NextTurn turn, ContinueChat(messages, *model.tokenizer, options));
    text->prompt = std::move(turn.ids);
    text->reply_end = turn.reply_end;
  } else if (!messages.empty()) {
    RADLADS_ASSIGN_OR_RETURN(text->prompt, RenderChat(messages, *model.tokenizer, options));
  } else {
    return InvalidArgument("messages must be one or more {\"role\", \"content\"}, found an empty list");
  }
  if (text->prompt.empty()) return InvalidArgument("the text of messages has no token");
  return absl::OkStatus();
}

std::vector<ChatTurn> SplitChat(std::span<const int64_t> ids, const Tokenizer& tokenizer, int64_t first) {
  const std::optional<Marks> marks = MarksOf(tokenizer);
  if (!marks) return {};
  const Spelled spelled = Spell(ids, tokenizer);
  const std::string_view text = spelled.text;
  std::vector<ChatTurn> turns;
  const auto add = [&](const char* role, size_t begin, size_t end) {
    turns.push_back(
        {.message = {role, std::string(text.substr(begin, end - begin))}, .tokens = first + spelled.TokensTo(end)});
  };
  size_t at = 0;
  bool user = true;
  if (first == 0) {
    at = text.find(marks->question);
    if (at == std::string_view::npos) return {};
    at += marks->question.size();
    if (const std::string_view head = text.substr(0, at);
        head.size() > marks->before_system.size() + marks->after_system.size() &&
        head.starts_with(marks->before_system) && head.ends_with(marks->after_system)) {
      add("system", marks->before_system.size(), head.size() - marks->after_system.size());
    }
  } else {
    // What comes first is the rest of the turn that ends with the first mark.
    const size_t answer = text.find(marks->to_answer), question = text.find(marks->to_user);
    if (answer == question) return {};  // neither is there
    user = answer < question;
  }
  for (;; user = !user) {
    const std::string& mark = user ? marks->to_answer : marks->to_user;
    const size_t end = text.find(mark, at);
    if (end != std::string_view::npos) {
      // A part may begin with a mark.
      if (first == 0 || end > 0) add(user ? "user" : "assistant", at, end);
      if (first > 0 && at == 0 && end > 0) turns.back().continues = true;
      at = end + mark.size();
      continue;
    }
    // The last turn, perhaps with the first part of its mark.
    size_t part = std::min(mark.size(), text.size() - at);
    while (part > 0 && !text.ends_with(std::string_view(mark).substr(0, part))) --part;
    if (part < text.size() - at) add(user ? "user" : "assistant", at, text.size() - part);
    return turns;
  }
}

}  // namespace radlads
