#include "serve/http/text_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/tokenizer/testing/small_tokenizer.h"
#include "serve/testing/fake_text_service.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using Json = nlohmann::json;

// Messages become their first letter, their text and <|end|>.
constexpr char kTemplate[] =
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

class TextCallTest : public ::testing::Test {
 protected:
  TextCallTest()
      : tokenizer_(SmallTokenizer(kTemplate)),
        service_(tokenizer_, {.reply = {1, 2, 0}}),
        model_{.name = "fake", .service = &service_, .tokenizer = tokenizer_} {}

  std::vector<int64_t> Encode(const std::string& text) const {
    const std::vector<int32_t> ids = tokenizer_->Encode(text);
    return {ids.begin(), ids.end()};
  }
  absl::StatusOr<TextCall> Chat(Json json) {
    if (!json.contains("messages")) json["messages"] = {{{"role", "user"}, {"content", "hi"}}};
    return ParseChatCall(json, model_, 100);
  }
  absl::StatusOr<TextCall> Complete(Json json) {
    if (!json.contains("prompt")) json["prompt"] = "hi";
    return ParseCompletionCall(json, model_, 100);
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  FakeTextService service_;
  ServedModel model_;
};

TEST_F(TextCallTest, FieldsReachTheText) {
  const auto call = Chat({{"temperature", 0.5},
                          {"top_p", 0.9},
                          {"top_k", -1},
                          {"min_p", 0.1},
                          {"presence_penalty", 1},
                          {"frequency_penalty", -1},
                          {"repetition_penalty", 1.1},
                          {"logit_bias", {{"5", -100}, {"7", 2.5}}},
                          {"seed", 9},
                          {"stop", {"x", "y"}},
                          {"max_completion_tokens", 7},
                          {"logprobs", true},
                          {"top_logprobs", 3},
                          {"stream", true},
                          {"stream_options", {{"include_usage", true}}},
                          {"store", true},
                          {"user", "somebody"},
                          {"metadata", {{"a", "b"}}}});
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_TRUE(call->chat && call->stream && call->include_usage);
  const TextRequest& text = call->text;
  EXPECT_EQ(text.prompt, Encode("u:hi<|end|>a:"));
  EXPECT_EQ(text.reply_end, 0);
  EXPECT_EQ(text.max_tokens, 7);
  EXPECT_EQ(text.logprobs, 3);
  EXPECT_TRUE(text.keep);
  EXPECT_THAT(text.stop, ElementsAre("x", "y"));
  EXPECT_EQ(text.sampling.temperature, 0.5);
  EXPECT_EQ(text.sampling.top_p, 0.9);
  EXPECT_EQ(text.sampling.top_k, 0);
  EXPECT_EQ(text.sampling.min_p, 0.1);
  EXPECT_EQ(text.sampling.presence_penalty, 1);
  EXPECT_EQ(text.sampling.frequency_penalty, -1);
  EXPECT_EQ(text.sampling.repetition_penalty, 1.1);
  EXPECT_THAT(text.sampling.logit_bias, ElementsAre(Pair(5, -100), Pair(7, 2.5)));
  EXPECT_EQ(text.sampling.seed, 9u);
}

TEST_F(TextCallTest, DefaultsAreOpenAis) {
  const auto call = Complete({});
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_FALSE(call->chat || call->stream || call->text.keep);
  EXPECT_EQ(call->text.sampling.temperature, 1);
  EXPECT_EQ(call->text.max_tokens, 100);
  EXPECT_EQ(call->text.logprobs, std::nullopt);
  EXPECT_NE(Complete({})->text.sampling.seed, call->text.sampling.seed);
}

TEST_F(TextCallTest, AReplyCanBeJson) {
  EXPECT_FALSE(Chat({})->text.json);
  EXPECT_FALSE(Chat({{"response_format", {{"type", "text"}}}})->text.json);
  EXPECT_TRUE(Chat({{"response_format", {{"type", "json_object"}}}})->text.json);
  EXPECT_TRUE(Complete({{"response_format", {{"type", "json_object"}}}})->text.json);
}

TEST_F(TextCallTest, PromptsAreTextOrIds) {
  for (const Json& prompt : {Json("!!"), Json({"!!"}), Json({1, 1}), Json::array({{1, 1}})}) {
    const auto call = Complete({{"prompt", prompt}});
    ASSERT_TRUE(call.ok()) << call.status() << prompt;
    EXPECT_THAT(call->text.prompt, ElementsAre(1, 1)) << prompt;
  }
}

TEST_F(TextCallTest, ASessionGoesOnWithTheNewTurnOnly) {
  ASSERT_TRUE(service_.CreateSession("s", 0).ok());
  const auto first = Chat({{"session_id", "s"}});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->text.session, "s");
  EXPECT_EQ(first->text.prompt, Encode("u:hi<|end|>a:"));
  ASSERT_TRUE(service_.ImportSession("[5,6,0]", "t").ok());
  for (const Json& from : {Json{{"session_id", "t"}}, Json{{"previous_response_id", "chatcmpl-1"}}}) {
    const auto next = Chat(from);
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(next->text.prompt, Encode("<|end|>u:hi<|end|>a:")) << from;
    EXPECT_EQ(next->text.reply_end, 1) << from;
  }
  const auto rest = Chat({{"session_id", "t"}, {"messages", Json::array()}});
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_TRUE(rest->text.prompt.empty());
  EXPECT_TRUE(Complete({{"session_id", "t"}, {"prompt", nullptr}}).ok());
  EXPECT_TRUE(absl::IsNotFound(Chat({{"session_id", "nobody"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Chat({{"session_id", "../etc"}}).status()));
}

TEST_F(TextCallTest, WhatIsWrongIsNamed) {
  const std::pair<Json, const char*> chats[] = {
      {{{"n", 2}}, "n is not supported; leave it out, or set it to 1"},
      {{{"tools", {{{"type", "function"}}}}}, "tools is not supported"},
      {{{"chat_template", "x"}}, "chat_template is not supported"},
      {{{"response_format", "json"}}, "response_format must be an object"},
      {{{"response_format", Json::object()}}, "type must be a string"},
      {{{"response_format", {{"type", "xml"}}}}, "must be \"text\" or \"json_object\", found \"xml\""},
      {{{"response_format", {{"type", "json_schema"}, {"json_schema", Json::object()}}}},
       "json_schema is not supported"},
      {{{"messages", Json::array()}}, "an empty list"},
      {{{"messages", {{{"role", "user"}}}}}, "messages[0].content must be a string"},
      {{{"messages", "hi"}}, "messages must be a list"},
      {{{"max_tokens", 1}, {"max_completion_tokens", 1}}, "two names of one thing"},
      {{{"max_tokens", -1}}, "max_tokens must be an integer from 0"},
      {{{"top_logprobs", 2}}, "top_logprobs needs logprobs"},
      {{{"logprobs", true}, {"top_logprobs", 21}}, "from 0 to 20"},
      {{{"temperature", -0.1}}, "temperature must be a number"},
      {{{"temperature", "hot"}}, "temperature must be a number"},
      {{{"logit_bias", {{"97", 1}}}}, "no token id below 97"},
      {{{"logit_bias", {{"x", 1}}}}, "no token id below 97"},
      {{{"logit_bias", {{"5", 101}}}}, "5 must be a number from -100 to 100"},
      {{{"logit_bias", {1}}}, "logit_bias must be an object"},
      {{{"stream_options", {{"include_usage", true}}}}, "stream_options needs stream"},
      {{{"stream", "yes"}}, "stream must be true or false"},
      {{{"session_id", "a"}, {"previous_response_id", "b"}}, "exclude each other"},
      {{{"session_id", 5}}, "session_id must be a string"},
      {{{"stop", {1}}}, "stop must be a string or a list"},
      {{{"seed", 1.5}}, "seed must be an integer"}};
  for (const auto& [json, words] : chats) {
    const absl::Status status = Chat(json).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << json << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words)) << json;
  }
  const std::pair<Json, const char*> completions[] = {{{{"prompt", nullptr}}, "prompt must be a string or a list"},
                                                      {{{"prompt", ""}}, "prompt has no token"},
                                                      {{{"prompt", Json::array()}}, "prompt has no token"},
                                                      {{{"prompt", {"a", "b"}}}, "prompt has 2 prompts"},
                                                      {{{"prompt", {1, 97}}}, "token id 97 is outside"},
                                                      {{{"echo", true}}, "echo is not supported"},
                                                      {{{"best_of", 3}}, "best_of is not supported"},
                                                      {{{"suffix", "x"}}, "suffix is not supported"},
                                                      {{{"logprobs", 21}}, "logprobs must be an integer from 0 to 20"}};
  for (const auto& [json, words] : completions) {
    const absl::Status status = Complete(json).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << json << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words)) << json;
  }
}

}  // namespace
}  // namespace radlads
