#include "data/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "base/file.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/testing/random_text.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

using nlohmann::json;
using TokenizerPtr = std::shared_ptr<const Tokenizer>;

const std::string kTestData = "data/tokenizer/testdata/";

TokenizerPtr LoadTestData(const std::string& name) {
  auto tokenizer = Tokenizer::Load(kTestData + name);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::vector<json> ReadLines(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(json::parse(line));
  return rows;
}

class TokenizerGolden : public testing::TestWithParam<std::string> {};

TEST_P(TokenizerGolden, EncodesAsTheLibrary) {
  const TokenizerPtr tokenizer = LoadTestData(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  Tokenizer::Encoder encoder = tokenizer->NewEncoder();
  auto rows = ReadLines(kTestData + GetParam() + "/encode.jsonl");
  // Random texts and long runs, made by compare_with_peers.py golden.
  for (json& row : ReadLines(kTestData + GetParam() + "/random.jsonl")) rows.push_back(std::move(row));
  ASSERT_GT(rows.size(), 100u);
  // Twice, so that the second time the encoder answers from its cache.
  for (int round = 0; round < 2; ++round) {
    for (const json& row : rows) {
      const auto text = row["text"].get<std::string>();
      const auto ids = row["ids"].get<std::vector<int32_t>>();
      EXPECT_EQ(tokenizer->Encode(text), ids) << row["text"];
      std::vector<int32_t> appended = {-7};
      encoder.EncodeTo(text, &appended);
      EXPECT_EQ(std::vector<int32_t>(appended.begin() + 1, appended.end()), ids) << row["text"];
      if (row.contains("ids_with_special")) {
        EXPECT_EQ(tokenizer->Encode(text, true), row["ids_with_special"].get<std::vector<int32_t>>()) << row["text"];
      }
    }
  }
}

TEST_P(TokenizerGolden, DecodesAsTheLibrary) {
  const TokenizerPtr tokenizer = LoadTestData(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  for (const json& row : ReadLines(kTestData + GetParam() + "/encode.jsonl")) {
    const auto text = tokenizer->Decode(row["ids"].get<std::vector<int32_t>>(), false);
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, row.value("decoded", row["text"].get<std::string>()));
  }
  const auto rows = ReadLines(kTestData + GetParam() + "/decode.jsonl");
  ASSERT_GT(rows.size(), 40u);
  for (const json& row : rows) {
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer->Decode(ids, false).value(), row["text"].get<std::string>()) << row["ids"];
    EXPECT_EQ(tokenizer->Decode(ids, true).value(), row["text_skip_special"].get<std::string>()) << row["ids"];
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, testing::Values("smollm2", "qwen2", "llama3", "qwen2_added"),
                         [](const auto& info) { return info.param; });

// A tokenizer with a token for every byte (ids 0 to 255), "ab", "abc" and one special token.
json SmallTokenizer() {
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[ByteToCharacter(static_cast<uint8_t>(byte))] = byte;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", json::array({json{{"id", 258},
                                             {"content", "<end>"},
                                             {"single_word", false},
                                             {"lstrip", false},
                                             {"rstrip", false},
                                             {"normalized", false},
                                             {"special", true}}})},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array({"a b", json::array({"ab", "c"})})}}}};
}

absl::StatusOr<TokenizerPtr> FromJson(const json& value) {
  return Tokenizer::FromJson(value.dump(), "small.json");
}

using Ids = std::vector<int32_t>;

TEST(Tokenizer, SmallOneDoesWhatItsFileSays) {
  const auto tokenizer = FromJson(SmallTokenizer());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const Tokenizer& t = **tokenizer;
  EXPECT_EQ(t.Encode("abcab a"), (Ids{257, 256, ' ', 'a'}));
  EXPECT_EQ(t.Encode("a<end>b<en"), (Ids{'a', 258, 'b', '<', 'e', 'n'}));
  EXPECT_EQ(t.Encode(""), Ids{});
  EXPECT_EQ(t.vocab_size(), 259);
  EXPECT_EQ(t.IdOf("abc"), 257);
  EXPECT_EQ(t.IdOf("<end>"), 258);
  EXPECT_EQ(t.IdOf("nothing"), std::nullopt);
  EXPECT_EQ(t.TokenOf(' '), "Ġ");
  EXPECT_EQ(t.BytesOf(' '), " ");
  EXPECT_EQ(t.TokenOf(259), std::nullopt);
  EXPECT_TRUE(t.IsSpecial(258));
  EXPECT_FALSE(t.IsSpecial(-1));
  EXPECT_EQ(t.eos_id(), std::nullopt);
  EXPECT_EQ(t.chat_template(), std::nullopt);
}

TEST(Tokenizer, UnknownIdsAreErrors) {
  const auto t = FromJson(SmallTokenizer()).value();
  for (const int32_t id : {-1, 259, 1 << 30}) {
    const auto text = t->Decode(Ids{'a', id}, true);
    EXPECT_EQ(text.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_NE(std::string(text.status().message()).find(std::to_string(id)), std::string::npos) << text.status();
  }
}

TEST(Tokenizer, IllFormedTextIsReadAsReplacementCharacters) {
  for (const char* name : {"smollm2", "qwen2"}) {
    const TokenizerPtr t = LoadTestData(name);
    ASSERT_NE(t, nullptr);
    const std::string r = "\xEF\xBF\xBD";
    EXPECT_EQ(t->Encode("a\xFF z"), t->Encode("a" + r + " z"));
    EXPECT_EQ(t->Encode("\xE2\x82<|im_end|>"), t->Encode(r + "<|im_end|>"));
    EXPECT_EQ(t->Encode("\xED\xA0\x80"), t->Encode(r + r + r));
  }
}

TEST(Tokenizer, PrefixSpaceIsPutBeforeEveryPart) {
  json file = SmallTokenizer();
  file["pre_tokenizer"]["add_prefix_space"] = true;
  const auto t = FromJson(file).value();
  EXPECT_EQ(t->Encode("a<end>b"), (Ids{' ', 'a', 258, ' ', 'b'}));
  EXPECT_EQ(t->Encode(" a"), (Ids{' ', 'a'}));
  EXPECT_EQ(t->Encode(""), Ids{});
}

TEST(Tokenizer, TemplateGoesAroundTheText) {
  json file = SmallTokenizer();
  file["post_processor"] = json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "ab", "type_id": 0}}],
      "special_tokens": {"<end>": {"id": "<end>", "ids": [258], "tokens": ["<end>"]},
                         "ab": {"id": "ab", "ids": [256, 97], "tokens": ["ab", "a"]}}})");
  const auto t = FromJson(file);
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ((*t)->Encode("b", true), (Ids{258, 'b', 256, 97}));
  EXPECT_EQ((*t)->Encode("", true), (Ids{258, 256, 97}));
  EXPECT_EQ((*t)->Encode("b"), Ids{'b'});
}

TEST(Tokenizer, TemplatesWithinSequencesGoAroundTheText) {
  json file = SmallTokenizer();
  file["post_processor"] = json::parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
      {"type": "Sequence", "processors": [{"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "<end>"}}, {"Sequence": {"id": "A"}}],
          "special_tokens": {"<end>": {"id": "<end>", "ids": [258], "tokens": ["<end>"]}}}]}]})");
  const auto t = FromJson(file);
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ((*t)->Encode("b", true), (Ids{258, 'b'}));
}

TEST(Tokenizer, ReadsTheFilesBeside) {
  const TokenizerPtr t = LoadTestData("smollm2/tokenizer.json");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->vocab_size(), 49152);
  EXPECT_EQ(t->bos_id(), 1);
  EXPECT_EQ(t->eos_id(), 2);
  EXPECT_EQ(t->pad_id(), 2);
  EXPECT_EQ(t->stop_ids(), Ids{2});
  EXPECT_TRUE(t->chat_template().has_value());
  EXPECT_EQ(LoadTestData("qwen2")->eos_id(), std::nullopt);
}

// Writes the small tokenizer and `files` into a directory of its own.
std::string WriteDirectory(const std::string& name, const std::vector<std::pair<std::string, std::string>>& files) {
  const std::string directory = testing::TempDir() + "/" + name;
  EXPECT_TRUE(MakeDirectories(directory).ok());
  EXPECT_TRUE(WriteFileAtomically(directory + "/tokenizer.json", SmallTokenizer().dump()).ok());
  for (const auto& [file, text] : files) EXPECT_TRUE(WriteFileAtomically(directory + "/" + file, text).ok());
  return directory;
}

TEST(Tokenizer, SettingsHaveAnOrder) {
  const auto first = Tokenizer::Load(WriteDirectory(
      "order", {{"tokenizer_config.json", R"({"eos_token": {"content": "ab"}, "bos_token": null,
                                    "chat_template": [{"name": "tool", "template": "x"}, {"name": "default", "template": "y"}]})"},
                {"special_tokens_map.json", R"({"eos_token": "abc", "bos_token": "a", "pad_token": "<end>"})"},
                {"generation_config.json", R"({"eos_token_id": [258, 256], "bos_token_id": 97})"}}));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->eos_id(), 256);
  EXPECT_EQ((*first)->bos_id(), std::nullopt) << "null in tokenizer_config.json";
  EXPECT_EQ((*first)->pad_id(), 258);
  EXPECT_EQ((*first)->stop_ids(), (Ids{256, 258}));
  EXPECT_EQ((*first)->chat_template(), "y");
  const auto second = Tokenizer::Load(WriteDirectory(
      "generation_only",
      {{"generation_config.json", R"({"eos_token_id": 258, "bos_token_id": 97})"}, {"chat_template.jinja", "z"}}));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*second)->eos_id(), 258);
  EXPECT_EQ((*second)->bos_id(), 97);
  EXPECT_EQ((*second)->chat_template(), "z");
  EXPECT_EQ((*first)->Hash(), (*second)->Hash()) << "settings do not change ids";
}

TEST(Tokenizer, EverythingThatNamesAnEndEndsAText) {
  const auto t = Tokenizer::Load(WriteDirectory("ends", {{"tokenizer_config.json", R"({"eos_token": "<end>"})"},
                                                         {"generation_config.json", R"({"eos_token_id": 256})"},
                                                         {"config.json", R"({"eos_token_id": [257, 256]})"}}));
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ((*t)->eos_id(), 258);
  EXPECT_EQ((*t)->stop_ids(), (Ids{258, 256, 257}));
  // One id as well as a list, twice the same key as Python reads it, and no other file that names an end.
  const auto alone = Tokenizer::Load(WriteDirectory("ends_in_config", {{"config.json", R"({"eos_token_id": 1, "eos_token_id": 257})"}}));
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ((*alone)->eos_id(), 257);
  EXPECT_EQ((*alone)->stop_ids(), Ids{257});
  // An embedding has more rows than a tokenizer has tokens: such an end is no text, but an end.
  const auto beyond = Tokenizer::Load(WriteDirectory("ends_beyond", {{"config.json", R"({"eos_token_id": 300})"}}));
  ASSERT_TRUE(beyond.ok()) << beyond.status();
  EXPECT_EQ((*beyond)->eos_id(), std::nullopt);
  EXPECT_EQ((*beyond)->stop_ids(), Ids{300});
}

TEST(Tokenizer, ChatTemplatesOfEveryKindOfFile) {
  const auto load = [](const std::string& name, const std::vector<std::pair<std::string, std::string>>& files) {
    EXPECT_TRUE(MakeDirectories(testing::TempDir() + "/" + name + "/additional_chat_templates").ok());
    const auto t = Tokenizer::Load(WriteDirectory(name, files));
    EXPECT_TRUE(t.ok()) << t.status();
    return *t;
  };
  const std::string list = R"({"chat_template": [{"name": "chat", "template": "c"}, {"name": "tool_use", "template": "u"}]})";
  const auto named = load("named_templates", {{"tokenizer_config.json", list}});
  EXPECT_EQ(named->chat_template(), std::nullopt) << "none of them is the default one";
  EXPECT_EQ(named->chat_template_names(), (std::vector<std::string>{"chat", "tool_use"}));
  const auto files = load("template_files", {{"tokenizer_config.json", list},
                                             {"chat_template.jinja", "j"},
                                             {"chat_template.json", R"({"chat_template": "n"})"},
                                             {"additional_chat_templates/rag.jinja", "r"}});
  EXPECT_EQ(files->chat_template(), "j") << "files of templates count, as in transformers";
  EXPECT_EQ(files->chat_template_names(), (std::vector<std::string>{"default", "rag"}));
  EXPECT_EQ(load("template_json", {{"chat_template.json", R"({"chat_template": "n"})"}})->chat_template(), "n");
  EXPECT_EQ(load("template_object", {{"tokenizer_config.json", R"({"chat_template": {"default": "o"}})"}})->chat_template(), "o");
  EXPECT_TRUE(load("no_template", {{"tokenizer_config.json", R"({"chat_template": []})"}})->chat_template_names().empty());
}

TEST(Tokenizer, SettingsThatDoNotFitAreErrors) {
  const std::vector<std::array<std::string, 3>> cases = {
      {"tokenizer_config.json", R"({"eos_token": "<eos>"})", "<eos>"},
      {"tokenizer_config.json", R"({"eos_token": 5})", "eos_token"},
      {"tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})", "chat_template"},
      {"tokenizer_config.json", R"({"chat_template": {"default": 1}})", "chat_template"},
      {"config.json", R"({"eos_token_id": "<end>"})", "config.json: eos_token_id"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"258": {"content": "<other>"}}})", "<other>"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})", "added_tokens_decoder"},
      {"tokenizer_config.json", "[", "not JSON"},
      {"generation_config.json", R"({"eos_token_id": 999})", "999"},
      {"generation_config.json", R"({"eos_token_id": "x"})", "eos_token_id"}};
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto& [file, text, expected] = cases[i];
    const auto t = Tokenizer::Load(WriteDirectory("misfit" + std::to_string(i), {{file, text}}));
    ASSERT_FALSE(t.ok()) << text;
    EXPECT_NE(std::string(t.status().message()).find(expected), std::string::npos) << t.status();
  }
}

TEST(Tokenizer, MissingFileSaysWhatWasExpected) {
  const auto t = Tokenizer::Load(testing::TempDir());
  EXPECT_EQ(t.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(t.status().message()).find("tokenizer.json"), std::string::npos) << t.status();
}

struct BadInput {
  std::string name;
  std::string patch;     // JSON merge patch of the small tokenizer
  std::string expected;  // part of the message
};

class BadTokenizer : public testing::TestWithParam<BadInput> {};

TEST_P(BadTokenizer, IsRefusedWithItsReason) {
  json file = SmallTokenizer();
  file.merge_patch(json::parse(GetParam().patch));
  const auto t = FromJson(file);
  ASSERT_FALSE(t.ok());
  EXPECT_NE(std::string(t.status().message()).find(GetParam().expected), std::string::npos) << t.status();
  EXPECT_NE(std::string(t.status().message()).find("small.json"), std::string::npos) << t.status();
}

std::string Added(int id, const std::string& content, int id2, const std::string& content2) {
  const auto token = [](int id, const std::string& content) {
    return json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", false}};
  };
  json patch = json::object();
  patch["added_tokens"] = json::array({token(id, content), token(id2, content2)});
  return patch.dump();
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTokenizer,
    testing::Values(
        BadInput{"no_model", R"({"model": null})", "no \"model\""},
        BadInput{"model_not_an_object", R"({"model": 3})", "\"model\" is 3"},
        BadInput{"model_type", R"({"model": {"type": "Unigram"}})", "\"Unigram\""},
        BadInput{"no_vocab", R"({"model": {"vocab": null}})", "\"vocab\""},
        BadInput{"no_merges", R"({"model": {"merges": null}})", "\"merges\""},
        BadInput{"unknown_left", R"({"model": {"merges": ["a b", "qq b"]}})",
                 "merge 1 (\"qq b\") needs the token \"qq\""},
        BadInput{"unknown_result", R"({"model": {"merges": ["b a"]}})", "needs the token \"ba\""},
        BadInput{"merge_of_three", R"({"model": {"merges": ["a b c"]}})", "merge 0"},
        BadInput{"merge_of_numbers", R"({"model": {"merges": [[1, 2]]}})", "merge 0"},
        BadInput{"duplicate_id", R"({"model": {"vocab": {"abc": 256}}})", "id 256"},
        BadInput{"negative_id", R"({"model": {"vocab": {"abc": -1}}})", "id -1"},
        BadInput{"huge_id", R"({"model": {"vocab": {"abc": 18446744073709551615}}})", "18446744073709551615"},
        BadInput{"fractional_id", R"({"model": {"vocab": {"abc": 1.5}}})", "id 1.5"},
        BadInput{"added_hole", Added(258, "<x>", 260, "<y>"), "expected 259"},
        BadInput{"added_out_of_order", Added(259, "<x>", 258, "<y>"), "expected 258"},
        BadInput{"added_duplicate_id", Added(258, "<x>", 258, "<y>"), "belongs to \"<x>\""},
        BadInput{"added_duplicate", Added(258, "<x>", 259, "<x>"), "repeats"},
        BadInput{"added_takes_id", Added(5, "<x>", 258, "<y>"), "id 5"},
        BadInput{"added_disagrees", Added(258, "ab", 259, "<y>"), "the vocab has it as 256"},
        BadInput{"added_empty", Added(258, "", 259, "<y>"), "not empty"},
        BadInput{"added_without_flags", R"({"added_tokens": [{"id": 258, "content": "x"}]})", "single_word"},
        BadInput{"dropout", R"({"model": {"dropout": 0.1}})", "dropout"},
        BadInput{"byte_fallback", R"({"model": {"byte_fallback": true}})", "byte_fallback"},
        BadInput{"fuse_unk", R"({"model": {"fuse_unk": true}})", "fuse_unk"},
        BadInput{"subword_prefix", R"({"model": {"continuing_subword_prefix": "##"}})", "continuing_subword_prefix"},
        BadInput{"suffix", R"({"model": {"end_of_word_suffix": "</w>"}})", "end_of_word_suffix"},
        BadInput{"normalizer",
                 R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}})",
                 "normalizer \"Lowercase\""},
        BadInput{"pre_tokenizer", R"({"pre_tokenizer": {"type": "Metaspace"}})", "pre_tokenizer \"Metaspace\""},
        BadInput{"pre_tokenizer_in_sequence",
                 R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}]}})",
                 "\"Whitespace\""},
        BadInput{"no_pre_tokenizer", R"({"pre_tokenizer": null})", "no pre_tokenizer"},
        BadInput{"no_byte_level", R"({"pre_tokenizer": {"type": "Digits", "individual_digits": true}})",
                 "no ByteLevel"},
        BadInput{"after_byte_level", R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers":
            [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]}})",
                 "\"Digits\" stands after"},
        BadInput{"regex",
                 R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\d+"}, "behavior": "Isolated"}})",
                 R"("\\d+")"},
        BadInput{"post_processor", R"({"post_processor": {"type": "BertProcessing"}})", "\"BertProcessing\""},
        BadInput{"template_unknown",
                 R"({"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken":
            {"id": "<s>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}}})",
                 "<s>"},
        BadInput{"template_without_text", R"({"post_processor": {"type": "TemplateProcessing", "single": []}})",
                 "no sequence"},
        BadInput{"decoder", R"({"decoder": {"type": "WordPiece"}})", "\"WordPiece\""},
        BadInput{"no_decoder", R"({"decoder": null})", "no decoder"},
        BadInput{"version", R"({"version": "2.0"})", "\"2.0\""}),
    [](const auto& info) { return info.param.name; });

TEST(BadTokenizer, NotJson) {
  for (const char* text : {"", "{", "[]", "nonsense", "{\"a\": \"\xFF\"}", "\x1f\x8b\x08"}) {
    const auto t = Tokenizer::FromJson(text, "bad.json");
    EXPECT_EQ(t.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(std::string(t.status().message()).find("JSON"), std::string::npos) << t.status();
  }
}

TEST(BadTokenizer, NestedDeeply) {
  const std::string text = "{\"model\": " + std::string(200000, '[') + std::string(200000, ']') + "}";
  const auto t = Tokenizer::FromJson(text, "deep.json");
  EXPECT_EQ(t.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(t.status().message()).find("more than 64 deep"), std::string::npos) << t.status();
}

TEST(Tokenizer, HolesInTheVocabularyStayHoles) {
  json file = SmallTokenizer();
  file["model"]["vocab"]["abc"] = 300;
  file["added_tokens"] = json::array();
  const auto t = FromJson(file).value();
  EXPECT_EQ(t->vocab_size(), 301);
  EXPECT_EQ(t->TokenOf(299), std::nullopt);
  EXPECT_EQ(t->Encode("abc"), Ids{300});
  EXPECT_FALSE(t->Decode(Ids{299}, false).ok());
}

TEST(Tokenizer, HashFollowsIdsAndNothingElse) {
  const std::string hash = FromJson(SmallTokenizer()).value()->Hash();
  EXPECT_EQ(hash.size(), 32u);
  EXPECT_EQ(Tokenizer::FromJson(SmallTokenizer().dump(4), "indented").value()->Hash(), hash);
  json listed = SmallTokenizer();
  listed["model"]["merges"] = json::parse(R"([["a", "b"], "ab c"])");
  EXPECT_EQ(FromJson(listed).value()->Hash(), hash) << "the same merges in the other notation";
  std::set<std::string> hashes = {hash};
  const char* patches[] = {R"({"normalizer": {"type": "NFC"}})",
                           R"({"model": {"ignore_merges": true}})",
                           R"({"model": {"merges": ["a b"]}})",
                           R"({"pre_tokenizer": {"use_regex": false}})",
                           R"({"pre_tokenizer": {"add_prefix_space": true}})",
                           R"({"added_tokens": []})",
                           R"({"model": {"vocab": {"abc": 256, "ab": 257}}})"};
  for (const char* patch : patches) {
    json changed = SmallTokenizer();
    changed.merge_patch(json::parse(patch));
    const auto t = FromJson(changed);
    ASSERT_TRUE(t.ok()) << t.status();
    EXPECT_TRUE(hashes.insert((*t)->Hash()).second) << patch;
  }
  // Fixed: catalogs on disk hold it.
  EXPECT_EQ(LoadTestData("smollm2")->Hash(), "1950335b7024489af1326c72922cbe42");
}

// What is quadratic in the length of a word, of white space or of a run of marks would not end.
TEST(Tokenizer, MegabytesOfTheSameAreNotQuadratic) {
  const size_t kSize = 1 << 20;
  const auto repeat = [&](std::string_view unit) {
    std::string text;
    while (text.size() < kSize) text += unit;
    return text;
  };
  std::mt19937 random(3);
  std::string letters(kSize, ' ');
  for (char& c : letters) c = static_cast<char>('a' + random() % 26);
  std::vector<std::string> texts = {letters};
  for (const char* unit :
       {"a", " ", "\n", "\t", "7", "!", "'s", "<", " \n", "\u0301", "\u0301\u0316", "\u4E2D", "\u3000", "\u0663"})
    texts.push_back(repeat(unit));
  for (const char* name : {"smollm2", "qwen2", "llama3"}) {
    const TokenizerPtr t = LoadTestData(name);
    ASSERT_NE(t, nullptr);
    Tokenizer::Encoder encoder = t->NewEncoder();
    Ids ids;
    for (const std::string& text : texts) {
      ids.clear();
      encoder.EncodeTo(text, &ids);
      if (text.find('\xCC') == std::string::npos) {  // NFC puts marks in order
        EXPECT_TRUE(t->Decode(ids, false).value() == text) << name << " " << text.substr(0, 10);
      }
      EXPECT_GT(ids.size(), kSize / 512) << name << " " << text.substr(0, 10);
    }
    ids.clear();
    encoder.EncodeTo(std::string(kSize, '\xFF'), &ids);
    EXPECT_TRUE(t->Decode(ids, false).value() == ToUtf8(std::u32string(kSize, 0xFFFD))) << name;
  }
}

TEST(Tokenizer, RandomTextComesBack) {
  // Without NFC and with all bytes in the vocabulary, decoding inverts encoding for every
  // well-formed text.
  const TokenizerPtr t = LoadTestData("llama3");
  ASSERT_NE(t, nullptr);
  std::mt19937 random(11);
  Tokenizer::Encoder encoder = t->NewEncoder();
  for (int i = 0; i < 5000; ++i) {
    const std::string text = ToUtf8(RandomText(random, random() % 80));
    Ids ids;
    encoder.EncodeTo(text, &ids);
    ASSERT_EQ(t->Decode(ids, false).value(), text);
    ASSERT_EQ(t->Encode(text), ids);
  }
}

TEST(Tokenizer, DamagedFilesAreRefusedOrRead) {
  const std::string source = [] {
    json file = SmallTokenizer();
    file["normalizer"] = {{"type", "NFC"}};
    file["post_processor"] = json::parse(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<end>"}},
        {"Sequence": {"id": "A"}}], "special_tokens": {"<end>": {"ids": [258]}}})");
    // Few enough tokens that most mutations hit the structure.
    return file.dump();
  }();
  std::mt19937 random(5);
  const std::string_view pieces[] = {"null", "[]", "{}", "-1", "1e99", "\"", "}", "258", "true", "\"\"", ",", "\xFF"};
  int accepted = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = source;
    for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
      // Half of the edits spare the long list of byte tokens.
      const size_t vocab = text.find("\"vocab\"");
      const size_t place = random() % (random() % 2 || vocab == std::string::npos ? text.size() : vocab);
      const size_t length = std::min<size_t>(random() % 12, text.size() - place);
      text.replace(place, length, pieces[random() % std::size(pieces)]);
      if (text.empty()) text.push_back('{');
    }
    const auto t = Tokenizer::FromJson(text, "damaged");
    if (!t.ok()) continue;
    ++accepted;
    const Ids ids = (*t)->Encode("abc <end> e\u0301 12\n", true);
    EXPECT_TRUE((*t)->Decode(ids, true).ok());
  }
  EXPECT_LT(accepted, 2900);
}

}  // namespace
}  // namespace radlads
