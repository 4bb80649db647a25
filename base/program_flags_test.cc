#include "base/program_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/version.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Values {
  std::string model, listen, dtype;
  int threads = 0, unchecked = 0, verb_count = 0;
  double gib = 1, seconds = 0, share = 0;
  bool flag = false;
};

struct Outcome {
  std::optional<int> exit_code;
  std::string out, err;
  Values values;
};

Outcome Parse(std::vector<const char*> arguments) {
  Outcome outcome;
  Values& values = outcome.values;
  CLI::App app("Tries.");
  app.add_option("--model", values.model)->required();
  app.add_option("--listen", values.listen);
  app.add_option("--dtype", values.dtype)->check(OneOf({"auto", "fp32", "bf16"}));
  app.add_option("--threads", values.threads)->check(AtLeast(1));
  app.add_option("--unchecked", values.unchecked);
  app.add_option("--gib", values.gib)->check(MoreThan(0));
  app.add_option("--seconds", values.seconds)->check(NumberAtLeast(0));
  app.add_option("--share", values.share)->check(NumberInRange(0, 1));
  app.add_flag("--flag", values.flag);
  app.add_subcommand("count", "A verb.")->add_option("--count", values.verb_count)->check(InRange(2, 9));
  arguments.insert(arguments.begin(), "program");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  outcome.exit_code = ParseFlags(app, static_cast<int>(arguments.size()), arguments.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(ParseFlags, FillsInWhatIsGiven) {
  const Outcome good = Parse({"--model", "x", "--threads", "1", "--gib", "0.5", "--seconds", "0", "--share", "1",
                              "--dtype", "bf16", "--flag", "count", "--count", "9"});
  EXPECT_FALSE(good.exit_code) << good.err;
  EXPECT_EQ(good.values.threads, 1);
  EXPECT_EQ(good.values.gib, 0.5);
  EXPECT_EQ(good.values.share, 1);
  EXPECT_EQ(good.values.dtype, "bf16");
  EXPECT_EQ(good.values.verb_count, 9);
  EXPECT_TRUE(good.values.flag);
  EXPECT_EQ(good.out + good.err, "");
}

TEST(ParseFlags, HelpAndVersionNeedNothingElse) {
  const Outcome version = Parse({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, std::string("radlads ") + kVersion + "\n");
  const Outcome help = Parse({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("--threads INT:1 or more"));
  EXPECT_THAT(help.out, HasSubstr("--version"));
}

TEST(ParseFlags, WhatIsWrongIsSaidInWords) {
  const std::pair<std::vector<const char*>, const char*> cases[] = {
      {{}, "--model is required"},
      {{"--model"}, "--model needs a value"},
      {{"--model", "x", "--threads", "0"}, "--threads must be 1 or more, found 0"},
      {{"--model", "x", "--threads", "-3"}, "--threads must be 1 or more, found -3"},
      {{"--model", "x", "--threads", "abc"}, "--threads must be a whole number, 1 or more, found abc"},
      {{"--model", "x", "--threads", "1.5"}, "--threads must be a whole number, 1 or more, found 1.5"},
      {{"--model", "x", "--gib", "0"}, "--gib must be more than 0, found 0"},
      {{"--model", "x", "--gib", "much"}, "--gib must be a number, more than 0, found much"},
      {{"--model", "x", "--seconds", "-1"}, "--seconds must be 0 or more, found -1"},
      {{"--model", "x", "--share", "1.5"}, "--share must be 0 to 1, found 1.5"},
      {{"--model", "x", "--dtype", "fp64"}, "--dtype must be auto, fp32 or bf16, found fp64"},
      {{"--model", "x", "--unchecked", "1.5"}, "--unchecked must be a whole number, found 1.5"},
      {{"--model", "x", "--flag=maybe"}, "--flag is on where it stands, and takes no value, found maybe"},
      {{"--model", "x", "count", "--count", "1"}, "--count must be 2 to 9, found 1"},
      // Whether or not what is required is there.
      {{"--modle", "x"}, "there is no flag --modle; did you mean --model?"},
      {{"--thread=3"}, "there is no flag --thread; did you mean --threads?"},
      {{"--model", "x", "--nothing_like_it"}, "there is no flag --nothing_like_it; --help lists the flags"},
      {{"--port", "8080"}, "there is no flag --port; use --listen HOST:PORT"},
      {{"--model", "x", "--host", "0.0.0.0"}, "there is no flag --host; use --listen HOST:PORT"},
      {{"--model", "x", "cuont"}, "unexpected argument cuont; did you mean count?"},
      {{"--model", "x", "count", "--cuont", "3"}, "there is no flag --cuont; did you mean --count?"}};
  for (const auto& [arguments, words] : cases) {
    const Outcome bad = Parse(arguments);
    EXPECT_NE(bad.exit_code.value_or(0), 0) << words;
    EXPECT_THAT(bad.err, StartsWith(std::string("error: ") + words + "\n"));
    EXPECT_EQ(bad.out, "");
  }
}

}  // namespace
}  // namespace radlads
