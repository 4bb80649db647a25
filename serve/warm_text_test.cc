#include "serve/warm_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/status.h"
#include "data/tokenizer/chat_template.h"
#include "data/tokenizer/testing/small_tokenizer.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

const std::string kTestData = "data/tokenizer/testdata/";

// The tokenizer `name` of the test data with the chat template `chat`.
std::shared_ptr<const Tokenizer> WithTemplate(const std::string& name, const std::string& chat) {
  const std::string directory = ::testing::TempDir() + "/" + name;
  RADLADS_CHECK(MakeDirectories(directory).ok());
  const nlohmann::json config = {{"bos_token", name == "qwen2" ? nlohmann::json() : "<|begin_of_text|>"},
                                 {"eos_token", name == "qwen2" ? "<|im_end|>" : "<|eot_id|>"},
                                 {"chat_template", *ReadFile(kTestData + "templates/" + chat + ".jinja")}};
  RADLADS_CHECK(
      WriteFileAtomically(directory + "/tokenizer.json", *ReadFile(kTestData + name + "/tokenizer.json")).ok());
  RADLADS_CHECK(WriteFileAtomically(directory + "/tokenizer_config.json", config.dump()).ok());
  return Tokenizer::Load(directory).value();
}

// What a prompt may go on with.
const std::vector<std::string> kGoesOn = {"",      "ed",    "ly",     " and then", "\n- ", "\n\n\n",
                                          " ",     "   x",  "2024.",  ".\n\n",     "),",   "'re",
                                          "\t\tx", "écrit", "你好，", "\u0301n",   "<",    "\r\n\r\n"};

void ExpectBegins(const std::vector<int32_t>& ids, const std::vector<int64_t>& prefix, const std::string& why) {
  ASSERT_LE(prefix.size(), ids.size()) << why;
  EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), ids.begin())) << why;
}

TEST(PromptPrefixTest, ChatsWithTheSystemMessageBeginSo) {
  const std::pair<std::string, std::string> kinds[] = {{"qwen2", "qwen2.5"}, {"qwen2", "qwen3"}, {"llama3", "llama3"}};
  for (const auto& [name, chat] : kinds) {
    const auto tokenizer = WithTemplate(name, chat);
    const std::string system = "You answer briefly.\nAlways in rhyme";
    const auto prefix = PromptPrefix(system, *tokenizer);
    ASSERT_TRUE(prefix.ok()) << chat << ": " << prefix.status();
    const size_t words = tokenizer->Encode(system).size();
    EXPECT_GT(prefix->size(), words + 2) << chat << ": the template's own tokens are there";
    for (const std::string& question : kGoesOn) {
      const std::vector<ChatMessage> messages = {
          {"system", system}, {"user", question}, {"assistant", "a"}, {"user", "b"}};
      ExpectBegins(tokenizer->Encode(*ApplyChatTemplate(*tokenizer, messages, true)), *prefix, chat + ": " + question);
    }
  }
}

TEST(PromptPrefixTest, PlainTextsThatGoOnBeginSo) {
  const auto tokenizer = Tokenizer::Load(kTestData + "qwen2").value();
  ASSERT_FALSE(tokenizer->chat_template());
  for (const std::string text : {"Translate to French", "One.\nTwo:\n", "A list:\n\n- ", "Numbers 1 2 3", "x = (",
                                 "a   ", "<|im_start|>user", "no end <|im_end|>", "请用中文回答。"}) {
    const auto prefix = PromptPrefix(text, *tokenizer);
    ASSERT_TRUE(prefix.ok()) << text << ": " << prefix.status();
    for (const std::string& next : kGoesOn) ExpectBegins(tokenizer->Encode(text + next), *prefix, text + "|" + next);
  }
  EXPECT_EQ(PromptPrefix("no end <|im_end|>", *tokenizer)->size(), tokenizer->Encode("no end <|im_end|>").size())
      << "nothing changes a special token";
  EXPECT_EQ(PromptPrefix("请用中文回答。谢谢", *tokenizer)->empty(), false) << "white space is not needed";
  EXPECT_THAT(std::string(PromptPrefix("", *tokenizer).status().message()), HasSubstr("too short"));
}

TEST(PromptPrefixTest, ATemplateWithoutSystemMessagesIsNamed) {
  const auto ignoring =
      SmallTokenizer("{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}");
  EXPECT_THAT(std::string(PromptPrefix("be brief", *ignoring).status().message()), HasSubstr("no system message"));
  const auto refusing = SmallTokenizer("{{ raise_exception('System role not supported') }}");
  EXPECT_THAT(std::string(PromptPrefix("be brief", *refusing).status().message()), HasSubstr("System role"));
}

TEST(WarmTexts, FilesAreOfTheModelsThatTheyName) {
  const std::string path = ::testing::TempDir() + "/warm.txt";
  ASSERT_TRUE(WriteFileAtomically(path, "be brief please\r\n").ok());
  const std::string models[] = {"one", "two"}, arguments[] = {path, "two=" + path};
  const auto texts = ReadWarmTexts(arguments, models);
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_EQ(texts->at(1).text, "be brief please");
  const auto tokenizer = SmallTokenizer();
  EXPECT_EQ(PromptPrefixes(*texts, "one", *tokenizer)->size(), 1u);
  EXPECT_EQ(PromptPrefixes(*texts, "two", *tokenizer)->size(), 2u);
  EXPECT_EQ(PromptPrefixes(*texts, "two", *tokenizer)->at(1).size(), 9u);  // "be brief "
  const std::string unknown[] = {"three=" + path}, missing[] = {path + ".none"};
  EXPECT_THAT(std::string(ReadWarmTexts(unknown, models).status().message()), HasSubstr("no model three"));
  EXPECT_THAT(std::string(ReadWarmTexts(missing, models).status().message()), HasSubstr("warm.txt.none"));
  ASSERT_TRUE(WriteFileAtomically(path, "\n").ok());
  EXPECT_THAT(std::string(PromptPrefixes(*ReadWarmTexts(arguments, models), "one", *tokenizer).status().message()),
              HasSubstr("--warm " + path));
}

}  // namespace
}  // namespace radlads
