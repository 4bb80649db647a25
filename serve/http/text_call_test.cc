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

TEST_F(TextCallTest, WhatEndsATextIsTold) {
  const auto call = Chat({{"stop_token_ids", {3, 4}}, {"ignore_eos", true}, {"min_tokens", 9}});
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_THAT(call->text.stop_ids, ElementsAre(3, 4));
  EXPECT_TRUE(call->text.ignore_eos);
  EXPECT_EQ(call->text.min_tokens, 9);
}

// As OpenAI's ranges and types have them.
TEST_F(TextCallTest, NullsEmptyListsAndZeroesAreTaken) {
  for (const char* name : {"max_tokens",
                           "max_completion_tokens",
                           "stop",
                           "temperature",
                           "top_p",
                           "top_k",
                           "min_p",
                           "seed",
                           "logprobs",
                           "top_logprobs",
                           "logit_bias",
                           "presence_penalty",
                           "frequency_penalty",
                           "repetition_penalty",
                           "response_format",
                           "stream",
                           "stream_options",
                           "store",
                           "session_id",
                           "previous_response_id",
                           "n",
                           "tools",
                           "tool_choice",
                           "user",
                           "stop_token_ids",
                           "ignore_eos",
                           "min_tokens",
                           "chat_template_kwargs",
                           "continue_final_message",
                           "add_generation_prompt",
                           "enable_thinking",
                           "reasoning_effort"}) {
    const auto call = Chat({{name, nullptr}});
    EXPECT_TRUE(call.ok()) << name << call.status();
  }
  for (const Json& nothing : {Json{{"stop", Json::array()}}, Json{{"logit_bias", Json::array()}},
                              Json{{"logit_bias", Json::object()}}, Json{{"stop_token_ids", Json::array()}},
                              Json{{"tools", Json::array()}}, Json{{"chat_template_kwargs", Json::object()}},
                              Json{{"stream_options", Json::object()}}, Json{{"top_logprobs", 0}}, Json{{"top_k", 0}},
                              Json{{"max_tokens", 0}}, Json{{"temperature", 0}}, Json{{"min_p", 0}}}) {
    const auto call = Chat(nothing);
    EXPECT_TRUE(call.ok()) << nothing << call.status();
  }
  const auto likeliest = Chat({{"top_p", 0}});
  ASSERT_TRUE(likeliest.ok()) << likeliest.status();
  EXPECT_EQ(likeliest->text.sampling.top_p, 0);
  EXPECT_EQ(Complete({{"logprobs", false}})->text.logprobs, std::nullopt);
  EXPECT_EQ(Complete({{"logprobs", 0}})->text.logprobs, 0);
}

// What clients send back of a reply that they were given.
TEST_F(TextCallTest, AnAssistantsMessageNeedsNoContent) {
  const Json user = {{"role", "user"}, {"content", "hi"}};
  const auto prompt = [&](const Json& assistant) -> std::vector<int64_t> {
    const auto call = Chat({{"messages", {user, assistant, user}}});
    EXPECT_TRUE(call.ok()) << call.status() << assistant;
    return call.ok() ? call->text.prompt : std::vector<int64_t>();
  };
  const auto with = [&](const std::string& said) { return Encode("u:hi<|end|>a:" + said + "<|end|>u:hi<|end|>a:"); };
  EXPECT_EQ(prompt({{"role", "assistant"}, {"content", nullptr}}), with(""));
  EXPECT_EQ(prompt({{"role", "assistant"}}), with(""));
  EXPECT_EQ(prompt({{"role", "assistant"}, {"content", nullptr}, {"refusal", "no"}}), with("no"));
  EXPECT_EQ(prompt({{"role", "assistant"}, {"content", {{{"type", "refusal"}, {"refusal", "no"}}}}}), with("no"));
  EXPECT_EQ(prompt({{"role", "assistant"},
                    {"content", "yes"},
                    {"refusal", nullptr},
                    {"tool_calls", nullptr},
                    {"function_call", nullptr},
                    {"audio", nullptr},
                    {"annotations", Json::array()},
                    {"name", nullptr},
                    {"reasoning_content", nullptr}}),
            with("yes"));
}

TEST_F(TextCallTest, ALastMessageOfTheAssistantGoesOn) {
  const Json messages = {{{"role", "user"}, {"content", "hi"}}, {{"role", "assistant"}, {"content", "The"}}};
  const auto prompt = [&](Json json) {
    json["messages"] = messages;
    const auto call = Chat(json);
    EXPECT_TRUE(call.ok()) << call.status();
    return call.ok() ? call->text.prompt : std::vector<int64_t>();
  };
  const std::vector<int64_t> goes_on = Encode("u:hi<|end|>a:The"), closed = Encode("u:hi<|end|>a:The<|end|>"),
                             replied = Encode("u:hi<|end|>a:The<|end|>a:");
  EXPECT_EQ(prompt(Json::object()), goes_on);  // as llama.cpp's server does
  EXPECT_EQ(prompt({{"continue_final_message", true}, {"add_generation_prompt", false}}), goes_on);  // vLLM's words
  EXPECT_EQ(prompt({{"continue_final_message", true}}), goes_on);
  EXPECT_EQ(prompt({{"continue_final_message", false}}), replied);
  EXPECT_EQ(prompt({{"add_generation_prompt", true}}), replied);
  EXPECT_EQ(prompt({{"add_generation_prompt", false}}), closed);
  EXPECT_EQ(Chat({{"add_generation_prompt", false}})->text.prompt, Encode("u:hi<|end|>"));
  const auto wrong = [&](Json json, const char* words) {
    const absl::Status status = Chat(json).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << json << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  };
  wrong({{"continue_final_message", true}}, "needs a last message of the role \"assistant\"");
  wrong({{"messages", messages}, {"continue_final_message", true}, {"add_generation_prompt", true}},
        "exclude each other");
  // The next turn of a session, too.
  ASSERT_TRUE(service_.ImportSession("[5,6,0]", "t").ok());
  EXPECT_EQ(prompt({{"session_id", "t"}}), Encode("<|end|>u:hi<|end|>a:The"));
}

TEST_F(TextCallTest, VariablesReachATemplateThatReadsThem) {
  const auto tokenizer = SmallTokenizer(
      "{% for m in messages %}{{ m.content }}{% endfor %}{{ '!' if enable_thinking is false }}{{ reasoning_effort }}");
  const ServedModel model = {.name = "thinks", .service = &service_, .tokenizer = tokenizer};
  const auto prompt = [&](Json json) {
    json["messages"] = {{{"role", "user"}, {"content", "hi"}}};
    const auto call = ParseChatCall(json, model, 100);
    if (!call.ok()) return std::string(call.status().message());
    return *tokenizer->Decode(std::vector<int32_t>(call->text.prompt.begin(), call->text.prompt.end()), false);
  };
  EXPECT_EQ(prompt(Json::object()), "hi");
  EXPECT_EQ(prompt({{"enable_thinking", true}}), "hi");
  for (const Json& silent :
       {Json{{"enable_thinking", false}}, Json{{"chat_template_kwargs", {{"enable_thinking", false}}}},
        Json{{"enable_thinking", false}, {"chat_template_kwargs", {{"enable_thinking", false}}}}}) {
    EXPECT_EQ(prompt(silent), "hi!") << silent;
  }
  EXPECT_EQ(prompt({{"reasoning_effort", "low"}}), "hilow");
  EXPECT_THAT(prompt({{"thinking", true}}), HasSubstr("thinking: the chat template of this model does not read it"));
  EXPECT_THAT(prompt({{"thinking", {{"type", "disabled"}}}}),
              HasSubstr("thinking must be a value of the chat template"));
  EXPECT_THAT(prompt({{"chat_template_kwargs", {{"other", 1}}}}), HasSubstr("other: the chat template"));
  EXPECT_THAT(prompt({{"chat_template_kwargs", {{"tools", {1}}}}}), HasSubstr("chat_template_kwargs.tools is not"));
  Json deep = 1;
  for (int i = 0; i < 17; ++i) deep = Json::array({deep});
  EXPECT_THAT(prompt({{"chat_template_kwargs", {{"enable_thinking", deep}}}}), HasSubstr("more than 16 lists"));
  EXPECT_THAT(prompt({{"chat_template_kwargs", 1}}), HasSubstr("chat_template_kwargs must be an object"));
  EXPECT_THAT(prompt({{"enable_thinking", true}, {"chat_template_kwargs", {{"enable_thinking", false}}}}),
              HasSubstr("give one of them"));
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
      {{{"grammar", "root ::= x"}}, "grammar is not supported"},
      {{{"guided_choice", {"yes", "no"}}}, "guided_choice is not supported"},
      {{{"structured_outputs", {{"choice", {"yes"}}}}}, "structured_outputs is not supported"},
      {{{"prompt", "x"}}, "prompt is not supported; leave it out; /v1/completions takes plain prompts"},
      {{{"enable_thinking", false}}, "enable_thinking: the chat template of this model does not read it"},
      {{{"response_format", "json"}}, "response_format must be an object"},
      {{{"response_format", Json::object()}}, "response_format.type must be a string"},
      {{{"response_format", {{"type", "json_object"}, {"schema", Json::object()}}}},
       "response_format.schema is not supported"},
      {{{"response_format", {{"type", "xml"}}}}, "must be \"text\" or \"json_object\", found \"xml\""},
      {{{"response_format", {{"type", "json_schema"}, {"json_schema", Json::object()}}}},
       "json_schema is not supported"},
      {{{"messages", Json::array()}}, "an empty list"},
      {{{"messages", {{{"role", "user"}}}}}, "messages[0].content must be a string"},
      {{{"messages", {{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "image_url"}}}}}}}},
       "messages[0].content[1].type must be \"text\": this model reads nothing else, found \"image_url\""},
      {{{"messages", {{{"role", "user"}, {"content", {{{"type", "text"}}}}}}}},
       "messages[0].content[0].text must be a string, found null"},
      {{{"messages", {{{"role", "user"}, {"content", {1}}}}}}, "messages[0].content[0] must be {\"type\": \"text\""},
      {{{"messages", {{{"role", "user"}, {"content", "a"}, {"refusal", "b"}}}}}, "messages[0].refusal stands for"},
      {{{"messages", {{{"role", "user"}, {"content", "a"}, {"name", "Anna"}}}}}, "messages[0].name: the chat template"},
      {{{"messages", {{{"role", "user"}, {"content", "a"}, {"name", 1}}}}}, "messages[0].name must be a string"},
      {{{"messages", {{{"role", "assistant"}, {"content", "a"}, {"prefix", true}}}}}, "messages[0].prefix is not"},
      {{{"messages", "hi"}}, "messages must be a list"},
      {{{"max_tokens", 1}, {"max_completion_tokens", 1}}, "two names of one thing"},
      {{{"max_tokens", -1}}, "max_tokens must be an integer from 0"},
      {{{"top_logprobs", 2}}, "top_logprobs needs logprobs"},
      {{{"logprobs", true}, {"top_logprobs", 21}}, "from 0 to 20"},
      {{{"temperature", -0.1}}, "temperature must be a number"},
      {{{"temperature", "hot"}}, "temperature must be a number"},
      {{{"logit_bias", {{"97", 1}}}}, "no token id below 97"},
      {{{"logit_bias", {{"x", 1}}}}, "no token id below 97"},
      {{{"logit_bias", {{"5", 101}}}}, "logit_bias.5 must be a number from -100 to 100"},
      {{{"logit_bias", {1}}}, "logit_bias must be an object"},
      {{{"stream_options", {{"include_usage", true}}}}, "stream_options needs stream"},
      {{{"stream", true}, {"stream_options", {{"include_usage", "yes"}}}},
       "stream_options.include_usage must be true or false"},
      {{{"stop_token_ids", 5}}, "stop_token_ids must be a list of at most 256 token ids, found 5"},
      {{{"stop_token_ids", {97}}}, "stop_token_ids: token id 97 is outside"},
      {{{"min_tokens", 101}}, "min_tokens must be an integer from 0 to 100"},
      {{{"min_tokens", 1}, {"response_format", {{"type", "json_object"}}}}, "min_tokens is not supported with"},
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
