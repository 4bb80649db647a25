#include "serve/engine/engine.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <limits>
#include <mutex>
#include <string>

#include "base/status.h"
#include "kernels/testing/compare.h"
#include "model/generate.h"
#include "model/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;

using Ids = std::vector<int64_t>;

// What a request gave.
class Collector {
 public:
  EngineRequest Bind(EngineRequest request) {
    request.on_token = [this](int64_t id, const Tensor& logits) {
      std::lock_guard lock(mutex_);
      tokens_.push_back(id);
      logits_.push_back(logits.clone());
      changed_.notify_all();
      return static_cast<int64_t>(tokens_.size()) != end_after_;
    };
    request.on_snapshot = [this](SnapshotPtr snapshot) { snapshots_.push_back(std::move(snapshot)); };
    request.on_done = [this](EngineResult result) {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(done_) << "done twice";
      result_ = std::move(result);
      done_ = true;
      changed_.notify_all();
    };
    return request;
  }
  void EndAfter(int64_t tokens) { end_after_ = tokens; }
  const EngineResult& Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    return result_;
  }
  void WaitForTokens(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ || tokens_.size() >= count; });
  }
  const Ids& tokens() const { return tokens_; }
  const std::vector<Tensor>& logits() const { return logits_; }
  const std::vector<SnapshotPtr>& snapshots() const { return snapshots_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Ids tokens_;
  std::vector<Tensor> logits_;
  std::vector<SnapshotPtr> snapshots_;
  EngineResult result_;
  int64_t end_after_ = -1;
  bool done_ = false;
};

std::unique_ptr<Engine> NewEngine(Transformer& model, const EngineOptions& options = {.prompt_tokens = 7}) {
  auto engine = Engine::Create(model, options);
  EXPECT_TRUE(engine.ok()) << engine.status();
  return *std::move(engine);
}

EngineResult RunToEnd(Engine& engine, const EngineRequest& request, Ids* tokens) {
  Collector collector;
  auto number = engine.Submit(collector.Bind(request));
  EXPECT_TRUE(number.ok()) << number.status();
  if (!number.ok()) return {};
  EngineResult result = collector.Wait();
  *tokens = collector.tokens();
  return result;
}

class EngineTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, EngineTest, ::testing::ValuesIn(SmallKinds()),
                         [](const auto& info) { return info.param; });

std::vector<EngineRequest> ManyRequests() {
  std::vector<EngineRequest> requests;
  for (int i = 0; i < 20; ++i) {
    EngineRequest request{.prompt = RandomTokens(i, 1 + 3 * i % 31), .max_tokens = 1 + 5 * i % 23};
    if (i % 3 == 1) request.sampling = {.repetition_penalty = 1.1, .temperature = 1, .top_k = 20, .seed = 7};
    if (i % 3 == 2) request.stop_ids = {3, 4, 5, 6, 7, 8, 9};
    if (i % 4 == 1) request.snapshot_at = {1, 2, 11}, request.snapshot_every = 3;
    requests.push_back(request);
  }
  return requests;
}

TEST_P(EngineTest, AmongOthersEqualsAloneBitForBit) {
  auto model = InferenceModel(GetParam());
  const auto requests = ManyRequests();
  // Fewer places than requests: rows come and go all the time.
  auto crowd = NewEngine(*model, {.active = 6, .prompt_tokens = 7});
  std::vector<Collector> crowded(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) ASSERT_TRUE(crowd->Submit(crowded[i].Bind(requests[i])).ok());
  for (size_t i = 0; i < requests.size(); ++i) {
    const EngineResult& result = crowded[i].Wait();
    ASSERT_NE(result.finish, FinishReason::kError) << result.status;
    Collector alone;
    auto engine = NewEngine(*model, {.prompt_tokens = 512});
    ASSERT_TRUE(engine->Submit(alone.Bind(requests[i])).ok());
    const EngineResult& want = alone.Wait();
    EXPECT_EQ(result.finish, want.finish) << "request " << i;
    EXPECT_EQ(crowded[i].tokens(), alone.tokens()) << "request " << i;
    ASSERT_EQ(crowded[i].logits().size(), alone.logits().size());
    for (size_t t = 0; t < alone.logits().size(); ++t) {
      ASSERT_TRUE(BitwiseEqual(crowded[i].logits()[t], alone.logits()[t])) << "request " << i << ", token " << t;
    }
    GenerateOptions options{
        .sampling = requests[i].sampling, .max_tokens = requests[i].max_tokens, .stop_ids = requests[i].stop_ids};
    auto generated = Generate(*model, requests[i].prompt, options);
    ASSERT_TRUE(generated.ok()) << generated.status();
    Ids tokens = alone.tokens();
    if (want.finish == FinishReason::kStopToken) tokens.pop_back();
    EXPECT_EQ(tokens, generated->tokens) << "request " << i;
    EXPECT_EQ(result.snapshot->tokens + 1,
              static_cast<int64_t>(requests[i].prompt.size() + crowded[i].tokens().size()));
  }
  const EngineStats stats = crowd->stats();
  EXPECT_EQ(stats.finished, 20);
  EXPECT_EQ(stats.failed + stats.cancelled + stats.waiting, 0);
}

TEST_P(EngineTest, ContinuesFromASnapshotAsIfThereWereNoBreak) {
  auto model = InferenceModel(GetParam());
  auto engine = NewEngine(*model);
  const Ids prompt = RandomTokens(1, 12);
  Ids whole, begun;
  RunToEnd(*engine, {.prompt = prompt, .max_tokens = 30}, &whole);
  const EngineResult first = RunToEnd(*engine, {.prompt = prompt, .max_tokens = 11}, &begun);
  EXPECT_EQ(begun, Ids(whole.begin(), whole.begin() + 11));
  EXPECT_EQ(first.finish, FinishReason::kLength);
  // A snapshot never changes: it serves many times, also at once.
  std::vector<Collector> continued(4);
  for (Collector& collector : continued) {
    ASSERT_TRUE(engine->Submit(collector.Bind({.from = first.snapshot, .max_tokens = 19})).ok());
  }
  for (Collector& collector : continued) {
    ASSERT_EQ(collector.Wait().finish, FinishReason::kLength) << collector.Wait().status;
    EXPECT_EQ(collector.tokens(), Ids(whole.begin() + 11, whole.end()));
    EXPECT_EQ(collector.Wait().snapshot->tokens, 12 + 30 - 1);
  }
  // With more text: as the prompt that has it all.
  Ids all = prompt, got, want;
  all.insert(all.end(), begun.begin(), begun.end());
  const Ids more = RandomTokens(2, 9);
  all.insert(all.end(), more.begin(), more.end());
  RunToEnd(*engine, {.prompt = all, .max_tokens = 8}, &want);
  RunToEnd(*engine, {.from = first.snapshot, .prompt = more, .max_tokens = 8}, &got);
  EXPECT_EQ(got, want);
}

TEST_P(EngineTest, ReplayedTokensAreTakenAsTheyAre) {
  auto model = InferenceModel(GetParam());
  auto engine = NewEngine(*model);
  EngineRequest request{.prompt = RandomTokens(3, 10),
                        .max_tokens = 20,
                        .sampling = {.frequency_penalty = 0.5, .temperature = 1, .seed = 4}};
  Ids whole, rest;
  RunToEnd(*engine, request, &whole);
  for (const size_t known : {1, 7, 19, 20}) {
    request.replay.assign(whole.begin(), whole.begin() + known);
    const EngineResult result = RunToEnd(*engine, request, &rest);
    EXPECT_EQ(rest, Ids(whole.begin() + known, whole.end())) << known << " tokens known";
    EXPECT_EQ(result.finish, FinishReason::kLength);
    EXPECT_EQ(result.sampled_tokens, 20);
    EXPECT_EQ(result.snapshot->tokens, 10 + 20 - 1) << known;
    EXPECT_EQ(result.snapshot->unread, Ids{whole.back()});
  }
}

// Whatever of a text a snapshot has read already, the text is the same: sampling and penalties see all of it.
TEST_P(EngineTest, GoesOnFromAnyPlaceOnTheWay) {
  auto model = InferenceModel(GetParam());
  auto engine = NewEngine(*model);
  Ids none;
  const EngineResult before = RunToEnd(*engine, {.prompt = RandomTokens(8, 5), .max_tokens = 2}, &none);
  EngineRequest request{.from = before.snapshot,
                        .prompt = RandomTokens(5, 20),
                        .max_tokens = 24,
                        .sampling = {.repetition_penalty = 1.3, .frequency_penalty = 0.5, .temperature = 1, .seed = 4}};
  Collector whole;
  request.snapshot_at = {3, 9, 14, 27, 999};  // of these, 6 tokens are behind
  request.snapshot_every = 7;
  ASSERT_TRUE(engine->Submit(whole.Bind(request)).ok());
  ASSERT_EQ(whole.Wait().finish, FinishReason::kLength) << whole.Wait().status;
  std::vector<int64_t> places;
  for (const SnapshotPtr& snapshot : whole.snapshots()) places.push_back(snapshot->tokens);
  EXPECT_EQ(places, (Ids{9, 14, 27, 27 + 6, 27 + 13, 27 + 20}));
  EXPECT_EQ(whole.Wait().snapshot->tokens, 27 + 23);
  for (const SnapshotPtr& snapshot : whole.snapshots()) {
    for (const size_t known : {0, 1, 8, 20, 24}) {
      EngineRequest rest = request;
      rest.snapshot_at = {};
      rest.from = snapshot;
      rest.read = snapshot->tokens - 7;  // of prompt and reply; 7 tokens of text came before
      rest.replay.assign(whole.tokens().begin(), whole.tokens().begin() + known);
      EXPECT_EQ(snapshot->logits.defined(), rest.read == 20) << "at the prompt's end";
      if (rest.read > 20 && rest.read >= 20 + static_cast<int64_t>(known)) continue;
      const int64_t read = engine->stats().prompt_tokens;
      Ids tokens;
      const EngineResult result = RunToEnd(*engine, rest, &tokens);
      EXPECT_EQ(tokens, Ids(whole.tokens().begin() + known, whole.tokens().end()))
          << "from token " << snapshot->tokens << ", " << known << " of the reply known";
      if (rest.read == 20 && known <= 1) {
        EXPECT_EQ(engine->stats().prompt_tokens, read) << "nothing was left to read";
      }
      EXPECT_EQ(result.snapshot->tokens, whole.Wait().snapshot->tokens);
    }
  }
  request.read = 20;
  EXPECT_THAT(std::string(engine->Submit(request).status().message()), HasSubstr("20 tokens were read, of 20"));
}

TEST(Engine, EndsWhenToldTo) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model);
  Collector collector;
  collector.EndAfter(3);
  ASSERT_TRUE(engine->Submit(collector.Bind({.prompt = {5}, .max_tokens = 100})).ok());
  EXPECT_EQ(collector.Wait().finish, FinishReason::kCallback) << collector.Wait().status;
  EXPECT_EQ(collector.tokens().size(), 3u);
  EXPECT_EQ(collector.Wait().snapshot->unread, Ids{collector.tokens().back()});
}

TEST(Engine, ReadsWithoutSampling) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model);
  Ids none, got, want;
  const EngineResult read = RunToEnd(*engine, {.prompt = RandomTokens(1, 20), .max_tokens = 0}, &none);
  ASSERT_NE(read.snapshot, nullptr) << read.status;
  EXPECT_EQ(read.snapshot->tokens, 20);
  EXPECT_THAT(read.snapshot->unread, ::testing::IsEmpty());
  Ids prompt = RandomTokens(1, 20);
  prompt.push_back(9);
  RunToEnd(*engine, {.prompt = prompt, .max_tokens = 5}, &want);
  RunToEnd(*engine, {.from = read.snapshot, .prompt = {9}, .max_tokens = 5}, &got);
  EXPECT_EQ(got, want);
}

// Somebody waits for the token, nobody for the snapshot.
TEST(Engine, TheFirstTokenComesBeforeTheSnapshotOfThePrompt) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model);
  Collector collector;
  EngineRequest request = collector.Bind({.prompt = RandomTokens(1, 10), .max_tokens = 3});
  request.snapshot_at = {4, 10};
  std::vector<size_t> tokens_before;
  request.on_snapshot = [&](const SnapshotPtr&) { tokens_before.push_back(collector.tokens().size()); };
  ASSERT_TRUE(engine->Submit(request).ok());
  ASSERT_EQ(collector.Wait().finish, FinishReason::kLength) << collector.Wait().status;
  EXPECT_EQ(tokens_before, (std::vector<size_t>{0, 1}));
}

TEST(Engine, CancelEndsARequestWhereverItIs) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model, {.active = 2});
  std::vector<Collector> endless(3);
  std::vector<uint64_t> numbers;
  for (Collector& collector : endless) {
    auto number = engine->Submit(collector.Bind({.prompt = {5}, .max_tokens = 1'000'000'000}));
    ASSERT_TRUE(number.ok());
    numbers.push_back(*number);
  }
  endless[0].WaitForTokens(3);
  engine->Cancel(numbers[2]);  // which waits for a place
  EXPECT_EQ(endless[2].Wait().finish, FinishReason::kCancelled);
  EXPECT_TRUE(endless[2].tokens().empty());
  engine->Cancel(numbers[0]);
  EXPECT_EQ(endless[0].Wait().finish, FinishReason::kCancelled);
  EXPECT_EQ(endless[0].Wait().snapshot, nullptr);
  engine->Cancel(12345);  // nobody's
  Ids tokens;
  EXPECT_EQ(RunToEnd(*engine, {.prompt = {5}, .max_tokens = 4}, &tokens).finish, FinishReason::kLength);
  engine.reset();
  EXPECT_EQ(endless[1].Wait().finish, FinishReason::kCancelled);
}

TEST(Engine, RefusesWhatItCannotDo) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model, {.active = 1, .waiting = 2});
  const auto message = [&](EngineRequest request) { return std::string(engine->Submit(request).status().message()); };
  EXPECT_THAT(message({}), HasSubstr("no token"));
  EXPECT_THAT(message({.prompt = {97}}), HasSubstr("token id 97"));
  EXPECT_THAT(message({.prompt = {1}, .max_tokens = -1}), HasSubstr("max_tokens"));
  EXPECT_THAT(message({.prompt = {1}, .sampling = {.top_p = 1.5}}), HasSubstr("top_p"));
  EngineRequest replay{.prompt = {1}, .max_tokens = 1};
  replay.replay = {1, 2};
  EXPECT_THAT(message(replay), HasSubstr("replay"));
  EXPECT_THAT(std::string(Engine::Create(*model, {.active = 0}).status().message()), HasSubstr("active"));

  std::vector<Collector> endless(4);
  ASSERT_TRUE(engine->Submit(endless[0].Bind({.prompt = {5}, .max_tokens = 1'000'000'000})).ok());
  endless[0].WaitForTokens(1);
  for (int i = 1; i < 3; ++i) ASSERT_TRUE(engine->Submit(endless[i].Bind({.prompt = {5}})).ok());
  auto full = engine->Submit(endless[3].Bind({.prompt = {5}}));
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted) << full.status();
  EXPECT_EQ(engine->stats().waiting, 2);
  engine.reset();
}

TEST(Engine, DrainFinishesWhatWasAccepted) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model, {.active = 2});
  std::vector<Collector> collectors(5);
  for (Collector& collector : collectors) {
    ASSERT_TRUE(engine->Submit(collector.Bind({.prompt = RandomTokens(1, 30), .max_tokens = 20})).ok());
  }
  engine->Drain();
  EXPECT_EQ(engine->stats().finished, 5);
  for (Collector& collector : collectors) EXPECT_EQ(collector.Wait().finish, FinishReason::kLength);
  EXPECT_EQ(engine->Submit({.prompt = {5}}).status().code(), absl::StatusCode::kUnavailable);
}

// Whoever hears that a text has ended sees that nothing is left, whether it ended while it was read or later.
TEST(Engine, AnIdleEngineSaysSo) {
  auto model = InferenceModel("llama");
  auto engine = NewEngine(*model);
  Ids tokens;
  for (const int64_t max_tokens : {0, 1, 20}) {
    RunToEnd(*engine, {.prompt = RandomTokens(1, 30), .max_tokens = max_tokens}, &tokens);
    const EngineStats stats = engine->stats();
    EXPECT_EQ(stats.waiting, 0);
    EXPECT_EQ(stats.reading, 0);
    EXPECT_EQ(stats.active, 0);
    EXPECT_EQ(stats.state_bytes, 0);
  }
}

TEST(Engine, ABrokenStateFailsItsOwnTextOnly) {
  auto model = InferenceModel("rad_rwkv7");
  auto engine = NewEngine(*model);
  Ids tokens, want;
  RunToEnd(*engine, {.prompt = {7, 8}, .max_tokens = 12}, &want);
  const EngineResult good = RunToEnd(*engine, {.prompt = {5}, .max_tokens = 2}, &tokens);
  auto broken = std::make_shared<Snapshot>(*good.snapshot);
  broken->state = good.snapshot->state.Copy();
  broken->state.layers[0].tensors.at("wkv").fill_(std::numeric_limits<float>::quiet_NaN());
  Collector bad, fine;
  ASSERT_TRUE(engine->Submit(fine.Bind({.prompt = {7, 8}, .max_tokens = 12})).ok());
  ASSERT_TRUE(engine->Submit(bad.Bind({.from = broken, .prompt = {5}})).ok());
  EXPECT_EQ(bad.Wait().finish, FinishReason::kError);
  EXPECT_EQ(bad.Wait().status.code(), absl::StatusCode::kDataLoss) << bad.Wait().status;
  EXPECT_EQ(fine.Wait().finish, FinishReason::kLength);
  EXPECT_EQ(fine.tokens(), want);
}

}  // namespace
}  // namespace radlads
