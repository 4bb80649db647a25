#include "serve/load/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "serve/http/testing.h"
#include "serve/load/event_stream.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Latencies, PercentilesAreOfTheOnesThatThereAre) {
  Latencies times;
  EXPECT_EQ(times.Percentile(0.5), 0);
  for (int i = 100; i >= 1; --i) times.Add(i * 1e-3);
  EXPECT_DOUBLE_EQ(times.Percentile(0), 1e-3);
  EXPECT_DOUBLE_EQ(times.Percentile(0.5), 50e-3);
  EXPECT_DOUBLE_EQ(times.Percentile(0.99), 99e-3);
  EXPECT_DOUBLE_EQ(times.Percentile(1), 100e-3);
}

TEST(Latencies, HistogramCountsEveryTime) {
  Latencies times;
  for (const double ms : {0.75, 1.0, 3.0, 3.5, 4.0}) times.Add(ms * 1e-3);
  const std::string text = times.Histogram();
  EXPECT_THAT(text, HasSubstr("0.5 to 1        ms         2 "));
  EXPECT_THAT(text, HasSubstr("  1 to 2        ms         0 \n"));
  EXPECT_THAT(text, HasSubstr("  2 to 4        ms         3 "));
}

TEST(EventStream, EventsAreWholeHoweverTheyAreCut) {
  const std::string stream = "data: {\"a\": 1}\r\n\n: a comment\ndata:{\"a\": 2}\n\ndata: no json\n\ndata: [DONE]\n\n";
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    std::vector<int> seen;
    EventStream events([&](const nlohmann::json& event) { seen.push_back(event["a"]); });
    events.Add(stream.substr(0, cut));
    events.Add(stream.substr(cut));
    EXPECT_THAT(seen, ElementsAre(1, 2)) << "cut at " << cut;
    EXPECT_TRUE(events.ended()) << "cut at " << cut;
  }
}

class LoadTest : public HttpTextServerTest {
 protected:
  LoadTest() : HttpTextServerTest({}, {.reply = {40, 73, 1, 5}, .token_time = std::chrono::milliseconds(1)}) {
    options_.url = "http://127.0.0.1:" + std::to_string(server_->port());
    options_.concurrency = 4;
    options_.requests = 20;
    options_.max_tokens = 6;
    options_.prompt_words = 3;
  }
  LoadOptions options_;
};

TEST_F(LoadTest, CountsWhatWasAnswered) {
  for (const bool stream : {true, false}) {
    options_.stream = stream;
    const auto result = RunLoad(options_);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->errors.empty()) << result->Table();
    EXPECT_EQ(result->answered, 20);
    EXPECT_EQ(result->reply_tokens, 20 * 6);
    EXPECT_EQ(result->whole.count(), 20u);
    EXPECT_EQ(result->first_text.count(), stream ? 20u : 0u);
    // Six tokens take six times a millisecond.
    EXPECT_GE(result->whole.Percentile(0), 5e-3);
  }
}

TEST_F(LoadTest, PromptsShareTheirFirstWords) {
  options_.concurrency = 1;
  const auto last_prompt = [&](int64_t shared_words, int64_t requests) {
    options_.shared_words = shared_words;
    options_.requests = requests;
    const auto result = RunLoad(options_);
    EXPECT_TRUE(result.ok()) << result.status();
    return service().last_request().prompt;
  };
  options_.prompt_words = 12;
  EXPECT_EQ(last_prompt(12, 1), last_prompt(12, 3));
  const auto first = last_prompt(8, 1), third = last_prompt(8, 3);
  EXPECT_NE(first, third);
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + 8, third.begin())) << "a word is a token or more";
}

TEST_F(LoadTest, OpenLoopKeepsItsRate) {
  options_.rate = 200;
  options_.requests = 100;
  options_.concurrency = 16;
  const auto result = RunLoad(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->answered, 100) << result->Table();
  // 100 arrivals take 0.5 s, with a standard deviation of a tenth of that.
  EXPECT_GT(result->seconds, 0.3);
}

TEST_F(LoadTest, SessionsAreMadeAndDeleted) {
  options_.sessions = 10;
  const auto result = RunLoad(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->answered, 20) << result->Table();
  const auto left = service().ListSessions("", 100);
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_TRUE(left->empty());
}

TEST_F(LoadTest, ErrorsAreCounted) {
  service().FailWith(absl::InternalError("the model is out of order"));
  const auto result = RunLoad(options_);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->answered, 0);
  ASSERT_EQ(result->errors.size(), 1u) << result->Table();
  EXPECT_THAT(result->errors.begin()->first, HasSubstr("out of order"));
  EXPECT_EQ(result->errors.begin()->second, 20);
}

TEST_F(LoadTest, SaysWhenNobodyAnswers) {
  Stop();
  EXPECT_EQ(RunLoad(options_).status().code(), absl::StatusCode::kUnavailable);
}

TEST(LoadOptions, RefusesWhatMakesNoSense) {
  EXPECT_EQ(RunLoad({.url = "localhost:8080"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RunLoad({.concurrency = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RunLoad({.concurrency = 8, .sessions = 3}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RunLoad({.prompt_words = 3, .shared_words = 4}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RunLoad({.max_tokens = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace radlads
