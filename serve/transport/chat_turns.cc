#include "serve/transport/chat_turns.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "serve/transport/chat_text.h"

namespace radlads {
namespace {

// Stand for messages whose text does not matter.
const ChatMessage kQuestion = {"user", "radlads-question"}, kAnswer = {"assistant", "radlads-answer"};

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

// In the order in which they are thought of where a mark may follow several.
constexpr std::array kRoles = {"assistant", "user", "tool", "system"};
constexpr size_t kAssistant = 0, kUser = 1, kAnyRole = kRoles.size();

// What a template writes between a message of one role and one of another, or the beginning of a reply.
struct Mark {
  size_t from, to;  // of kRoles
  std::string text;
};

// What a template writes around messages.
struct Marks {
  std::vector<Mark> between;
  std::vector<Mark> heads;  // before the first message; `from` is kAnyRole
  std::string question;     // before a first question, whatever comes before that: the date, say

  // The first message of a text.
  std::optional<Mark> Head(std::string_view text) const {
    const Mark* longest = nullptr;
    for (const Mark& head : heads) {
      if (text.starts_with(head.text) && (longest == nullptr || head.text.size() > longest->text.size())) {
        longest = &head;
      }
    }
    if (longest != nullptr) return *longest;
    const size_t at = question.empty() ? std::string_view::npos : text.find(question);
    if (at == std::string_view::npos) return std::nullopt;
    return Mark{kAnyRole, kUser, std::string(text.substr(0, at + question.size()))};
  }
};

// The end that two texts have in common.
std::string CommonEnd(std::string_view a, std::string_view b) {
  size_t size = 0;
  while (size < a.size() && size < b.size() && a[a.size() - 1 - size] == b[b.size() - 1 - size]) ++size;
  return std::string(a.substr(a.size() - size));
}

Marks MarksOf(const Tokenizer& tokenizer) {
  Marks marks;
  const auto message = [](size_t role) { return ChatMessage{kRoles[role], Concatenate("radlads-", kRoles[role])}; };
  const ChatMessage next[] = {
      {"assistant", "radlads-next"}, {"user", "radlads-next"}, {"tool", "radlads-next"}, {"system", "radlads-next"}};
  const auto add = [&](size_t from, size_t to, std::string_view text) {
    if (!text.empty()) marks.between.push_back({from, to, std::string(text)});
  };
  for (size_t from = 0; from < kRoles.size(); ++from) {
    std::vector<ChatMessage> before;
    if (from != kUser && from + 1 < kRoles.size()) before.push_back(message(kUser));
    if (kRoles[from] == std::string_view("tool")) before.push_back(message(kAssistant));
    before.push_back(message(from));
    const std::string& said = before.back().content;
    const auto reply = ChatText(before, tokenizer);
    const size_t end = reply.ok() ? reply->rfind(said) : std::string::npos;
    if (end == std::string::npos) continue;
    add(from, kAssistant, std::string_view(*reply).substr(end + said.size()));
    if (before.size() == 1) marks.heads.push_back({kAnyRole, from, reply->substr(0, end)});
    before.emplace_back();
    for (size_t to = 0; to < kRoles.size(); ++to) {
      before.back() = next[to];
      const auto text = ChatText(before, tokenizer, {.end = ChatEnd::kNothing});
      const auto between =
          text.ok() ? Between(*text, before[before.size() - 2].content, next[to].content) : std::nullopt;
      if (between) add(from, to, *between);
    }
  }
  // Two of a role are the last that is thought of.
  std::stable_partition(marks.between.begin(), marks.between.end(),
                        [](const Mark& mark) { return mark.from != mark.to; });
  const auto user = std::find_if(marks.heads.begin(), marks.heads.end(), [](const Mark& m) { return m.to == kUser; });
  if (user == marks.heads.end()) return marks;
  const std::string head = user->text;
  // A system message that cannot be told from a question is taken for that.
  std::erase_if(marks.heads, [&](const Mark& m) { return m.to != kUser && m.text == head; });
  for (const Mark& mark : marks.between) {
    if (mark.from == kAssistant && mark.to == kUser) marks.question = CommonEnd(head, mark.text);
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
  for (const Mark& mark : MarksOf(tokenizer).between) {
    // One that ends right here is the beginning of what follows, too.
    const size_t size = mark.text.size(), begin = byte < size ? 0 : byte - size;
    const size_t found = spelled.text.find(mark.text, begin);
    if (found != std::string::npos && found < byte) byte = found;
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
  const Marks marks = MarksOf(tokenizer);
  const Spelled spelled = Spell(ids, tokenizer);
  const std::string_view text = spelled.text;
  std::vector<ChatTurn> turns;
  size_t at = 0, role = kAnyRole;  // of a part, the role is known by the mark that ends the message
  if (first == 0) {
    const std::optional<Mark> head = marks.Head(text);
    if (!head) return {};
    at = head->text.size();
    role = head->to;
  }
  const auto add = [&](size_t end) {
    turns.push_back(
        {.message = {kRoles[role], std::string(text.substr(at, end - at))}, .tokens = first + spelled.TokensTo(end)});
  };
  std::vector<size_t> places(marks.between.size());  // the first of each from `at` on
  for (size_t i = 0; i < places.size(); ++i) places[i] = text.find(marks.between[i].text, at);
  while (true) {
    // The first that may come here; of those in one place, the longest.
    size_t found = places.size();
    for (size_t i = 0; i < places.size(); ++i) {
      const Mark& mark = marks.between[i];
      if (places[i] != std::string_view::npos && places[i] < at) places[i] = text.find(mark.text, at);
      if (places[i] == std::string_view::npos || (role != kAnyRole && mark.from != role)) continue;
      if (found == places.size() || places[i] < places[found] ||
          (places[i] == places[found] && mark.text.size() > marks.between[found].text.size())) {
        found = i;
      }
    }
    if (found == places.size()) break;
    const bool continues = role == kAnyRole;
    role = continues ? marks.between[found].from : role;
    // A part may begin with a mark.
    if (!continues || places[found] > 0) {
      add(places[found]);
      turns.back().continues = continues;
    }
    at = places[found] + marks.between[found].text.size();
    role = marks.between[found].to;
  }
  if (role == kAnyRole) return {};  // there is no mark
  // The last turn, perhaps with the first part of its mark.
  size_t part = 0;
  for (const Mark& mark : marks.between) {
    if (mark.from != role) continue;
    for (size_t size = std::min(mark.text.size(), text.size() - at); size > part; --size) {
      if (text.ends_with(std::string_view(mark.text).substr(0, size))) part = size;
    }
  }
  if (part < text.size() - at) add(text.size() - part);
  return turns;
}

}  // namespace radlads
