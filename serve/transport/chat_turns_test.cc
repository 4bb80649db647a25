#include "serve/transport/chat_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "serve/transport/chat_text.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

struct Family {
  std::string tokenizer, chat_template, end;  // the token that ends a reply
  std::string begin;                          // of a text
};

class ChatTurnsTest : public ::testing::TestWithParam<Family> {
 protected:
  void SetUp() override {
    const std::string directory = ::testing::TempDir() + "/tokenizer", data = "data/tokenizer/testdata/";
    ASSERT_TRUE(MakeDirectories(directory).ok());
    const auto copy = [&](const std::string& from, const std::string& to) {
      auto text = ReadFile(data + from);
      RADLADS_CHECK(text.ok()) << text.status();
      RADLADS_CHECK(WriteFileAtomically(directory + "/" + to, *text).ok());
    };
    copy(GetParam().tokenizer + "/tokenizer.json", "tokenizer.json");
    copy("templates/" + GetParam().chat_template, "chat_template.jinja");
    RADLADS_CHECK(WriteFileAtomically(
                      directory + "/tokenizer_config.json",
                      Concatenate("{\"eos_token\":\"", GetParam().end, "\",\"bos_token\":\"", GetParam().begin, "\"}"))
                      .ok());
    auto tokenizer = Tokenizer::Load(directory);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *tokenizer;
  }

  std::vector<int64_t> Encode(const std::string& text) const {
    const std::vector<int32_t> ids = tokenizer_->Encode(text);
    return {ids.begin(), ids.end()};
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
};

// A text that grows turn by turn has the tokens of the whole conversation, whether a reply ended by itself or was cut.
TEST_P(ChatTurnsTest, TurnByTurnIsTheWhole) {
  const std::vector<ChatMessage> conversation = {{"system", "Be brief."},   {"user", "Hello"},
                                                 {"assistant", "Hi! 你好"}, {"user", "Count to three:\n1"},
                                                 {"assistant", "2\n3 {x}"}, {"user", "Why?"}};
  for (const bool with_system : {true, false}) {
    for (const bool cut : {true, false}) {
      const size_t begin = with_system ? 0 : 1;
      std::vector<ChatMessage> said(conversation.begin() + begin, conversation.begin() + 2);
      auto text = RenderChat(said, *tokenizer_);
      ASSERT_TRUE(text.ok()) << text.status();
      for (size_t i = 2; i + 1 < conversation.size(); i += 2) {
        const std::vector<int64_t> reply = Encode(conversation[i].content);
        text->insert(text->end(), reply.begin(), reply.end());
        if (!cut) text->push_back(*tokenizer_->IdOf(GetParam().end));
        const auto next = ContinueChat(std::span(&conversation[i + 1], 1), *tokenizer_);
        ASSERT_TRUE(next.ok()) << next.status();
        ASSERT_GT(next->reply_end, 0);
        const bool ended = text->back() == next->ids[next->reply_end - 1];
        text->insert(text->end(), next->ids.begin() + (ended ? next->reply_end : 0), next->ids.end());
        said.insert(said.end(), {conversation[i], conversation[i + 1]});
        const auto whole = RenderChat(said, *tokenizer_);
        ASSERT_TRUE(whole.ok()) << whole.status();
        EXPECT_EQ(*text, *whole) << GetParam().chat_template << " after turn " << i << (cut ? ", cut" : "");
      }
    }
  }
}

TEST_P(ChatTurnsTest, TurnsAreFoundAgain) {
  const std::vector<ChatMessage> conversation = {
      {"system", "Be brief."}, {"user", "Hello"}, {"assistant", "Hi! 你好"}, {"user", "Why?"}, {"assistant", "So."}};
  for (const char* end : {"", GetParam().end.c_str()}) {
    auto text = RenderChat(std::span(conversation).first(4), *tokenizer_);
    ASSERT_TRUE(text.ok()) << text.status();
    const size_t asked = text->size();
    for (const int64_t id : Encode(std::string("So.") + end)) text->push_back(id);
    const std::vector<ChatTurn> turns = SplitChat(*text, *tokenizer_);
    ASSERT_EQ(turns.size(), conversation.size());
    for (size_t i = 0; i < turns.size(); ++i) {
      EXPECT_EQ(turns[i].message.role, conversation[i].role);
      EXPECT_EQ(turns[i].message.content, conversation[i].content);
    }
    EXPECT_EQ(turns.back().tokens, static_cast<int64_t>(asked + Encode("So.").size()));
  }
}

// Roles may come in any order; what the template writes by itself is no turn.
TEST_P(ChatTurnsTest, TurnsOfAnyOrderAreFoundAgain) {
  const std::vector<std::vector<ChatMessage>> conversations = {
      {{"user", "q"}, {"system", "mid"}, {"user", "z"}},
      {{"user", "q"}, {"user", "and"}, {"assistant", "a"}, {"system", "late"}},
      {{"system", "only"}},
      {{"user", "q"}},
      {{"system", "s"}, {"assistant", "first"}, {"user", "z"}}};
  for (const std::vector<ChatMessage>& conversation : conversations) {
    const auto text = RenderChat(conversation, *tokenizer_);
    ASSERT_TRUE(text.ok()) << text.status();
    const std::vector<ChatTurn> turns = SplitChat(*text, *tokenizer_);
    ASSERT_EQ(turns.size(), conversation.size()) << *ChatText(conversation, *tokenizer_);
    for (size_t i = 0; i < turns.size(); ++i) {
      EXPECT_EQ(turns[i].message.role, conversation[i].role);
      EXPECT_EQ(turns[i].message.content, conversation[i].content);
    }
  }
}

// Whatever a text is cut into, its parts have its turns: those that continue join what they continue.
TEST_P(ChatTurnsTest, PartsOfATextHaveItsTurns) {
  const std::vector<ChatMessage> conversation = {{"system", "Be brief."},     {"user", "Hello\n\nthere"},
                                                 {"assistant", "Hi! 你好 😀"}, {"user", "Why?\n"},
                                                 {"assistant", "So."},        {"user", "And then"}};
  const auto text = RenderChat(conversation, *tokenizer_);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto size = static_cast<int64_t>(text->size());
  const auto from = [&](int64_t first) { return std::span(*text).subspan(first); };
  const std::vector<ChatTurn> whole = SplitChat(*text, *tokenizer_);
  ASSERT_GE(whole.size(), 5u);
  for (int64_t place = 1; place < size; ++place) {
    const int64_t cut = PartBegin(*text, place, *tokenizer_);
    ASSERT_LE(cut, place);
    EXPECT_GT(cut, place - 16) << place;
    if (cut == 0) continue;
    std::vector<ChatTurn> turns = SplitChat(std::span(*text).first(cut), *tokenizer_);
    for (ChatTurn& turn : SplitChat(from(cut), *tokenizer_, cut)) {
      if (turn.continues && !turns.empty()) {
        // The mark after a system message is that after an answer.
        if (cut > whole[0].tokens) EXPECT_EQ(turns.back().message.role, turn.message.role) << place;
        turns.back().message.content += turn.message.content;
        turns.back().tokens = turn.tokens;
      } else {
        turns.push_back(std::move(turn));
      }
    }
    // Of a part in which no turn ends, nothing is known.
    if (cut >= whole[whole.size() - 2].tokens || cut <= whole[0].tokens) continue;
    ASSERT_EQ(turns.size(), whole.size()) << place;
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_EQ(turns[i].message.role, whole[i].message.role) << place;
      EXPECT_EQ(turns[i].message.content, whole[i].message.content) << place;
      EXPECT_EQ(turns[i].tokens, whole[i].tokens) << place;
    }
  }
  EXPECT_TRUE(SplitChat(from(size - 2), *tokenizer_, size - 2).empty());
}

INSTANTIATE_TEST_SUITE_P(Templates, ChatTurnsTest,
                         ::testing::Values(Family{"qwen2", "qwen2.5.jinja", "<|im_end|>", "<|endoftext|>"},
                                           Family{"qwen2", "qwen3.jinja", "<|im_end|>", "<|endoftext|>"},
                                           Family{"llama3", "llama3.jinja", "<|eot_id|>", "<|begin_of_text|>"}),
                         [](const auto& info) {
                           return info.param.chat_template.substr(0, info.param.chat_template.find_first_of(".-"));
                         });

TEST(ContinueChat, ATemplateThatWritesThePastAnewIsRefused) {
  const auto tokenizer = SmallTokenizer(
      "{{ messages|length }}{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
      "{% if add_generation_prompt %}>{% endif %}");
  const ChatMessage message = {"user", "more"};
  const auto next = ContinueChat(std::span(&message, 1), *tokenizer);
  EXPECT_TRUE(absl::IsInvalidArgument(next.status()));
  EXPECT_THAT(std::string(next.status().message()), HasSubstr("writes earlier turns anew"));
}

// Of two forms of a reply's beginning, as DeepSeek-R1's: one before a reply, one in the past.
TEST(SplitChat, RepliesMayBeginWithAThought) {
  const auto tokenizer = SmallTokenizer(
      "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}<U>{{ m.content }}"
      "{% else %}<A>{{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<A><think>{% endif %}");
  const std::vector<ChatMessage> messages = {{"user", "q"}, {"assistant", "a"}, {"user", "z"}};
  auto text = RenderChat(messages, *tokenizer);
  ASSERT_TRUE(text.ok()) << text.status();
  for (const int32_t id : tokenizer->Encode("hm</think>b<|end|>")) text->push_back(id);
  std::string said;
  for (const ChatTurn& turn : SplitChat(*text, *tokenizer))
    said += turn.message.role + "=" + turn.message.content + ";";
  EXPECT_EQ(said, "user=q;assistant=a;user=z;assistant=hm</think>b;");
}

// The switch of the request is that of the reply, also where the turns before had none, or the other.
TEST(ContinueChat, VariablesCountForTheNextReply) {
  const auto tokenizer = SmallTokenizer(
      "{% if effort is defined %}[{{ effort }}]{% endif %}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<|end|>"
      "{% endfor %}{% if add_generation_prompt %}a:{{ '()' if enable_thinking is false }}{% endif %}");
  const ChatMessage message = {"user", "more"};
  const auto text = [&](const JinjaValue::Dict& variables) {
    const auto next = ContinueChat(std::span(&message, 1), *tokenizer, {.variables = variables});
    EXPECT_TRUE(next.ok()) << next.status();
    if (!next.ok()) return std::string();
    return *tokenizer->Decode(std::vector<int32_t>(next->ids.begin(), next->ids.end()), false);
  };
  EXPECT_EQ(text({}), "<|end|>u:more<|end|>a:");
  EXPECT_EQ(text({{"enable_thinking", JinjaValue(false)}}), "<|end|>u:more<|end|>a:()");
  EXPECT_EQ(text({{"effort", JinjaValue(std::string("low"))}}), "<|end|>u:more<|end|>a:");
}

TEST(SplitChat, PlainTextHasNoTurns) {
  const auto tokenizer = SmallTokenizer("{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}");
  EXPECT_TRUE(SplitChat(std::vector<int64_t>{1, 2, 3}, *tokenizer).empty());
  EXPECT_TRUE(SplitChat({}, *tokenizer).empty());
  EXPECT_TRUE(SplitChat(std::vector<int64_t>{1, 2, 3}, *SmallTokenizer()).empty());
}

}  // namespace
}  // namespace radlads
