#include "data/tokenizer/testing/small_tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/status.h"

namespace radlads {

void WriteSmallTokenizer(const std::string& directory, const std::string& chat_template) {
  nlohmann::json vocabulary = {{"<|end|>", 0}, {"Ġ", 95}, {"Ċ", 96}};
  for (char c = '!'; c <= '~'; ++c) vocabulary[std::string(1, c)] = c - '!' + 1;
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const nlohmann::json tokenizer = {
      {"version", "1.0"},
      {"added_tokens",
       {{{"id", 0},
         {"content", "<|end|>"},
         {"single_word", false},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false},
         {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}};
  nlohmann::json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"eos_token", "<|end|>"}};
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  for (const auto& [name, json] :
       {std::pair<std::string, nlohmann::json>("tokenizer.json", tokenizer), {"tokenizer_config.json", config}}) {
    const absl::Status written = WriteFileAtomically(JoinPath(directory, name), json.dump());
    RADLADS_CHECK(written.ok()) << written;
  }
}

std::shared_ptr<const Tokenizer> SmallTokenizer(const std::string& chat_template) {
  const std::string directory = ::testing::TempDir() + "/small_tokenizer";
  const absl::Status made = MakeDirectories(directory);
  RADLADS_CHECK(made.ok()) << made;
  WriteSmallTokenizer(directory, chat_template);
  auto tokenizer = Tokenizer::Load(directory);
  RADLADS_CHECK(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

}  // namespace radlads
