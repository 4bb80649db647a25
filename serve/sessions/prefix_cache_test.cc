// Beginnings of texts whose states are there: in memory, on disk, warm.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <span>
#include <stop_token>
#include <string_view>
#include <thread>

#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "model/testing.h"
#include "serve/sessions/model_hash.h"
#include "serve/sessions/prefix_hash.h"
#include "serve/sessions/service_sizes.h"
#include "serve/sessions/service_testing.h"
#include "serve/sessions/session_store.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Ids = std::vector<int64_t>;

constexpr char kLookups[] = "radlads_serve_prefix_cache_lookups_total";

class PrefixCacheTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, PrefixCacheTest, ::testing::Values("rad_rwkv6", "rad_rwkv7", "qwen2", "hybrid"),
                         [](const auto& info) { return info.param; });

// Whatever of a prompt is taken from the cache, its reply has the same bits.
TEST_P(PrefixCacheTest, ThePrefixCacheGivesEqualBits) {
  SmallService with(GetParam()), without(GetParam(), {.directory = NewDirectory(), .cache_bytes = 0});
  const Ids system = RandomTokens(1, 100);
  Ids cached;
  for (const int question : {11, 12, 13, 13, 13, 14}) {
    const TextRequest request{.prompt = Joined({system, RandomTokens(question, 7 + question)}),
                              .max_tokens = 12,
                              .sampling = Seeded(3),
                              .logprobs = 3};
    Reader got(*with, request), want(*without, request);
    cached.push_back(got.Wait().cached_tokens);
    EXPECT_EQ(want.Wait().cached_tokens, 0);
    ASSERT_EQ(got.ids(), want.ids()) << "question " << question;
    for (size_t i = 0; i < got.tokens().size(); ++i) {
      EXPECT_EQ(got.tokens()[i].logprob, want.tokens()[i].logprob);
      EXPECT_EQ(got.tokens()[i].top, want.tokens()[i].top);
      EXPECT_THAT(got.tokens()[i].top, SizeIs(3));
    }
  }
  // The second prompt tells what is shared, the third has it; equal ones have all.
  EXPECT_EQ(cached, (Ids{0, 0, 96, 120, 120, 96}));
  // A text that goes on is found by its reply's end.
  const Ids prompt = RandomTokens(5, 40), reply = Reply(with, prompt, 10, Greedy());
  Reader next(*with, {.prompt = Joined({prompt, reply, RandomTokens(6, 10)}), .max_tokens = 5, .sampling = Greedy()});
  EXPECT_EQ(next.Wait().cached_tokens, 49);
  EXPECT_EQ(next.Wait().prompt_tokens, 60);
  EXPECT_EQ(with.Metric(kLookups, "memory"), 5);
  EXPECT_EQ(with.Metric(kLookups, "disk"), 0);
  EXPECT_EQ(with.Metric(kLookups, "miss"), 3);
}

// Of a prompt that is asked for again nothing is read, however short the replies are, and alone or from a session.
TEST_P(PrefixCacheTest, TheSamePromptIsNotReadAgain) {
  SmallService service(GetParam());
  const Ids prompt = RandomTokens(1, 30);
  const auto ask = [&](TextRequest request) {
    request.sampling = Seeded(3);
    Reader reader(*service, std::move(request));
    EXPECT_EQ(reader.Wait().finish, TextFinish::kLength) << reader.Wait().status;
    return std::pair(reader.ids(), reader.Wait().cached_tokens);
  };
  const auto [want, none] = ask({.prompt = prompt, .max_tokens = 10});
  EXPECT_EQ(none, 0);
  EXPECT_EQ(ask({.prompt = prompt, .max_tokens = 1}), std::pair(Ids{want[0]}, int64_t{30}));
  EXPECT_EQ(ask({.prompt = prompt, .max_tokens = 10}), std::pair(want, int64_t{30}));
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  EXPECT_EQ(ask({.session = "s", .prompt = prompt, .max_tokens = 10}), std::pair(want, int64_t{30}));
  EXPECT_EQ(*service->Tokens("s", 0), Joined({prompt, want}));
  service.Reopen();
  EXPECT_EQ(Say(service, "s", {}, 5, Greedy()), Reply(service, Joined({prompt, want}), 5, Greedy()));
}

// What a text has in common with a session is not read again, in another process either.
TEST_P(PrefixCacheTest, ThePrefixCacheOutlivesTheProcess) {
  SmallService service(GetParam()), other(GetParam());
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  const Ids prompt = RandomTokens(1, 40), reply = Say(service, "s", prompt, 10, Greedy());
  const Ids longer = Joined({prompt, reply, RandomTokens(2, 10)});
  const Ids want = Reply(other, longer, 12, Seeded(3));
  for (const char* from : {"disk", "memory"}) {
    if (std::string_view(from) == "disk") service.Reopen();
    const double found = service.Metric(kLookups, from);
    Reader reader(*service, {.prompt = longer, .max_tokens = 12, .sampling = Seeded(3)});
    EXPECT_EQ(reader.Wait().cached_tokens, std::string_view(from) == "disk" ? 49 : 60) << from;
    EXPECT_EQ(reader.ids(), want) << from;
    EXPECT_EQ(service.Metric(kLookups, from), found + 1);
  }
  service.Reopen();
  ASSERT_TRUE(service->DeleteSession("s").ok());
  Reader reader(*service, {.prompt = longer, .max_tokens = 12, .sampling = Seeded(3)});
  EXPECT_EQ(reader.Wait().cached_tokens, 0) << "a session that is deleted is forgotten";
  EXPECT_EQ(service.Metric(kLookups, "miss"), 1);
}

// A state that is damaged costs a text that begins alike time, and nothing else.
TEST(PrefixCache, ADamagedStateOfAnotherSessionIsNotUsed) {
  SmallService service("rad_rwkv7");
  const Ids prompt = RandomTokens(1, 30), want = Reply(service, prompt, 10, Greedy());
  const std::string directory = NewDirectory();
  {
    auto store = SessionStore::Open(directory, ModelHash(service.model()), "small", {});
    ASSERT_TRUE(store.ok()) << store.status();
    SessionStore::Place place{.state = "no state"};
    const PrefixHash hash = Chain({}, prompt)[20];
    place.record.set_tokens(20);
    place.record.set_read(20);
    place.record.set_prefix_hash(hash.data(), hash.size());
    place.record.set_message(true);
    ASSERT_TRUE((*store)->Insert("s", 0, "", std::span(prompt).first(20), &place).ok());
  }
  service.options.directory = directory;
  service.Reopen();
  Reader reader(*service, {.prompt = prompt, .max_tokens = 10, .sampling = Greedy()});
  EXPECT_EQ(reader.Wait().cached_tokens, 0);
  EXPECT_EQ(reader.ids(), want);
  EXPECT_EQ(service.Metric("radlads_serve_store_errors_total", "model"), 1);
  const auto status = service->Start({.session = "s", .prompt = {5}}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("session 's'"));
}

// The state of a warm text is there for the first text that begins so, and for all later ones.
TEST_P(PrefixCacheTest, WarmTextsStay) {
  SmallService cold(GetParam());
  const Ids warm = RandomTokens(1, 50), text = Joined({warm, RandomTokens(2, 5)});
  Reader want(*cold, {.prompt = text, .max_tokens = 10, .sampling = Seeded(3)});
  const int64_t bytes = want.Wait().state_bytes;
  SmallService service(GetParam(), {.directory = NewDirectory(), .cache_bytes = 3 * bytes});
  const Ids warms[] = {warm};
  const absl::Status warmed = service.Warm(warms);
  ASSERT_TRUE(warmed.ok()) << warmed;
  for (int others = 0; others < 3; ++others) {
    Reader reader(*service, {.prompt = text, .max_tokens = 10, .sampling = Seeded(3)});
    EXPECT_GE(reader.Wait().cached_tokens, 50) << "after " << 6 * others << " others";
    EXPECT_EQ(reader.ids(), want.ids());
    for (int i = 0; i < 6; ++i) Reply(service, RandomTokens(10 * others + i, 50), 5, Greedy());
  }
  EXPECT_LE(service.Metric("radlads_serve_state_bytes", "cache"), 3 * static_cast<double>(bytes));
  Reader just(*service, {.prompt = warm, .max_tokens = 10, .sampling = Seeded(3)});
  EXPECT_EQ(just.Wait().cached_tokens, 50);
  EXPECT_EQ(just.ids(), Reply(cold, warm, 10, Seeded(3)));
  const auto message = [](const absl::Status& status) { return std::string(status.message()); };
  const Ids unknown[] = {{1, 97}}, more[] = {RandomTokens(5, 50), RandomTokens(6, 50), RandomTokens(7, 50)};
  EXPECT_THAT(message(service.Warm(unknown)), HasSubstr("token id 97"));
  EXPECT_THAT(message(service.Warm(more)), HasSubstr("kept for good"));
}

// Reading all of it would take minutes.
TEST(WarmTest, StopsWhenItIsTold) {
  SmallService service("rad_rwkv7");
  const Ids warm[] = {RandomTokens(1, 5'000'000)};
  std::stop_source stop;
  std::thread stopping([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    stop.request_stop();
  });
  const auto begun = std::chrono::steady_clock::now();
  const absl::Status status = service.Warm(warm, stop.get_token());
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  EXPECT_TRUE(absl::IsCancelled(service.Warm(warm, stop.get_token()))) << "told before";
  stopping.join();
  EXPECT_EQ(Reply(service, RandomTokens(1, 10), 5, Greedy()).size(), 5u) << "the engine goes on";
}

TEST(ServiceSizes, SizesComeFromTheMemory) {
  const ServiceSizes large = ChooseSizes(int64_t{32} << 30, std::nullopt, 2 << 20);
  EXPECT_EQ(large.active, 64) << "more would not be faster";
  EXPECT_EQ(large.cache_bytes, int64_t{4} << 30);
  // 8 GiB for texts of 400 MiB each.
  EXPECT_EQ(ChooseSizes(int64_t{16} << 30, std::nullopt, 400 << 20).active, 20);
  const ServiceSizes device = ChooseSizes(int64_t{16} << 30, int64_t{8} << 30, 400 << 20);
  EXPECT_EQ(device.active, 10);
  EXPECT_EQ(device.cache_bytes, int64_t{2} << 30);
  EXPECT_EQ(ChooseSizes(1 << 20, std::nullopt, 400 << 20).active, 1) << "one always goes on";
  EXPECT_EQ(ChooseSizes(-1, std::nullopt, 1).cache_bytes, 0) << "nothing is free";

  // Of the model's own states: 100 tokens of the softmax one are larger than the state of the recurrent one.
  SessionServiceOptions options{.engine = {.active = kFromMemory, .waiting = kFromMemory},
                                .cache_bytes = kFromMemory,
                                .memory = 1 << 20,
                                .context = 100};
  for (const char* kind : {"rad_rwkv7", "qwen2"}) {
    options.directory = NewDirectory();
    SmallService service(kind, options);
    EXPECT_EQ(Reply(service, RandomTokens(1, 10), 5, Greedy()).size(), 5u);
    const Ids warm[] = {RandomTokens(1, 99)};
    EXPECT_TRUE(service.Warm(warm).ok());
    const Ids longer[] = {RandomTokens(1, 100)};
    EXPECT_THAT(std::string(service.Warm(longer).message()), HasSubstr("of the 100 that a text may have"));
  }
  auto model = SmallModel("qwen2");
  model->SetForInference();
  prometheus::Registry metrics;
  const auto refused = [&] {
    return std::string(SessionService::Create(*model, SmallTokenizer(), options, metrics).status().message());
  };
  options.context = 0;
  EXPECT_THAT(refused(), HasSubstr("grows with every token"));
  options.memory = 0;
  EXPECT_THAT(refused(), HasSubstr("none is given"));
}

}  // namespace
}  // namespace radlads
