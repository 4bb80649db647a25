#include "eval/completion_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "eval/testing.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

absl::StatusOr<std::vector<CompletionRequest>> Parse(const std::string& body) {
  NoModel model;
  return ParseCompletionRequests(body, *SmallTokenizer(), model);
}

std::string Refusal(const std::string& body) {
  const auto parsed = Parse(body);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << body;
  return std::string(parsed.status().message());
}

TEST(CompletionJson, ReadsWhatLmEvalSends) {
  const auto parsed = Parse(R"({"model":"m","prompt":[[1,2,3],[4]],"temperature":0,"max_tokens":1,"logprobs":1,
                                "seed":1234,"echo":true,"unknown":{"a":1}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->size(), 2u);
  EXPECT_THAT((*parsed)[0].prompt, ElementsAre(1, 2, 3));
  EXPECT_THAT((*parsed)[1].prompt, ElementsAre(4));
  EXPECT_EQ((*parsed)[0].max_tokens, 1);
  EXPECT_EQ((*parsed)[0].logprobs, 1);
  EXPECT_EQ((*parsed)[0].sampling.temperature, 0);
  EXPECT_TRUE((*parsed)[0].echo);
}

TEST(CompletionJson, PromptsAreStringsOrIds) {
  EXPECT_THAT((*Parse(R"({"prompt":"!\"","max_tokens":1})"))[0].prompt, ElementsAre(1, 2));
  EXPECT_THAT((*Parse(R"({"prompt":[7,8],"max_tokens":1})"))[0].prompt, ElementsAre(7, 8));
  const auto mixed = Parse(R"({"prompt":["!",[5]],"max_tokens":1})");
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_THAT((*mixed)[0].prompt, ElementsAre(1));
  EXPECT_THAT((*mixed)[1].prompt, ElementsAre(5));
  EXPECT_THAT((*Parse(R"({"prompt":"<|end|>","max_tokens":1})"))[0].prompt, ElementsAre(0));
}

TEST(CompletionJson, StopsOfEveryShape) {
  EXPECT_THAT((*Parse(R"({"prompt":"a","max_tokens":1,"stop":"x"})"))[0].stop, ElementsAre("x"));
  EXPECT_THAT((*Parse(R"({"prompt":"a","max_tokens":1,"stop":["1","2","3","4","5"]})"))[0].stop.size(), 5);
  EXPECT_TRUE((*Parse(R"({"prompt":"a","max_tokens":1,"stop":[]})"))[0].stop.empty());
  EXPECT_TRUE((*Parse(R"({"prompt":"a","max_tokens":1,"stop":null})"))[0].stop.empty());
}

// Of what was read and dropped: it is done.
TEST(CompletionJson, EverySamplerAndEndIsHonoured) {
  const auto parsed = Parse(R"({"prompt":"a","max_tokens":9,"repetition_penalty":5.0,"min_p":0.5,"presence_penalty":1,
                                "frequency_penalty":-1,"logit_bias":{"5":-100},"top_p":0,"stop_token_ids":[7],
                                "ignore_eos":true,"min_tokens":2,"seed":null})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const CompletionRequest& request = (*parsed)[0];
  EXPECT_EQ(request.sampling.repetition_penalty, 5);
  EXPECT_EQ(request.sampling.min_p, 0.5);
  EXPECT_EQ(request.sampling.presence_penalty, 1);
  EXPECT_EQ(request.sampling.frequency_penalty, -1);
  EXPECT_EQ(request.sampling.logit_bias, (std::map<int64_t, double>{{5, -100}}));
  EXPECT_EQ(request.sampling.top_p, 0);
  EXPECT_EQ(request.sampling.seed, 0u);
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_THAT(request.stop_ids, ElementsAre(7));
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_EQ(request.min_tokens, 2);
  EXPECT_THAT(Refusal(R"({"prompt":"a","guided_regex":"x"})"), HasSubstr("guided_regex is not supported"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","dry_multiplier":0.8})"), HasSubstr("dry_multiplier is not supported"));
}

TEST(CompletionJson, ALengthThatIsNotNamedIsWhatFits) {
  EXPECT_EQ((*Parse(R"({"prompt":[1,2,3,4,5]})"))[0].max_tokens, 16);
}

TEST(CompletionJson, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal("{"), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("[1]"), HasSubstr("expected an object"));
  EXPECT_THAT(Refusal("{}"), HasSubstr("prompt must be"));
  EXPECT_THAT(Refusal(R"({"prompt":[]})"), HasSubstr("empty list"));
  EXPECT_THAT(Refusal(R"({"prompt":""})"), HasSubstr("prompt 0 has no token"));
  EXPECT_THAT(Refusal(R"({"prompt":[[1],[]]})"), HasSubstr("prompt 1 has no token"));
  EXPECT_THAT(Refusal(R"({"prompt":[97]})"), HasSubstr("token id 97 is outside of the vocabulary of 97"));
  EXPECT_THAT(Refusal(R"({"prompt":[-1]})"), HasSubstr("token id -1"));
  EXPECT_THAT(Refusal(R"({"prompt":[18446744073709551615]})"), HasSubstr("outside"));
  EXPECT_THAT(Refusal(R"({"prompt":[1.5]})"), HasSubstr("must be an integer"));
  EXPECT_THAT(Refusal(R"({"prompt":[1,"a"]})"), HasSubstr("must be an integer"));
  EXPECT_THAT(Refusal(R"({"prompt":[true]})"), HasSubstr("prompt[0] must be"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","max_tokens":-1})"), HasSubstr("max_tokens must be an integer from 0"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","max_tokens":"1"})"), HasSubstr("found \"1\""));
  EXPECT_THAT(Refusal(R"({"prompt":"a","temperature":-1})"), HasSubstr("temperature must be"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","top_p":-0.1})"), HasSubstr("top_p must be"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","echo":1})"), HasSubstr("echo must be true or false"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","stop":[1]})"), HasSubstr("stop must be"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","stop":{"a":"b"}})"), HasSubstr("stop must be"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","logprobs":1000})"), HasSubstr("logprobs must be"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","n":2})"), HasSubstr("n is not supported; leave it out, or set it to 1"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","stream":true})"), HasSubstr("stream"));
  EXPECT_THAT(Refusal(R"({"prompt":"a","logit_bias":{"97":1}})"), HasSubstr("logit_bias"));
}

// As deep, as wide and as long as a body of many megabytes can be.
TEST(CompletionJson, TakesNoMoreTimeOrStackThanTheBodyHasBytes) {
  constexpr int kMany = 1'000'000;
  const std::string deep = std::string(kMany, '[') + std::string(kMany, ']');
  EXPECT_THAT(Refusal("{\"prompt\":" + deep + "}"), HasSubstr("nested more than 64 deep (at byte "));
  const std::string allowed = std::string(62, '[') + std::string(62, ']');
  for (const char* name : {"prompt", "max_tokens", "stop", "temperature", "echo", "logit_bias", "n"}) {
    EXPECT_THAT(Refusal("{\"" + std::string(name) + "\":" + allowed + "}"), HasSubstr(name));
  }
  EXPECT_THAT(Refusal("{\"prompt\":[1," + allowed + "]}"), HasSubstr("found a JSON array"));
  EXPECT_THAT(Refusal("{\"prompt\":\"a\",\"max_tokens\":\"" + std::string(kMany, 'a') + "\"}"),
              HasSubstr("found a string of 1000000 bytes"));
  std::string wide = "{";
  for (int i = 0; i < kMany; ++i) wide += "\"" + std::to_string(i) + "\":0,";
  EXPECT_TRUE(Parse(wide + R"("prompt":"a","max_tokens":1})").ok());
  std::string prompts = "[[1]", stops = "[\"stop\"";
  for (int i = 0; i < 5000; ++i) prompts += ",[1]", stops += ",\"stop\"";
  EXPECT_THAT(Refusal("{\"prompt\":" + prompts + "]}"), HasSubstr("at most 4096"));
  EXPECT_THAT(Refusal("{\"prompt\":\"a\",\"stop\":" + stops + "]}"), HasSubstr("more than 64 KiB"));
}

TEST(CompletionJson, TooLongIsRefusedOrCut) {
  const std::string prompt(21, 'a');
  EXPECT_THAT(Refusal(R"({"max_tokens":1,"prompt":")" + prompt + "\"}"),
              HasSubstr("prompt 0 has 21 tokens and max_tokens is 1, the context of the model is 20"));
  EXPECT_TRUE(Parse(R"({"max_tokens":1,"prompt":")" + prompt.substr(1) + "\"}").ok());
  EXPECT_FALSE(Parse(R"({"max_tokens":2,"prompt":")" + prompt.substr(1) + "\"}").ok());
  const auto cut = Parse(R"({"max_tokens":5,"truncate_prompt_tokens":-1,"prompt":")" + prompt + "\"}");
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ((*cut)[0].prompt.size(), 16u);
  EXPECT_EQ((*Parse(R"({"max_tokens":5,"truncate_prompt_tokens":3,"prompt":"abcdef"})"))[0].prompt.size(), 3u);
}

TEST(CompletionJson, ArraysAreAsLongAsTheTokens) {
  CompletionRequest request{.prompt = {1, 95}, .max_tokens = 1, .echo = true, .logprobs = 1};
  Completion completion;
  completion.prompt = {{.id = 1}, {.id = 95, .logprob = -2.5f, .top = {{3, -0.5f}, {95, -2.5f}}}};
  completion.generated = {{.id = 0, .logprob = -0.1f, .top = {{0, -0.1f}}}};
  completion.stopped = true;
  const Json reply =
      Json::parse(CompletionReply({.id = "x", .model = "m"}, {request}, {completion}, *SmallTokenizer()));
  const Json& choice = reply["choices"][0];
  EXPECT_EQ(choice["text"], "! ");
  EXPECT_EQ(choice["finish_reason"], "stop");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"!", " ", "<|end|>"}));
  EXPECT_EQ(logprobs["text_offset"], Json({0, 1, 2}));
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["token_logprobs"][1], -2.5);
  EXPECT_EQ(logprobs["top_logprobs"][1], Json({{"#", -0.5}, {" ", -2.5}}));
  EXPECT_EQ(logprobs["token_logprobs"][2], logprobs["top_logprobs"][2]["<|end|>"]);
  EXPECT_EQ(reply["usage"]["total_tokens"], 3);
}

TEST(CompletionJson, Tokenizer) {
  const auto tokenizer = SmallTokenizer();
  EXPECT_EQ(Json::parse(*TokenizeReply(R"({"prompt":"!<|end|>","add_special_tokens":false})", *tokenizer, 20)),
            Json({{"tokens", {1, 0}}, {"count", 2}, {"max_model_len", 20}}));
  EXPECT_EQ(Json::parse(*DetokenizeReply(R"({"tokens":[1,95,0]})", *tokenizer))["prompt"], "! <|end|>");
  const Json info = Json::parse(TokenizerInfoReply(*tokenizer, 20));
  EXPECT_EQ(info["eos_token"], "<|end|>");
  EXPECT_TRUE(info["bos_token"].is_null());
  EXPECT_FALSE(TokenizeReply(R"({"prompt":[]})", *tokenizer, 20).ok());
  EXPECT_FALSE(DetokenizeReply(R"({"tokens":[97]})", *tokenizer).ok());
  EXPECT_FALSE(DetokenizeReply(R"({"tokens":"a"})", *tokenizer).ok());
}

}  // namespace
}  // namespace radlads
