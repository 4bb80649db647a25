// Runs the make_binidx binary as a person would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/binidx.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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
  for (const char* pass : {"checking ids: ", "checking the checksum: "}) {
    EXPECT_THAT(outcome.output, HasSubstr(std::string(pass) + "3.10 ktokens of 3.10 ktokens"));
  }
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

TEST_F(MakeBinidxTest, BuildsIntoACatalog) {
  Put("a.jsonl", "{\"text\": \"a document of thirty bytes !!!\"}\n");
  Put("b.jsonl", "{\"text\": \"another one\"}\n");
  const std::string build = kBuild + "$DIR/a.jsonl --catalog $DIR/catalog/prose";
  Outcome outcome = Run(build);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  outcome = Run(build);
  EXPECT_EQ(outcome.exit_code, 0) << "what is there already is left: " << outcome.output;
  outcome = Run("catalog describe $DIR/catalog/prose --json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("a.jsonl"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("b.jsonl")));

  ASSERT_EQ(Run("build --tokenizer data/testdata/byte_tokenizer --output $DIR/more $DIR/b.jsonl").exit_code, 0);
  outcome = Run("import $DIR/more --catalog $DIR/catalog/prose");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  outcome = Run("catalog list $DIR/catalog");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("prose"));
  EXPECT_THAT(Run("catalog check $DIR/catalog").output, HasSubstr("2 shards, no problem found"));

  outcome =
      Run("build --tokenizer data/testdata/byte_tokenizer --output $DIR/tokens $DIR/b.jsonl --restart --catalog "
          "$DIR/catalog/prose");
  EXPECT_EQ(outcome.exit_code, 1) << "replaced behind the catalog: " << outcome.output;
  outcome = Run("catalog check $DIR/catalog");
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;

  outcome = Run(kBuild + "$DIR/a.jsonl --catalog prose");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("expected CATALOG/NAME"));
  EXPECT_EQ(Run("catalog remove $DIR/catalog/prose").exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/tokens.bin")) << "imported files stay";
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

std::string Lines(int documents, size_t bytes) {
  std::string text;
  for (int i = 0; i < documents; ++i) text += "{\"text\": \"" + std::string(bytes, 'a' + i % 26) + "\"}\n";
  return text;
}

TEST_F(MakeBinidxTest, AppendsAndSaysWhatIsDoneAlready) {
  Put("a.jsonl", Lines(3, 10));
  Put("b.jsonl", Lines(2, 5));
  ASSERT_EQ(Run(kBuild + "$DIR/a.jsonl").exit_code, 0);
  Outcome outcome = Run(kBuild + "$DIR/a.jsonl");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("is there already, made by this command"));
  EXPECT_THAT(Run(kBuild + "$DIR/a.jsonl --restart").output, HasSubstr("33 tokens in 3 documents"));
  outcome = Run("append $DIR/tokens $DIR/b.jsonl");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("45 tokens in 5 documents"));
  EXPECT_THAT(Run("append $DIR/tokens $DIR/b.jsonl").output, HasSubstr("is there already"));
  EXPECT_THAT(Run("append $DIR/tokens $DIR/b.jsonl --restart").output, HasSubstr("57 tokens in 7 documents"));
  EXPECT_THAT(Run("check $DIR/tokens").output, HasSubstr("no problem found"));
  // One build of the same text is the same dataset.
  ASSERT_EQ(Run("build --tokenizer data/testdata/byte_tokenizer --output $DIR/whole $DIR/a.jsonl $DIR/b.jsonl "
                "$DIR/b.jsonl")
                .exit_code,
            0);
  EXPECT_EQ(*ReadFile(directory_ + "/whole.bin"), *ReadFile(directory_ + "/tokens.bin"));
  EXPECT_EQ(*ReadFile(directory_ + "/whole.idx"), *ReadFile(directory_ + "/tokens.idx"));
  outcome = Run("append data/testdata/tiny_u16 $DIR/b.jsonl");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("build the text separately and merge the two"));
}

TEST_F(MakeBinidxTest, MergesWhatWasSplit) {
  Put("a.jsonl", Lines(100, 20) + Lines(50, 7));
  ASSERT_EQ(Run(kBuild + "$DIR/a.jsonl").exit_code, 0);
  Outcome outcome = Run("split $DIR/tokens --output $DIR/part --tokens 1000");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  outcome = Run("merge $DIR/part-00000 $DIR/part-00001 $DIR/part-00002 --output $DIR/merged");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(*ReadFile(directory_ + "/merged.bin"), *ReadFile(directory_ + "/tokens.bin"));
  EXPECT_EQ(*ReadFile(directory_ + "/merged.idx"), *ReadFile(directory_ + "/tokens.idx"));
  EXPECT_EQ(nlohmann::json::parse(Run("info $DIR/part-00000 --json").output)["tokens"], 1008);  // 48 * 21

  outcome = Run("split $DIR/tokens --output $DIR/by_hash --valid 0.2");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  const auto train = nlohmann::json::parse(Run("info $DIR/by_hash-train --json").output);
  const auto valid = nlohmann::json::parse(Run("info $DIR/by_hash-valid --json").output);
  EXPECT_EQ(train["documents"].get<int>() + valid["documents"].get<int>(), 150);
  EXPECT_EQ(train["description"]["eos_id"], 256);
  EXPECT_THAT(Run("split $DIR/tokens --output $DIR/by_hash --valid 0.2").output, HasSubstr("is there already"));
  EXPECT_EQ(Run("split $DIR/tokens --output $DIR/x").exit_code, 1);
  EXPECT_EQ(Run("merge $DIR/tokens --output $DIR/tokens").exit_code, 1);

  ASSERT_EQ(Run("build --tokenizer data/testdata/byte_tokenizer --output $DIR/other --no_eos $DIR/a.jsonl").exit_code,
            0);
  outcome = Run("merge $DIR/tokens $DIR/other --output $DIR/mixed");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("end with the token 256, those of " + directory_ + "/other with none"));
  outcome = Run("fix_eos $DIR/other --eos 256");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("150 of 150 documents get the end mark 256"));
  EXPECT_EQ(*ReadFile(directory_ + "/other.bin"), *ReadFile(directory_ + "/tokens.bin"));
  EXPECT_THAT(Run("fix_eos $DIR/other --eos 256").output, HasSubstr("nothing to do"));
  EXPECT_EQ(Run("merge $DIR/tokens $DIR/other --output $DIR/mixed").exit_code, 0);
}

// A command that would find nothing again is not offered.
TEST_F(MakeBinidxTest, TextsThatAreAllEmptyAreNoDataset) {
  Put("a.jsonl", "{\"text\":\"\"}\n{\"text\":\"\"}\n");
  const Outcome outcome = Run(kBuild + "--no_eos --checkpoint_seconds 0 $DIR/a.jsonl");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              HasSubstr("there is no document to write to " + directory_ + "/tokens: what was read has"));
  EXPECT_EQ(outcome.output.find("continues it"), std::string::npos) << outcome.output;
  EXPECT_EQ(Run(kBuild + "--restart $DIR/a.jsonl").exit_code, 0);  // each is its end mark
}

TEST_F(MakeBinidxTest, FixEosLeavesNoDatasetWithoutDocuments) {
  auto writer = TokenDatasetWriter::Create(directory_ + "/hollow", TokenType::kUint16, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE((*writer)->AddDocument({}).ok());
  ASSERT_TRUE((*writer)->Commit().ok());
  const Outcome outcome = Run("fix_eos $DIR/hollow --eos 256");
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("hollow: all 2 documents are empty"));
}

TEST_F(MakeBinidxTest, ShowsSamplesAndStatistics) {
  Put("a<b>.jsonl", Lines(9, 30) + Lines(3, 100));
  ASSERT_EQ(Run(kBuild + "\"$DIR\"/*.jsonl").exit_code, 0);
  Outcome outcome = Run("sample $DIR/tokens --ctx 16 --count 2 --seed 7");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("--- tokens "));
  EXPECT_EQ(outcome.output, Run("sample $DIR/tokens --ctx 16 --count 2 --seed 7").output);
  EXPECT_EQ(Run("sample $DIR/tokens --ctx 100000").exit_code, 1);
  outcome = Run("stat $DIR/tokens --html $DIR/page.html");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("16 to 31              9    75.0%"));
  EXPECT_THAT(outcome.output, HasSubstr("64 to 127              3    25.0%"));
  EXPECT_THAT(outcome.output, HasSubstr("a<b>.jsonl"));
  const std::string page = *ReadFile(directory_ + "/page.html");
  EXPECT_THAT(page, HasSubstr("a&lt;b&gt;.jsonl"));
  EXPECT_EQ(page.find("http"), std::string::npos) << "the page loads something";
}

TEST_F(MakeBinidxTest, ASecondBuildOnTheSameOutputIsRefused) {
  Put("a.jsonl", Lines(3, 10));
  const std::string first =
      "(sleep 2; cat $DIR/a.jsonl) | data/make_binidx " + kBuild + "- --format jsonl >$DIR/first.log 2>&1 & sleep 0.7;";
  Outcome outcome = Run(kBuild + "$DIR/a.jsonl", first);
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("another process is writing this output"));
  std::string said;
  for (int i = 0; i < 100 && said.find("in 3 documents") == std::string::npos; ++i) {
    ::usleep(100'000);
    said = *ReadFile(directory_ + "/first.log");
  }
  EXPECT_THAT(said, HasSubstr("33 tokens in 3 documents"));
}

TEST_F(MakeBinidxTest, AFullDiskLosesNothing) {
  Put("a.jsonl", Lines(20000, 200));
  ASSERT_EQ(Run(kBuild + "$DIR/a.jsonl --limit_tokens 1000").exit_code, 0);
  const std::string kept = "the same command continues it, --restart begins anew";
  const std::string older = *ReadFile(directory_ + "/tokens.bin");
  // A limit on the size of files stands for the end of the disk.
  const std::string limit = "ulimit -f 6000;";
  Outcome outcome = Run(kBuild + "$DIR/a.jsonl", limit);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("File too large"));
  EXPECT_EQ(*ReadFile(directory_ + "/tokens.bin"), older);
  EXPECT_FALSE(FileExists(directory_ + "/tokens.partial.bin")) << "there was no point to continue from";

  outcome = Run(kBuild + "$DIR/a.jsonl --checkpoint_seconds 0", limit);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr(kept));
  EXPECT_EQ(*ReadFile(directory_ + "/tokens.bin"), older);
  outcome = Run(kBuild + "$DIR/a.jsonl --limit_tokens 7");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("limit_tokens was 0, now 7. Repeat that command to continue it, or add "));
  outcome = Run(kBuild + "$DIR/a.jsonl");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("continuing an interrupted run after "));
  EXPECT_THAT(Run("check $DIR/tokens").output, HasSubstr("no problem found"));
  EXPECT_EQ(nlohmann::json::parse(Run("info $DIR/tokens --json").output)["documents"], 20000);
}

TEST_F(MakeBinidxTest, ChangedInputsAreNotContinued) {
  Put("a.jsonl", Lines(20000, 200) + "bad\n");
  EXPECT_EQ(Run(kBuild + "$DIR/a.jsonl --checkpoint_seconds 0").exit_code, 1);
  Put("a.jsonl", Lines(20000, 200));
  Outcome outcome = Run(kBuild + "$DIR/a.jsonl");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("inputs/0/bytes was 4260004, now 4260000"));
  EXPECT_EQ(Run(kBuild + "$DIR/a.jsonl --restart").exit_code, 0);
  EXPECT_FALSE(FileExists(directory_ + "/tokens.partial.bin"));
  // Standard input is known by what was read of it.
  const std::string build = "build --tokenizer data/testdata/byte_tokenizer --output $DIR/piped - --format jsonl";
  EXPECT_EQ(Run(build + " --checkpoint_seconds 0", "(cat $DIR/a.jsonl; echo bad) |").exit_code, 1);
  EXPECT_THAT(Run(build, "tr b c <$DIR/a.jsonl |").output, HasSubstr("standard input does not begin with"));
  EXPECT_THAT(Run(build, "head -1 $DIR/a.jsonl |").output, HasSubstr("standard input ended after 213 bytes"));
  outcome = Run(build + " --skip_bad_lines", "(cat $DIR/a.jsonl; echo bad) |");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(*ReadFile(directory_ + "/piped.bin"), *ReadFile(directory_ + "/tokens.bin"));
}

TEST_F(MakeBinidxTest, CtrlCStopsAtAPoint) {
  Put("a.jsonl", Lines(3, 10));
  const Outcome outcome =
      Run(kBuild + "- --format jsonl",
          "(cat $DIR/a.jsonl; sleep 1; cat $DIR/a.jsonl; sleep 1) | timeout --foreground -s INT 0.5");
  EXPECT_EQ(outcome.exit_code, 124) << outcome.output;  // of timeout
  EXPECT_THAT(outcome.output, HasSubstr("stopped after 3 documents. What was written before is kept in "));
  EXPECT_FALSE(FileExists(directory_ + "/tokens.idx"));
  EXPECT_THAT(Run(kBuild + "- --format jsonl", "cat $DIR/a.jsonl $DIR/a.jsonl |").output,
              HasSubstr("66 tokens in 6 documents"));
}

TEST_F(MakeBinidxTest, CheckFindsChangedTokens) {
  Put("a.jsonl", Lines(3, 10));
  ASSERT_EQ(Run(kBuild + "$DIR/a.jsonl").exit_code, 0);
  std::string bin = *ReadFile(directory_ + "/tokens.bin");
  bin[0] ^= 1;
  Put("tokens.bin", bin);
  Outcome outcome = Run("check $DIR/tokens");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("tokens have changed since they were written"));
  std::string index = *ReadFile(directory_ + "/tokens.idx");
  index[34 + 3 * 4 + 8] ^= 2;  // where the second document begins
  Put("tokens.idx", index);
  outcome = Run("check $DIR/tokens");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("sequence 1 of 3"));
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
