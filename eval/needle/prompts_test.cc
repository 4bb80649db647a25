#include "eval/needle/prompts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/file.h"

namespace radlads {
namespace {

std::string Sentences(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += (i == 0 ? "" : " ") + std::string("The guest of room ") + std::to_string(i) +
            " asked, \"Is it far to the harbor?\" Nobody at the table knew the answer.";
  }
  return text;
}

class PromptsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/smollm2");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }

  std::string Text(const std::vector<int64_t>& ids) const {
    auto text = tokenizer_->Decode(std::vector<int32_t>(ids.begin(), ids.end()), false);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? *text : "";
  }
  std::vector<NeedlePrompt> Make(const NeedleOptions& options, const Haystack& haystack) const {
    auto prompts = MakeNeedlePrompts(options, haystack, *tokenizer_);
    EXPECT_TRUE(prompts.ok()) << prompts.status();
    return prompts.ok() ? *std::move(prompts) : std::vector<NeedlePrompt>();
  }
  absl::Status Fail(const NeedleOptions& options) const {
    return MakeNeedlePrompts(options, Haystack::FromText(Sentences(50), *tokenizer_), *tokenizer_).status();
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
};

TEST_F(PromptsTest, EachHasItsLengthAndTheNeedleAtItsDepth) {
  const Haystack haystack = Haystack::FromText(Sentences(200), *tokenizer_);
  const std::vector<NeedlePrompt> prompts =
      Make({.lengths = {700, 250}, .depths = {1, 0, 0.3, 0.5}, .samples = 4}, haystack);
  ASSERT_EQ(prompts.size(), 2u * 4 * 4);
  EXPECT_EQ(prompts.front().length, 250);
  EXPECT_EQ(prompts.front().depth, 0);
  for (const NeedlePrompt& prompt : prompts) {
    SCOPED_TRACE(testing::Message() << prompt.length << " tokens, depth " << prompt.depth << ", sample "
                                    << prompt.sample);
    EXPECT_EQ(prompt.ids.size(), static_cast<size_t>(prompt.length));
    const std::string text = Text(prompt.ids);
    const std::string needle = "One of the special magic numbers for " + prompt.key + " is: " + prompt.value + ".";
    const size_t at = text.find(needle);
    ASSERT_NE(at, std::string::npos) << text;
    EXPECT_EQ(text.find(prompt.value, at + needle.size()), std::string::npos) << "the value stands twice";
    EXPECT_TRUE(text.starts_with("A special magic number is hidden")) << text;
    EXPECT_TRUE(text.ends_with("The special magic number for " + prompt.key + " mentioned in the provided text is"));
    EXPECT_EQ(Text({prompt.ids.begin() + prompt.needle_at, prompt.ids.end()}).substr(1, needle.size()), needle);
    // The haystack is what is neither instruction, needle nor question.
    const std::string before = "afterwards.\n", after = "\nWhat is the special";
    const size_t hay = text.find(before) + before.size(), end = text.find(after);
    ASSERT_LT(hay, end);
    const auto share = static_cast<double>(at - hay) / static_cast<double>(end - hay - needle.size());
    // A sentence of this haystack has about 20 tokens, the shortest haystack about 150.
    EXPECT_LE(share, prompt.depth + 0.02);
    EXPECT_GE(share, prompt.depth - 0.15);
    if (prompt.depth == 0 || prompt.depth == 1) {
      EXPECT_NEAR(share, prompt.depth, 0.005);
    }
    if (prompt.depth > 0 && prompt.depth < 1) {
      EXPECT_NE(std::string(".\"").find(text[at - 2]), std::string::npos) << "not between sentences: " << text;
    }
  }
}

TEST_F(PromptsTest, CellsDifferInNothingButLengthAndDepth) {
  const Haystack haystack = Haystack::FromText(Sentences(200), *tokenizer_);
  const std::vector<NeedlePrompt> prompts =
      Make({.lengths = {300, 500}, .depths = {0, 0.5, 1}, .samples = 3}, haystack);
  std::set<std::string> values;
  for (const NeedlePrompt& prompt : prompts) {
    const NeedlePrompt& first = prompts[prompt.sample];
    EXPECT_EQ(prompt.key, first.key);
    EXPECT_EQ(prompt.value, first.value);
    EXPECT_EQ(prompt.distractors, first.distractors);
    values.insert(prompt.value);
    values.insert(prompt.distractors.begin(), prompt.distractors.end());
    for (const NeedlePrompt& other : prompts) {
      if (other.sample != prompt.sample) continue;
      const int64_t shared = std::min(prompt.needle_at, other.needle_at);
      EXPECT_TRUE(std::equal(prompt.ids.begin(), prompt.ids.begin() + shared, other.ids.begin()))
          << "the text before both needles differs";
    }
  }
  EXPECT_EQ(values.size(), 3u * 10) << "values are drawn twice";
}

TEST_F(PromptsTest, TheSeedDecidesAndMoreSamplesChangeNoneOfTheFirst) {
  const Haystack haystack = Haystack::FromText(Sentences(200), *tokenizer_);
  NeedleOptions options{.lengths = {300}, .depths = {0.5}, .samples = 3, .choices = 4, .seed = 7};
  const std::vector<NeedlePrompt> prompts = Make(options, haystack);
  options.samples = 5;
  options.choices = 6;
  const std::vector<NeedlePrompt> more = Make(options, haystack);
  ASSERT_EQ(more.size(), 5u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(more[i].ids, prompts[i].ids);
    EXPECT_TRUE(std::equal(prompts[i].distractors.begin(), prompts[i].distractors.end(), more[i].distractors.begin()));
  }
  options.seed = 8;
  EXPECT_NE(Make(options, haystack)[0].ids, more[0].ids);
}

TEST_F(PromptsTest, AShortHaystackIsRepeated) {
  const std::string text = "A hare ran. A fox sat. ";
  const Haystack haystack = Haystack::FromText(text, *tokenizer_);
  ASSERT_LT(haystack.size(), 12);
  EXPECT_EQ(Text(haystack.Cut(0, 3 * haystack.size())), text + text + text);
  const NeedlePrompt prompt = Make({.lengths = {400}, .depths = {0.5}, .samples = 1}, haystack).at(0);
  EXPECT_EQ(prompt.ids.size(), 400u);
}

TEST_F(PromptsTest, SentencesBeginAfterFullStopsAndQuotes) {
  const Haystack haystack = Haystack::FromText("He said, \"Go.\" We went at 5.30 sharp. It rained", *tokenizer_);
  std::vector<std::string> texts;
  for (size_t i = 0; i < haystack.sentences().size(); ++i) {
    const int64_t from = haystack.sentences()[i],
                  to = i + 1 < haystack.sentences().size() ? haystack.sentences()[i + 1] : haystack.size();
    texts.push_back(Text(haystack.Cut(from, to - from)));
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"He said, \"Go.\"", " We went at 5.30 sharp.", " It rained"}));
}

TEST_F(PromptsTest, WithoutSentencesTheNeedleStandsBetweenWords) {
  std::string text = "word";
  for (int i = 0; i < 500; ++i) text += " and unbelievablenesses";
  const NeedlePrompt prompt =
      Make({.lengths = {600}, .depths = {0.5}, .samples = 1}, Haystack::FromText(text, *tokenizer_)).at(0);
  const std::string all = Text(prompt.ids);
  const size_t at = all.find(" One of the special");
  ASSERT_NE(at, std::string::npos);
  const std::string before = all.substr(0, at);
  EXPECT_TRUE(before.ends_with(" and") || before.ends_with(" unbelievablenesses")) << before;
}

TEST_F(PromptsTest, ReadsDocumentsOfAFile) {
  const std::string path = testing::TempDir() + "/haystack.jsonl";
  ASSERT_TRUE(
      WriteFileAtomically(path, "{\"text\": \"One. Two. \\n\"}\n{\"text\": \" \"}\n{\"text\": \"Three.\"}\n").ok());
  const auto haystack = Haystack::Read(path, *tokenizer_);
  ASSERT_TRUE(haystack.ok()) << haystack.status();
  EXPECT_EQ(Text(haystack->Cut(0, haystack->size())), "One. Two.\n\nThree.\n\n");
  ASSERT_TRUE(WriteFileAtomically(path, "{\"text\": \" \"}\n").ok());
  const auto empty = Haystack::Read(path, *tokenizer_);
  EXPECT_EQ(empty.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(empty.status().message().find("haystack.jsonl"), absl::string_view::npos) << empty.status();
  EXPECT_EQ(Haystack::Read("no/such.jsonl", *tokenizer_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PromptsTest, BadOptionsAreNamed) {
  const auto expect = [](const absl::Status& status, std::initializer_list<const char*> parts) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    for (const char* part : parts) EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
  };
  expect(Fail({.lengths = {512, 4096}, .context = 2048}), {"4096", "2048"});
  EXPECT_TRUE(Fail({.lengths = {2048}, .context = 2048}).ok());
  EXPECT_TRUE(Fail({.lengths = {4096}, .context = 0}).ok()) << "recurrent models have no longest context";
  expect(Fail({.lengths = {60}}), {"60 tokens", "no room"});
  expect(Fail({.depths = {0.5, 1.5}}), {"1.5"});
  expect(Fail({.depths = {-0.1}}), {"-0.1"});
  expect(Fail({.depths = {std::numeric_limits<double>::quiet_NaN()}}), {"nan"});
  expect(Fail({.lengths = {}}), {"at least one length"});
  expect(Fail({.samples = 0}), {"samples"});
  expect(Fail({.choices = 1}), {"choices"});
}

}  // namespace
}  // namespace radlads
