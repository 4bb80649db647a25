#include "data/tokenizer/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

using nlohmann::json;

const std::string kTestData = "data/tokenizer/testdata/";

// The tokenizer `name` of the test data with another tokenizer_config.json.
std::shared_ptr<const Tokenizer> WithConfig(const std::string& name, const json& config) {
  const std::string directory = testing::TempDir() + "/" + name;
  EXPECT_TRUE(MakeDirectories(directory).ok());
  const auto text = ReadFile(kTestData + name + "/tokenizer.json");
  EXPECT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(WriteFileAtomically(directory + "/tokenizer.json", *text).ok());
  EXPECT_TRUE(WriteFileAtomically(directory + "/tokenizer_config.json", config.dump()).ok());
  auto tokenizer = Tokenizer::Load(directory);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

std::string TemplateText(const std::string& name) {
  const auto text = ReadFile(kTestData + "templates/" + name + ".jinja");
  EXPECT_TRUE(text.ok()) << text.status();
  return *text;
}

std::shared_ptr<const Tokenizer> Qwen(const std::string& chat_template) {
  return WithConfig(
      "qwen2",
      {{"bos_token", nullptr}, {"eos_token", "<|im_end|>"}, {"chat_template", chat_template}});
}

// Texts made by jinja2 3.1 with the settings of transformers.
TEST(ChatTemplate, RendersAsTransformers) {
  std::map<std::string, std::shared_ptr<const Tokenizer>> tokenizers;
  tokenizers["smollm2"] = Tokenizer::Load(kTestData + "smollm2").value();
  tokenizers["qwen2.5"] = Qwen(TemplateText("qwen2.5"));
  tokenizers["qwen3"] = Qwen(TemplateText("qwen3"));
  tokenizers["llama3"] = WithConfig("llama3", {{"bos_token", "<|begin_of_text|>"},
                                               {"eos_token", "<|eot_id|>"},
                                               {"chat_template", TemplateText("llama3")}});
  std::ifstream file(kTestData + "templates/chat_golden.jsonl");
  int rows = 0;
  for (std::string line; std::getline(file, line); ++rows) {
    const json row = json::parse(line);
    std::vector<ChatMessage> messages;
    for (const json& message : row["messages"])
      messages.push_back({message["role"], message["content"]});
    const auto text =
        ApplyChatTemplate(*tokenizers.at(row["template"]), messages, row["add_generation_prompt"]);
    ASSERT_TRUE(text.ok()) << text.status() << line;
    EXPECT_EQ(*text, row["text"].get<std::string>()) << line;
  }
  EXPECT_EQ(rows, 40);
}

TEST(ChatTemplate, SmolLm2PromptHasTheIdsOfItsSpecialTokens) {
  const auto tokenizer = Tokenizer::Load(kTestData + "smollm2").value();
  const std::vector<ChatMessage> messages = {{"system", "S"}, {"user", "Hi"}};
  const auto text = ApplyChatTemplate(*tokenizer, messages, true);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(
      *text,
      "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  const auto ids = tokenizer->Encode(*text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 3);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 2);
}

TEST(ChatTemplate, ErrorsNameTheReason) {
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  const auto status = [&](const std::string& source) {
    return std::string(ApplyChatTemplate(*Qwen(source), messages, true).status().ToString());
  };
  EXPECT_NE(status("{{ raise_exception('only ' ~ messages[0].role) }}").find("only user"),
            std::string::npos);
  EXPECT_NE(status("a\n{{ messages | groupby }}").find("line 2: the filter groupby"),
            std::string::npos);
  EXPECT_NE(status("{% macro f() %}{% endmacro %}").find("{% macro %}"), std::string::npos);
  EXPECT_NE(status("{{ bos_token + 'x' }}").find("\"bos_token\" is undefined"), std::string::npos);
  const auto none = Tokenizer::Load(kTestData + "qwen2").value();
  EXPECT_EQ(ApplyChatTemplate(*none, messages, true).status().code(),
            absl::StatusCode::kFailedPrecondition);
  // transformers refuses several templates without a default one, too.
  const std::string directory = testing::TempDir() + "/templates_without_default";
  ASSERT_TRUE(MakeDirectories(directory).ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/tokenizer.json", *ReadFile(kTestData + "qwen2/tokenizer.json")).ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/tokenizer_config.json",
                                  R"({"chat_template": [{"name": "chat", "template": "c"}, {"name": "rag", "template": "r"}]})")
                  .ok());
  const auto named = Tokenizer::Load(directory);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_NE(std::string(ApplyChatTemplate(**named, messages, true).status().message()).find("named chat, rag, but none"),
            std::string::npos);
}

}  // namespace
}  // namespace radlads
