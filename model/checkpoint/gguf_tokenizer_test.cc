// What a tokenizer's files say survives GGUF, and the reverse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/tokenizer/tokenizer.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_writer.h"

namespace radlads {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kLlama3[] = "data/tokenizer/testdata/llama3/tokenizer.json";
constexpr int32_t kBegin = 4090, kEndOfText = 4091, kEndOfTurn = 4094;  // <|begin_of_text|>, <|end_of_text|>, <|eot_id|>
const std::vector<int32_t> kHi = {1443};                                // "hi"

// For both directions a directory of its own.
std::string Directory(const std::string& name) {
  const std::string directory =
      JoinPath(::testing::TempDir(), std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + "/" + name);
  EXPECT_TRUE(MakeDirectories(directory).ok());
  return directory;
}

absl::StatusOr<std::shared_ptr<const GgufFile>> Reopen(const GgufMetadata& metadata) {
  const std::string path = JoinPath(Directory("gguf"), "x.gguf");
  const absl::Status written = WriteGguf(path, metadata, {});
  if (!written.ok()) return written;
  return GgufFile::Open(path);
}

absl::StatusOr<std::shared_ptr<const GgufFile>> Export(const TokenizerFiles& files, const ModelConfig& config) {
  GgufMetadata metadata;
  const absl::Status set = SetTokenizer(files, config, metadata);
  if (!set.ok()) return set;
  return Reopen(metadata);
}

std::shared_ptr<const Tokenizer> Load(const TokenizerFiles& files, const std::string& name) {
  const std::string directory = Directory(name);
  EXPECT_TRUE(WriteTokenizerFiles(files, directory).ok());
  auto tokenizer = Tokenizer::Load(directory);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

// The tokenizer of Llama 3, with what `post_processor` puts around a text and `files` beside it.
class LlamaFiles {
 public:
  LlamaFiles() : tokenizer_(json::parse(*ReadFile(kLlama3))) { config_.set_vocab_size(4096); }

  LlamaFiles& PostProcessor(json post_processor) {
    tokenizer_["post_processor"] = std::move(post_processor);
    return *this;
  }
  LlamaFiles& Change(const std::function<void(json&)>& change) {
    change(tokenizer_);
    return *this;
  }
  LlamaFiles& Beside(const std::string& name, const json& contents) { return Text(name, contents.dump()); }
  LlamaFiles& Text(const std::string& name, const std::string& contents) {
    beside_.emplace_back(name, contents);
    return *this;
  }
  ModelConfig& config() { return config_; }
  TokenizerFiles Files() const {
    TokenizerFiles files = beside_;
    files.emplace_back("tokenizer.json", tokenizer_.dump());
    return files;
  }
  absl::StatusOr<std::shared_ptr<const GgufFile>> ToGguf() const { return Export(Files(), config_); }

 private:
  json tokenizer_;
  TokenizerFiles beside_;
  ModelConfig config_;
};

json Special(const std::string& token) { return {{"SpecialToken", {{"id", token}, {"type_id", 0}}}}; }
json Template(const std::vector<std::string>& before, const std::vector<std::string>& behind) {
  const std::map<std::string, int32_t> ids = {{"<|begin_of_text|>", kBegin}, {"<|end_of_text|>", kEndOfText}, {"<|eot_id|>", kEndOfTurn}};
  json single = json::array(), tokens = json::object();
  const auto add = [&](const std::string& token) {
    single.push_back(Special(token));
    tokens[token] = {{"id", token}, {"ids", json::array({ids.at(token)})}, {"tokens", json::array({token})}};
  };
  for (const std::string& token : before) add(token);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  for (const std::string& token : behind) add(token);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", json::array()}, {"special_tokens", tokens}};
}
json InSequence(const json& processor) {
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  return {{"type", "Sequence"}, {"processors", json::array({byte_level, processor})}};
}

const json kSettings = {{"bos_token", "<|begin_of_text|>"}, {"eos_token", "<|end_of_text|>"}};

// gguf-py's SpecialVocab gives {"bos": True} for the first two, {"bos": True, "eos": True} for the others.
TEST(GgufTokenizer, WhatGoesAroundATextSurvives) {
  const json bos = Template({"<|begin_of_text|>"}, {}), both = Template({"<|begin_of_text|>"}, {"<|end_of_text|>"});
  for (const auto& [post_processor, has_eos] : {std::pair{bos, false}, {InSequence(bos), false}, {both, true}, {InSequence(both), true},
                                                {InSequence(InSequence(both)), true}}) {
    LlamaFiles files;
    files.PostProcessor(post_processor).Beside("tokenizer_config.json", kSettings);
    const auto gguf = files.ToGguf();
    ASSERT_TRUE(gguf.ok()) << gguf.status();
    EXPECT_EQ(*(*gguf)->Bool("tokenizer.ggml.add_bos_token"), true);
    EXPECT_EQ((*gguf)->HasKey("tokenizer.ggml.add_eos_token"), has_eos);
    const auto back = TokenizerFilesFromGguf(**gguf);
    ASSERT_TRUE(back.ok()) << back.status();
    const auto before = Load(files.Files(), "before"), after = Load(*back, "after");
    ASSERT_TRUE(before != nullptr && after != nullptr);
    std::vector<int32_t> expected = {kBegin, kHi[0]};
    if (has_eos) expected.push_back(kEndOfText);
    EXPECT_EQ(before->Encode("hi", true), expected);
    EXPECT_EQ(after->Encode("hi", true), expected);
    EXPECT_EQ(after->Hash(), before->Hash());
  }
  LlamaFiles plain;
  const auto none = plain.PostProcessor(nullptr).Beside("tokenizer_config.json", kSettings).ToGguf();
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(*(*none)->Bool("tokenizer.ggml.add_bos_token"), false);
}

TEST(GgufTokenizer, OtherThingsAroundATextAreRefused) {
  for (const json& post_processor : {Template({"<|eot_id|>"}, {}), Template({"<|begin_of_text|>", "<|eot_id|>"}, {}),
                                     Template({}, {"<|end_of_text|>", "<|eot_id|>"})}) {
    LlamaFiles files;
    const auto gguf = files.PostProcessor(post_processor).Beside("tokenizer_config.json", kSettings).ToGguf();
    EXPECT_EQ(gguf.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_THAT(std::string(gguf.status().message()), HasSubstr("its BOS before and an EOS behind"));
  }
  // A token behind a text that is not the EOS of its tokenizer becomes that of the file, and the other one still ends a text.
  LlamaFiles files;
  const auto gguf = files.PostProcessor(Template({}, {"<|eot_id|>"})).Beside("tokenizer_config.json", kSettings).ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_THAT(*EndTokenIdsFromGguf(**gguf), ElementsAre(kEndOfTurn, kEndOfText));
  EXPECT_EQ(*(*gguf)->Bool("tokenizer.ggml.add_eos_token"), true);
}

TEST(GgufTokenizer, EverythingThatEndsATextSurvives) {
  LlamaFiles files;
  files.Beside("tokenizer_config.json", {{"eos_token", {{"content", "<|eot_id|>"}}}});
  files.Beside("generation_config.json", {{"eos_token_id", {kEndOfText, 4092, kEndOfTurn}}});
  files.config().set_eos_token_id(4093);
  auto gguf = files.ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(*(*gguf)->Int("tokenizer.ggml.eos_token_id"), kEndOfTurn);
  EXPECT_EQ(*(*gguf)->Int("tokenizer.ggml.eot_token_id"), kEndOfText);
  EXPECT_EQ(*(*gguf)->Int("tokenizer.ggml.eom_token_id"), 4092);
  EXPECT_THAT(*(*gguf)->Ints("tokenizer.ggml.eos_token_ids"), ElementsAre(kEndOfTurn, kEndOfText, 4092, 4093));
  auto back = TokenizerFilesFromGguf(**gguf);
  ASSERT_TRUE(back.ok()) << back.status();
  const auto after = Load(*back, "after");
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(after->eos_id(), kEndOfTurn);
  EXPECT_THAT(after->stop_ids(), ElementsAre(kEndOfTurn, kEndOfText, 4092, 4093));

  // Three fit into the keys of llama.cpp; one is a number, not a list.
  LlamaFiles three;
  gguf = three.Beside("generation_config.json", {{"eos_token_id", {kEndOfText, 4092, 4093}}}).ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_FALSE((*gguf)->HasKey("tokenizer.ggml.eos_token_ids"));
  EXPECT_THAT(*EndTokenIdsFromGguf(**gguf), ElementsAre(kEndOfText, 4092, 4093));
  LlamaFiles one;
  one.config().set_eos_token_id(kEndOfText);
  gguf = one.ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  back = TokenizerFilesFromGguf(**gguf);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(json::parse(*FindTokenizerFile(*back, "generation_config.json"))["eos_token_id"], kEndOfText);
}

TEST(GgufTokenizer, AModelWithoutTokenizerComesBack) {
  ModelConfig config;
  config.set_vocab_size(16);
  config.set_eos_token_id(3);
  const auto gguf = Export({}, config);
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(*(*gguf)->String("tokenizer.ggml.model"), "none");
  const auto back = TokenizerFilesFromGguf(**gguf);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), 1);
  EXPECT_EQ(json::parse((*back)[0].second)["eos_token_id"], 3);
}

TEST(GgufTokenizer, ChatTemplatesSurvive) {
  const json list = {{{"name", "default"}, {"template", "D{{messages[0].content}}"}}, {{"name", "tool-use"}, {"template", "U"}}};
  LlamaFiles in_list, in_files, nameless, single;
  in_list.Beside("tokenizer_config.json", {{"chat_template", list}});
  in_files.Text("chat_template.jinja", "D{{messages[0].content}}").Text("additional_chat_templates/tool-use.jinja", "U");
  for (const LlamaFiles* files : {&in_list, &in_files}) {
    const auto gguf = files->ToGguf();
    ASSERT_TRUE(gguf.ok()) << gguf.status();
    EXPECT_EQ(*(*gguf)->String("tokenizer.chat_template"), "D{{messages[0].content}}");
    EXPECT_EQ(*(*gguf)->String("tokenizer.chat_template.tool_use"), "U");
    EXPECT_THAT(*(*gguf)->Strings("tokenizer.chat_templates"), ElementsAre("tool_use"));
    const auto back = TokenizerFilesFromGguf(**gguf);
    ASSERT_TRUE(back.ok()) << back.status();
    const auto after = Load(*back, "after");
    ASSERT_NE(after, nullptr);
    EXPECT_EQ(after->chat_template(), "D{{messages[0].content}}");
    EXPECT_THAT(after->chat_template_names(), ElementsAre("default", "tool_use"));
  }
  auto gguf = nameless.Beside("tokenizer_config.json", {{"chat_template", {{{"name", "chat"}, {"template", "C"}}}}}).ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_FALSE((*gguf)->HasKey("tokenizer.chat_template"));
  EXPECT_EQ(*(*gguf)->String("tokenizer.chat_template.chat"), "C");
  gguf = single.Beside("chat_template.json", {{"chat_template", "J"}}).ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(*(*gguf)->String("tokenizer.chat_template"), "J");
  LlamaFiles twice;
  twice.Beside("tokenizer_config.json", {{"chat_template", {{"a-b", "1"}, {"a.b", "2"}}}});
  EXPECT_THAT(std::string(twice.ToGguf().status().message()), HasSubstr("named \"a.b\""));
}

TEST(GgufTokenizer, AddedTokensBeyondTheEmbeddingAreLeftOut) {
  LlamaFiles files;
  files.config().set_vocab_size(4095);  // and 4096 ids
  const auto gguf = files.ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ((*gguf)->Strings("tokenizer.ggml.tokens")->size(), 4095);
  files.config().set_vocab_size(4000);
  EXPECT_THAT(std::string(files.ToGguf().status().message()), HasSubstr("the token 4000, but the embedding has 4000 rows"));
}

// llama.cpp's llama-bpe takes a piece that is a token without merging, whether the tokenizer does so or not.
TEST(GgufTokenizer, NamesOfPreTokenizersSayHowPiecesAreMerged) {
  LlamaFiles whole, merged;
  EXPECT_EQ(*(*whole.ToGguf())->String("tokenizer.ggml.pre"), "llama-bpe");
  const auto gguf = merged.Change([](json& tokenizer) { tokenizer["model"]["ignore_merges"] = false; }).ToGguf();
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(*(*gguf)->String("tokenizer.ggml.pre"), "smaug-bpe");
  const auto back = TokenizerFilesFromGguf(**gguf);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(Load(*back, "after")->Hash(), Load(merged.Files(), "before")->Hash());
  LlamaFiles normalized;
  EXPECT_THAT(std::string(normalized.Change([](json& tokenizer) { tokenizer["normalizer"] = {{"type", "NFC"}}; }).ToGguf().status().message()),
              HasSubstr("none of llama.cpp's pre-tokenizers"));
}

GgufMetadata Words(const std::string& pre, const std::vector<std::string>& tokens, const std::vector<int32_t>& types) {
  GgufMetadata metadata;
  metadata.SetString("tokenizer.ggml.model", "gpt2");
  if (!pre.empty()) metadata.SetString("tokenizer.ggml.pre", pre);
  metadata.SetStrings("tokenizer.ggml.tokens", tokens);
  metadata.SetI32s("tokenizer.ggml.token_type", types);
  metadata.SetStrings("tokenizer.ggml.merges", {"a b"});
  metadata.SetBool("tokenizer.ggml.add_bos_token", false);
  metadata.SetU32("tokenizer.ggml.eos_token_id", 0);
  return metadata;
}

// What is rebuilt must be read here, and give the ids of the file, wherever it has its control tokens. (A published
// tokenizer.json with such ids has them in its vocabulary as well; elsewhere other software would number them anew.)
TEST(GgufTokenizer, ControlTokensStayWhereTheyAre) {
  const std::vector<std::string> tokens = {"<|im_end|>", "a", "b", "ab", "<tool>", "unused", "<|end|>"};
  const std::vector<int32_t> types = {3, 1, 1, 1, 4, 5, 3};
  for (const char* pre : {"smollm", "gpt-2", "qwen2", "llama-bpe", "deepseek-r1-qwen", "falcon3"}) {
    const auto gguf = Reopen(Words(pre, tokens, types));
    ASSERT_TRUE(gguf.ok()) << gguf.status();
    const auto files = TokenizerFilesFromGguf(**gguf);
    ASSERT_TRUE(files.ok()) << files.status();
    const auto tokenizer = Load(*files, pre);
    ASSERT_NE(tokenizer, nullptr) << pre;
    EXPECT_THAT(tokenizer->Encode("ab<tool>a<|im_end|>b<|end|>"), ElementsAre(3, 4, 1, 0, 2, 6)) << pre;
    EXPECT_EQ(tokenizer->eos_id(), 0) << pre;
  }
  // Numbered after the vocabulary, they stand apart where the published files have them so.
  const auto gguf = Reopen(Words("qwen2", {"a", "b", "ab", "<|im_end|>", "<tool>"}, {1, 1, 1, 3, 4}));
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const auto files = TokenizerFilesFromGguf(**gguf);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(json::parse(*FindTokenizerFile(*files, "tokenizer.json"))["model"]["vocab"].size(), 3);
}

TEST(GgufTokenizer, NamesThatLlamaCppReadsAlike) {
  const auto rebuilt = [](const std::string& pre) {
    const auto gguf = Reopen(Words(pre, {"a", "b", "ab", "<end>"}, {1, 1, 1, 3}));
    EXPECT_TRUE(gguf.ok()) << gguf.status();
    return TokenizerFilesFromGguf(**gguf);
  };
  const std::vector<std::pair<const char*, std::vector<const char*>>> alike = {
      {"smollm", {"starcoder", "refact"}},
      {"gpt-2", {"phi-2"}},
      {"qwen2", {"deepseek-r1-qwen", "megrez"}},
      {"llama-bpe", {"llama3", "llama-v3", "falcon3"}},
      {"smaug-bpe", {"dbrx"}},
  };
  for (const auto& [name, others] : alike) {
    const auto expected = rebuilt(name);
    ASSERT_TRUE(expected.ok()) << expected.status();
    for (const char* other : others) {
      const auto found = rebuilt(other);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(*found, *expected) << other;
    }
  }
  for (const char* unknown : {"", "default", "pixtral", "deepseek-v3"}) {
    EXPECT_THAT(std::string(rebuilt(unknown).status().message()), HasSubstr("with --tokenizer DIRECTORY")) << unknown;
  }
}

// A file of gguf-py in three parts, whose tokenizer uses everything above (testdata/make_gguf.py).
TEST(GgufTokenizer, ReadsWhatGgufPyWrites) {
  const auto gguf = GgufFile::Open("model/checkpoint/testdata/split/tiny-00001-of-00003.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const auto files = TokenizerFilesFromGguf(**gguf);
  ASSERT_TRUE(files.ok()) << files.status();
  const auto tokenizer = Load(*files, "read");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(tokenizer->stop_ids(), ElementsAre(1, 2, 3));
  EXPECT_EQ(tokenizer->bos_id(), 0);
  const auto id = [&](const char* token) { return *tokenizer->IdOf(token); };
  EXPECT_THAT(tokenizer->Encode("ab!<|eot_id|>", true), ElementsAre(0, id("ab"), id("!"), 2, 1));
  EXPECT_EQ(tokenizer->chat_template(), "D{{ messages[0].content }}");
  EXPECT_THAT(tokenizer->chat_template_names(), ElementsAre("default", "tool_use"));
}

}  // namespace
}  // namespace radlads
