#include "serve/transport/chat_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

// A tokenizer with a template of the testdata.
std::shared_ptr<const Tokenizer> WithTemplate(const std::string& name) {
  const auto text = ReadFile("data/tokenizer/testdata/templates/" + name);
  RADLADS_CHECK(text.ok()) << text.status();
  return SmallTokenizer("{%- set bos_token = '' %}" + *text);  // which it has not
}

std::string Text(const std::vector<ChatMessage>& messages, const Tokenizer& tokenizer, const ChatOptions& options) {
  const auto text = ChatText(messages, tokenizer, options);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

std::string Refusal(const std::vector<ChatMessage>& messages, const Tokenizer& tokenizer,
                    const ChatOptions& options = {}) {
  const absl::Status status = CheckChat(messages, tokenizer, options);
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(RenderChat(messages, tokenizer, options).status(), status);
  return std::string(status.message());
}

const ChatMessage kUser = {"user", "Capital of France?"};

// As transformers 5.24 renders them with continue_final_message.
TEST(ChatText, ALastMessageGoesOn) {
  const std::vector<ChatMessage> messages = {kUser, {"assistant", "The capital of "}};
  EXPECT_EQ(UsualEnd(messages), ChatEnd::kContinue);
  EXPECT_EQ(UsualEnd(std::span(messages).first(1)), ChatEnd::kReply);
  EXPECT_EQ(UsualEnd({}), ChatEnd::kReply);
  const ChatOptions goes_on = {.end = ChatEnd::kContinue};
  EXPECT_TRUE(Text(messages, *WithTemplate("qwen2.5.jinja"), goes_on)
                  .ends_with("user\nCapital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of "));
  EXPECT_TRUE(Text(messages, *WithTemplate("qwen3.jinja"), goes_on)
                  .ends_with("<|im_start|>assistant\n<think>\n\n</think>\n\nThe capital of "));
  // It trims messages.
  EXPECT_TRUE(Text(messages, *WithTemplate("llama3.jinja"), goes_on)
                  .ends_with("<|start_header_id|>assistant<|end_header_id|>\n\nThe capital of"));
  EXPECT_TRUE(Text({kUser, {"assistant", ""}}, *WithTemplate("qwen2.5.jinja"), goes_on).ends_with("assistant\n"));
  EXPECT_TRUE(Text(messages, *WithTemplate("qwen2.5.jinja"), {.end = ChatEnd::kNothing}).ends_with("of <|im_end|>\n"));
  const auto drops =
      SmallTokenizer("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}");
  EXPECT_THAT(std::string(ChatText(messages, *drops, goes_on).status().message()),
              HasSubstr("does not write the last"));
}

TEST(ChatText, AVariableReachesATemplateThatReadsIt) {
  const ChatOptions silent = {.variables = {{"enable_thinking", JinjaValue(false)}}};
  const auto qwen3 = WithTemplate("qwen3.jinja"), qwen2 = WithTemplate("qwen2.5.jinja");
  EXPECT_TRUE(Text({kUser}, *qwen3, silent).ends_with("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  EXPECT_EQ(Refusal({kUser}, *qwen3, silent), "");
  EXPECT_EQ(Refusal({kUser}, *qwen2, silent),
            "enable_thinking: the chat template of this model does not read it; leave it out");
  // An attribute of that name, or a word in the text, is no variable.
  EXPECT_NE(Refusal({kUser},
                    *SmallTokenizer("enable_thinking {# enable_thinking #}{% for m in messages %}"
                                    "{{ m.content }}{% if m.enable_thinking %}{% endif %}{% endfor %}"),
                    silent),
            "");
  EXPECT_EQ(Refusal({kUser}, *SmallTokenizer("{{ eos_token }}{{ messages[0].content }}"),
                    {.variables = {{"eos_token", JinjaValue(std::string("!"))}}}),
            "");
}

TEST(ChatText, WhatATemplateDropsIsRefused) {
  const ChatMessage tool = {"tool", "{\"answer\": 3}"};
  for (const char* name : {"qwen3.jinja", "qwen2.5.jinja", "llama3.jinja"}) {
    const auto tokenizer = WithTemplate(name);
    EXPECT_EQ(Refusal({{"system", "s"}, kUser, {"assistant", "a"}, kUser}, *tokenizer), "") << name;
    EXPECT_EQ(Refusal({kUser, {"assistant", ""}, kUser}, *tokenizer), "") << name;
  }
  EXPECT_EQ(Refusal({kUser, tool, kUser}, *WithTemplate("qwen3.jinja")),
            "messages[1]: the chat template of this model writes no message of the role \"tool\" in this place; leave "
            "it out, or say it in a message of another role");
  EXPECT_THAT(Refusal({{"developer", "d"}, kUser}, *WithTemplate("qwen3.jinja")), HasSubstr("role \"developer\""));
  // The client's first message is not the template's.
  const std::vector<ChatMessage> all = {kUser, {"assistant", "a"}, tool};
  EXPECT_THAT(std::string(CheckChat(all, *WithTemplate("qwen3.jinja"), {}, 2).message()), HasSubstr("messages[0]: "));
}

TEST(ChatText, NamesAndThoughtsAreReadOrRefused) {
  ChatMessage named = kUser;
  named.name = "Anna";
  EXPECT_EQ(Refusal({named}, *WithTemplate("qwen3.jinja")),
            "messages[0].name: the chat template of this model does not write it; leave it out");
  const auto with_names = SmallTokenizer("{% for m in messages %}{{ m.name }}: {{ m.content }}{% endfor %}");
  EXPECT_EQ(Refusal({named}, *with_names), "");
  EXPECT_EQ(Text({named}, *with_names, {}), "Anna: Capital of France?");

  const ChatMessage thought = {.role = "assistant", .content = "Hi", .reasoning_content = "hm"};
  const auto qwen3 = WithTemplate("qwen3.jinja");
  EXPECT_TRUE(Text({kUser, thought}, *qwen3, {.end = ChatEnd::kContinue}).ends_with("<think>\nhm\n</think>\n\nHi"));
  EXPECT_EQ(Refusal({kUser, thought}, *qwen3), "");
  EXPECT_EQ(Refusal({kUser, thought, kUser}, *qwen3), "");  // of earlier turns the template drops them
  EXPECT_THAT(Refusal({kUser, thought}, *WithTemplate("qwen2.5.jinja")),
              HasSubstr("messages[1].reasoning_content: the chat template of this model does not read it"));
  ChatMessage question = kUser;
  question.reasoning_content = "hm";
  EXPECT_THAT(Refusal({question}, *qwen3), HasSubstr("messages[0].reasoning_content"));
}

}  // namespace
}  // namespace radlads
