// Runs the make_binidx binary as a person would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int exit_code;
  std::string output;  // stdout and stderr
};

// `arguments` go through the shell; $DIR is the test's directory.
class MakeBinidxTest : public ::testing::Test {
 protected:
  MakeBinidxTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "/make_binidx_" + test->name();
    std::filesystem::remove_all(directory_);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
  }
  Outcome Run(const std::string& arguments, const std::string& before = "") {
    const std::string command = "DIR='" + directory_ + "'; " + before + " data/make_binidx " + arguments + " 2>&1";
    std::FILE* pipe = ::popen(command.c_str(), "r");
    EXPECT_NE(pipe, nullptr);
    Outcome outcome;
    char block[4096];
    while (size_t got = std::fread(block, 1, sizeof(block), pipe)) outcome.output.append(block, got);
    const int status = ::pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }
  void Put(const std::string& name, const std::string& contents) {
    EXPECT_TRUE(WriteFileAtomically(directory_ + "/" + name, contents).ok());
  }
  const std::string kBuild = "build --tokenizer data/testdata/byte_tokenizer --output $DIR/tokens ";
  std::string directory_;
};

TEST_F(MakeBinidxTest, BuildsChecksAndDescribes) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "{\"text\": \"a document of thirty bytes !!!\"}\n";
  Put("a.jsonl", text);
  Outcome outcome = Run(kBuild + "$DIR/a.jsonl");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("3100 tokens in 100 documents (uint16)"));

  outcome = Run("check $DIR/tokens");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("vocabulary size: 257\nend-of-text token: 256"));
  EXPECT_THAT(outcome.output, HasSubstr("no problem found"));
  EXPECT_EQ(Run("check $DIR/tokens --tokenizer data/testdata/byte_tokenizer").exit_code, 0);
  outcome = Run("check $DIR/tokens --vocab_size 100");
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("outside of the vocabulary of 100"));
  EXPECT_EQ(Run("check $DIR/tokens --eos 3").exit_code, 1);

  outcome = Run("info $DIR/tokens --json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const nlohmann::json json = nlohmann::json::parse(outcome.output);
  EXPECT_EQ(json["tokens"], 3100);
  EXPECT_EQ(json["documents"], 100);
  EXPECT_EQ(json["dtype"], "uint16");
  EXPECT_EQ(json["longest_document"], 31);
  EXPECT_EQ(json["description"]["eos_id"], 256);
  EXPECT_EQ(json["description"]["sources"][0]["name"], directory_ + "/a.jsonl");
  EXPECT_THAT(Run("info $DIR/tokens").output, HasSubstr("100 of 31 to 31 tokens, 31.0 on average"));

  outcome = Run("primes $DIR/tokens --ctx 16 32");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("191"));  // 3100 / 16 - 1 = 192
  EXPECT_THAT(outcome.output, HasSubstr("89"));   // 3100 / 32 - 1 = 95
  EXPECT_EQ(Run("primes $DIR/tokens").exit_code, 0);
  outcome = Run("primes $DIR/tokens --ctx 2000");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("the longest context this data allows is 1033"));
}

TEST_F(MakeBinidxTest, ReadsStandardInput) {
  const Outcome outcome =
      Run(kBuild + "- --format text --documents lines --no_eos --limit_tokens 4", "printf 'abc\\nd\\nefg\\n' |");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(*ReadFile(directory_ + "/tokens.bin"), std::string("a\0b\0c\0d\0", 8));
  EXPECT_THAT(Run("info $DIR/tokens").output, HasSubstr("end mark   none"));
}

TEST_F(MakeBinidxTest, StopsAtABadLineUnlessTold) {
  Put("a.jsonl", "{\"text\": \"ok\"}\nnot json\n{\"title\": \"x\"}\n");
  Outcome outcome = Run(kBuild + "$DIR/a.jsonl");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("error: " + directory_ + "/a.jsonl:2: not JSON"));
  EXPECT_FALSE(FileExists(directory_ + "/tokens.idx"));
  outcome = Run(kBuild + "$DIR/a.jsonl --skip_bad_lines");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("2 lines were left out"));
  EXPECT_THAT(outcome.output, HasSubstr("1 documents"));
}

TEST_F(MakeBinidxTest, AsksForTheEndMarkThatTheTokenizerLacks) {
  Put("tokenizer.json", *ReadFile("data/testdata/byte_tokenizer/tokenizer.json"));
  Put("a.txt", "text");
  const std::string build = "build --tokenizer $DIR --output $DIR/tokens $DIR/a.txt ";
  const Outcome outcome = Run(build);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("names no end-of-text token; give one with --eos ID"));
  EXPECT_EQ(Run(build + "--eos 256").exit_code, 0);
  EXPECT_EQ(Run(build + "--no_eos").exit_code, 0);
  EXPECT_EQ(Run(build + "--eos 257").exit_code, 1);
}

TEST_F(MakeBinidxTest, RefusesWhatItCannotUse) {
  Put("empty.jsonl", "\n");
  EXPECT_EQ(Run(kBuild + "$DIR/empty.jsonl").exit_code, 1);
  EXPECT_EQ(Run(kBuild + "$DIR/missing.jsonl").exit_code, 1);
  EXPECT_EQ(Run("check $DIR/missing").exit_code, 1);
  EXPECT_EQ(Run("check data/testdata/tiny_i32_rangeN").exit_code, 1) << "Megatron refuses this file";
  EXPECT_EQ(Run("check data/testdata/tiny_u16 --vocab_size 65536 --eos 65535").exit_code, 0);
  EXPECT_NE(Run(kBuild + "$DIR/empty.jsonl --format 1").exit_code, 0);
  EXPECT_NE(Run("").exit_code, 0);
  EXPECT_NE(Run("build").exit_code, 0);
  EXPECT_NE(Run("info data/testdata/tiny_u16 --unknown").exit_code, 0);
  EXPECT_EQ(Run("build --help").exit_code, 0);
}

}  // namespace
}  // namespace radlads
