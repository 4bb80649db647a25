#include "eval/chat_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "eval/testing.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

// "u:text|" for each message, then "a:".
constexpr char kTemplate[] =
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('no role ' + m.role) }}{% endif %}{{ m.role[:1] + ':' + m.content + '|' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

absl::StatusOr<CompletionRequest> Parse(const std::string& body, const std::string& chat_template = kTemplate) {
  NoModel model;
  return ParseChatRequest(body, *SmallTokenizer(chat_template), model);
}

std::string Refusal(const std::string& body, const std::string& chat_template = kTemplate) {
  const auto parsed = Parse(body, chat_template);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << body;
  return std::string(parsed.status().message());
}

// The prompt of a request with these messages, as text.
std::string Prompt(const std::string& messages) {
  const auto parsed = Parse("{\"max_tokens\":1,\"messages\":" + messages + "}");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok()) return "";
  return *SmallTokenizer()->Decode(std::vector<int32_t>(parsed->prompt.begin(), parsed->prompt.end()), false);
}

std::string With(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"hi"}],)" + fields + "}";
}

TEST(ChatJson, ReadsWhatLmEvalSends) {
  const auto parsed = Parse(R"({"messages":[{"role":"user","content":"hi"}],"model":"m","max_tokens":3,"temperature":0,
                                "stop":["x","y"],"seed":1234})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->prompt.size(), 7u);  // u:hi|a:
  EXPECT_EQ(parsed->max_tokens, 3);
  EXPECT_EQ(parsed->sampling.temperature, 0);
  EXPECT_EQ(parsed->sampling.seed, 1234u);
  EXPECT_THAT(parsed->stop, ElementsAre("x", "y"));
  EXPECT_FALSE(parsed->echo);
  EXPECT_FALSE(parsed->logprobs);
}

TEST(ChatJson, TheTemplateMakesThePrompt) {
  EXPECT_EQ(Prompt(R"([{"role":"user","content":"hi"}])"), "u:hi|a:");
  EXPECT_EQ(Prompt(R"([{"role":"system","content":"s"},{"role":"user","content":"b"}])"), "s:s|u:b|a:");
  EXPECT_EQ(Prompt(R"([{"role":"user","content":[{"type":"text","text":"h"},{"type":"text","text":"i"}]}])"),
            "u:hi|a:");
  EXPECT_EQ(Prompt(R"([{"role":"user","content":"a"},{"role":"assistant","content":null,"refusal":"no"},
                      {"role":"user","content":"b"}])"),
            "u:a|a:no|u:b|a:");
  // The assistant's message goes on.
  EXPECT_EQ(Prompt(R"([{"role":"user","content":"a"},{"role":"assistant","content":"The"}])"), "u:a|a:The");
  // Tokens in a message are tokens in the prompt.
  EXPECT_EQ(Parse(R"({"max_tokens":1,"messages":[{"role":"user","content":"<|end|>"}]})")->prompt[2], 0);
}

TEST(ChatJson, LengthHasTwoNames) {
  EXPECT_EQ(Parse(With(R"("max_completion_tokens":5)"))->max_tokens, 5);
  EXPECT_EQ(Parse(With(R"("stop":null)"))->max_tokens, 20 + 1 - 7);
  EXPECT_THAT(Refusal(With(R"("max_tokens":5,"max_completion_tokens":5)")), HasSubstr("give one of them"));
  EXPECT_THAT(Refusal(With(R"("max_completion_tokens":-5)")), HasSubstr("max_completion_tokens must be"));
  EXPECT_THAT(Refusal(With(R"("max_tokens":15)")),
              HasSubstr("the text of messages has 7 tokens and max_tokens is 15, the context of the model is 20"));
}

TEST(ChatJson, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal("{"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{}"), HasSubstr("messages must be a list"));
  EXPECT_THAT(Refusal(R"({"messages":"hi"})"), HasSubstr("found \"hi\""));
  EXPECT_THAT(Refusal(R"({"messages":[]})"), HasSubstr("an empty list"));
  EXPECT_THAT(Refusal(R"({"messages":[1]})"), HasSubstr("messages[0] must be an object"));
  EXPECT_THAT(Refusal(R"({"messages":[{"content":"a"}]})"), HasSubstr("messages[0].role must be a string"));
  EXPECT_THAT(Refusal(R"({"messages":[{"role":"user"}]})"), HasSubstr("messages[0].content must be a string"));
  EXPECT_THAT(Refusal(R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":3}]})"),
              HasSubstr("messages[1].content must be a string"));
  EXPECT_THAT(Refusal(R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})"),
              HasSubstr("messages[0].content"));
  EXPECT_THAT(Refusal(R"({"messages":[{"role":"assistant","content":"","tool_calls":[{}]}]})"),
              HasSubstr("messages[0].tool_calls is not supported"));
  EXPECT_THAT(Refusal(R"({"messages":[{"role":"pope","content":"a"}]})"), HasSubstr("no role pope"));
  for (const char* field :
       {R"("stream":true)", R"("n":2)", R"("tools":[{}])", R"("chat_template":"x")",
        R"("response_format":{"type":"json_object"})", R"("guided_choice":["a"])", R"("store":true)"}) {
    EXPECT_THAT(Refusal(With(field)), HasSubstr("is not supported")) << field;
  }
  EXPECT_TRUE(Parse(With(R"("stream":false,"n":1,"tools":[],"response_format":{"type":"text"},"max_tokens":1)")).ok());
  EXPECT_THAT(Refusal(With(R"("continue_final_message":true)")), HasSubstr("needs a last message"));
  EXPECT_THAT(Refusal(With(R"("enable_thinking":false)")), HasSubstr("does not read it"));
  EXPECT_THAT(Refusal(With(R"("logprobs":1)")), HasSubstr("logprobs must be true or false"));
  EXPECT_THAT(Refusal(With(R"("top_logprobs":1)")), HasSubstr("needs logprobs"));
}

TEST(ChatJson, WithoutATemplateThereIsTheOtherPath) {
  const std::string without = Refusal(With(R"("max_tokens":1)"), "");
  EXPECT_THAT(without, HasSubstr("no chat template"));
  EXPECT_THAT(without, HasSubstr("/v1/completions takes plain prompts"));
  EXPECT_THAT(Refusal(With(R"("max_tokens":1)"), "{{ messages | batch(2) }}"), HasSubstr("batch"));
}

TEST(ChatJson, Reply) {
  CompletionRequest request{.prompt = {1, 2, 3}, .max_tokens = 2};
  Completion completion{.generated = {{.id = 40}, {.id = 0}}, .text = "H", .stopped = true};
  const ReplyHeader header{.id = "chatcmpl-1", .model = "m", .created = 5};
  const Json plain = Json::parse(ChatReply(header, request, completion, *SmallTokenizer()));
  EXPECT_EQ(plain["object"], "chat.completion");
  ASSERT_EQ(plain["choices"].size(), 1u);
  EXPECT_EQ(plain["choices"][0]["message"], Json({{"role", "assistant"}, {"content", "H"}}));
  EXPECT_EQ(plain["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(plain["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(plain["usage"], Json({{"prompt_tokens", 3}, {"completion_tokens", 2}, {"total_tokens", 5}}));

  request.logprobs = 1;
  completion.generated = {{.id = 40, .logprob = -2.5f, .top = {{3, -0.5f}, {40, -2.5f}}}};
  const Json scored = Json::parse(ChatReply(header, request, completion, *SmallTokenizer()));
  const Json& content = scored["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 1u);
  EXPECT_EQ(content[0]["token"], "H");
  EXPECT_EQ(content[0]["logprob"], -2.5);
  EXPECT_EQ(content[0]["bytes"], Json::array({'H'}));
  EXPECT_EQ(content[0]["top_logprobs"], Json::array({{{"token", "#"}, {"logprob", -0.5}, {"bytes", {'#'}}}}));
}

}  // namespace
}  // namespace radlads
