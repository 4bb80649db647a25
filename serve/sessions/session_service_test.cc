#include "serve/sessions/session_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "base/crc32c.h"
#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "model/testing.h"
#include "serve/sessions/failing_disk.h"
#include "serve/sessions/model_hash.h"
#include "serve/sessions/prefix_hash.h"
#include "serve/sessions/service_sizes.h"
#include "serve/sessions/service_testing.h"
#include "serve/sessions/session_store.h"

namespace radlads {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Ids = std::vector<int64_t>;

constexpr char kLookups[] = "radlads_serve_prefix_cache_lookups_total";

// A blob with its checksum set right.
std::string Framed(std::string bytes) {
  const uint32_t checksum = Crc32c(std::string_view(bytes).substr(16));
  std::copy_n(reinterpret_cast<const char*>(&checksum), 4, bytes.begin() + 12);
  return bytes;
}

class SessionServiceTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, SessionServiceTest, ::testing::Values("rad_rwkv6", "rad_rwkv7", "qwen2", "hybrid"),
                         [](const auto& info) { return info.param; });

Ids Joined(std::vector<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// The reply to a prompt that nothing came before.
Ids Reply(SmallService& service, const Ids& prompt, int64_t tokens, const SamplingOptions& sampling) {
  Reader reader(*service, {.prompt = prompt, .max_tokens = tokens, .sampling = sampling});
  EXPECT_EQ(reader.Wait().finish, TextFinish::kLength) << reader.Wait().status;
  return reader.ids();
}

// In `session`; checks what the result says of it.
Ids Say(SmallService& service, const std::string& session, const Ids& prompt, int64_t tokens,
        const SamplingOptions& sampling) {
  const int64_t had = service->GetSession(session)->tokens;
  Reader reader(*service, {.session = session, .prompt = prompt, .max_tokens = tokens, .sampling = sampling});
  const TextResult& result = reader.Wait();
  EXPECT_EQ(result.finish, TextFinish::kLength) << result.status;
  EXPECT_EQ(result.session, session);
  EXPECT_EQ(result.prompt_tokens, static_cast<int64_t>(prompt.size()));
  EXPECT_EQ(result.reply_tokens, tokens);
  EXPECT_EQ(result.text_tokens, had + static_cast<int64_t>(prompt.size()) + tokens);
  EXPECT_GT(result.state_bytes, 0);
  const auto info = service->GetSession(session);
  EXPECT_EQ(info->tokens, result.text_tokens);
  EXPECT_FALSE(info->busy);
  EXPECT_EQ(service->Snapshots(session)->back().id, result.snapshot);
  return reader.ids();
}

TEST_P(SessionServiceTest, SplitEqualsWhole) {
  for (const bool reopen : {false, true}) {
    SmallService service(GetParam());
    const Ids prompt = RandomTokens(1, 30);
    const Ids whole = Reply(service, prompt, 60, Greedy());
    ASSERT_TRUE(service->CreateSession("s", 0).ok());
    Ids split = Say(service, "s", prompt, 20, Greedy());
    for (int i = 0; i < 2; ++i) {
      if (reopen) service.Reopen();
      split = Joined({split, Say(service, "s", {}, 20, Greedy())});
    }
    EXPECT_EQ(split, whole);
    EXPECT_EQ(*service->Tokens("s", 0), Joined({prompt, whole}));
    EXPECT_EQ(*service->Tokens("s", 80), Ids(whole.begin() + 50, whole.end()));
    // More is said: as a text that begins with all of it.
    const Ids more = RandomTokens(2, 15);
    const Ids want = Reply(service, Joined({prompt, whole, more}), 20, Greedy());
    if (reopen) service.Reopen();
    EXPECT_EQ(Say(service, "s", more, 20, Greedy()), want);
  }
}

TEST_P(SessionServiceTest, WhatEndsAReplyIsReadOnce) {
  SmallService service(GetParam());
  const Ids prompt = RandomTokens(1, 20), next = RandomTokens(2, 10);
  for (const bool ended : {true, false}) {
    const Ids reply = Reply(service, prompt, 5, Greedy());
    Ids end = {7, reply.back()};
    if (!ended) end.back() = reply.back() == 9 ? 8 : 9;
    const Ids begin = Joined({prompt, reply, ended ? Ids{} : end, next});
    const Ids want = Reply(service, begin, 5, Greedy());
    const std::string name = ended ? "ended" : "cut";
    Reader first(*service, {.prompt = prompt, .max_tokens = 5, .sampling = Greedy(), .keep = true, .snapshot_id = name});
    EXPECT_EQ(first.Wait().snapshot, name) << first.Wait().status;
    for (const TextRequest& from : {TextRequest{.snapshot = name}, TextRequest{.session = first.Wait().session}}) {
      TextRequest more = from;
      more.prompt = Joined({end, next});
      more.reply_end = 2;
      more.max_tokens = 5;
      more.sampling = Greedy();
      Reader second(*service, more);
      EXPECT_EQ(second.Wait().finish, TextFinish::kLength) << second.Wait().status;
      EXPECT_EQ(second.ids(), want);
      EXPECT_EQ(second.Wait().text_tokens, static_cast<int64_t>(begin.size()) + 5);
    }
    EXPECT_EQ(service->Snapshots(first.Wait().session)->at(0).id, name);
    const auto again = service->Start({.prompt = prompt, .keep = true, .snapshot_id = name}, {});
    EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(service->Start({.prompt = prompt, .reply_end = 21}, {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_P(SessionServiceTest, SnapshotsForksAndTheWayBack) {
  SmallService service(GetParam());
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  const Ids prompt = RandomTokens(1, 30), other = RandomTokens(2, 10);
  const Ids first = Say(service, "s", prompt, 10, Seeded(1)), second = Say(service, "s", other, 10, Seeded(2));
  const auto snapshots = service->Snapshots("s");
  ASSERT_THAT(*snapshots, SizeIs(2));
  EXPECT_EQ((*snapshots)[0].tokens, 40);
  service.Reopen();
  // From a snapshot, kept or not, any number of times, also while the session is busy.
  for (const bool keep : {false, true}) {
    Reader busy(*service, {.session = "s", .prompt = other, .max_tokens = 100, .sampling = Greedy()});
    Reader reader(
        *service,
        {.snapshot = (*snapshots)[0].id, .prompt = other, .max_tokens = 10, .sampling = Seeded(2), .keep = keep});
    const TextResult& result = reader.Wait();
    EXPECT_EQ(result.finish, TextFinish::kLength) << result.status;
    EXPECT_EQ(reader.ids(), second);
    EXPECT_EQ(result.text_tokens, 60);
    EXPECT_EQ(result.session.empty(), !keep);
    busy.Cancel();
    if (!keep) continue;
    EXPECT_EQ(*service->Tokens(result.session, 0), Joined({prompt, first, other, second}));
    EXPECT_EQ(service->GetSession(result.session)->parent, "s");
    Reader next(*service, {.snapshot = result.snapshot, .max_tokens = 5, .sampling = Greedy()});
    EXPECT_EQ(next.Wait().finish, TextFinish::kLength) << next.Wait().status;
  }
  ASSERT_TRUE(service->RewindSession("s", (*snapshots)[1].id).ok());
  const Ids end = Say(service, "s", other, 8, Greedy());

  const auto fork = service->ForkSession("s", (*snapshots)[1].id, "fork");
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_EQ(fork->tokens, 60);
  EXPECT_EQ(fork->parent, "s");
  EXPECT_EQ(Say(service, "fork", other, 8, Greedy()), end);
  EXPECT_EQ(*service->Tokens("fork", 0), *service->Tokens("s", 0));
  ASSERT_TRUE(service->ForkSession("s", "", "tip").ok());
  EXPECT_EQ(service->GetSession("tip")->tokens, 78);

  const auto back = service->RewindSession("s", (*snapshots)[0].id);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->tokens, 40);
  EXPECT_FALSE(back->busy);
  EXPECT_EQ(Say(service, "s", other, 10, Seeded(2)), second);
  EXPECT_EQ(service->RewindSession("s", (*snapshots)[1].id).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(service->RewindSession("fork", (*snapshots)[0].id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Say(service, "tip", {}, 3, Greedy()).size(), 3u) << "forks do not notice";
}

// Whatever of a prompt is taken from the cache, its reply has the same bits.
TEST_P(SessionServiceTest, ThePrefixCacheGivesEqualBits) {
  SmallService with(GetParam()), without(GetParam(), {.directory = NewDirectory(), .cache_bytes = 0});
  const Ids system = RandomTokens(1, 100);
  Ids cached;
  for (const int question : {11, 12, 13, 13, 14}) {
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
  // The second prompt tells what is shared, the third has it; so does the second of two equal ones.
  EXPECT_EQ(cached, (Ids{0, 0, 96, 96, 96}));
  // A text that goes on is found by its reply's end.
  const Ids prompt = RandomTokens(5, 40), reply = Reply(with, prompt, 10, Greedy());
  Reader next(*with, {.prompt = Joined({prompt, reply, RandomTokens(6, 10)}), .max_tokens = 5, .sampling = Greedy()});
  EXPECT_EQ(next.Wait().cached_tokens, 49);
  EXPECT_EQ(next.Wait().prompt_tokens, 60);
  EXPECT_EQ(with.Metric(kLookups, "memory"), 4);
  EXPECT_EQ(with.Metric(kLookups, "disk"), 0);
  EXPECT_EQ(with.Metric(kLookups, "miss"), 3);
}

// What a text has in common with a session is not read again, in another process either.
TEST_P(SessionServiceTest, ThePrefixCacheOutlivesTheProcess) {
  SmallService service(GetParam()), other(GetParam());
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  const Ids prompt = RandomTokens(1, 40), reply = Say(service, "s", prompt, 10, Greedy());
  const Ids longer = Joined({prompt, reply, RandomTokens(2, 10)});
  const Ids want = Reply(other, longer, 12, Seeded(3));
  for (const char* from : {"disk", "memory"}) {
    if (std::string_view(from) == "disk") service.Reopen();
    const double found = service.Metric(kLookups, from);
    Reader reader(*service, {.prompt = longer, .max_tokens = 12, .sampling = Seeded(3)});
    EXPECT_EQ(reader.Wait().cached_tokens, 49) << from;
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
TEST(SessionService, ADamagedStateOfAnotherSessionIsNotUsed) {
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
TEST_P(SessionServiceTest, WarmTextsStay) {
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
  const auto message = [](const absl::Status& status) { return std::string(status.message()); };
  const Ids unknown[] = {{1, 97}}, more[] = {RandomTokens(5, 50), RandomTokens(6, 50), RandomTokens(7, 50)};
  EXPECT_THAT(message(service.Warm(unknown)), HasSubstr("token id 97"));
  EXPECT_THAT(message(service.Warm(more)), HasSubstr("kept for good"));
}

TEST(SessionService, SizesComeFromTheMemory) {
  const ServiceSizes large = ChooseSizes(int64_t{32} << 30, 2 << 20);
  EXPECT_EQ(large.active, 64) << "more would not be faster";
  EXPECT_EQ(large.cache_bytes, int64_t{4} << 30);
  // 8 GiB for texts of 400 MiB each.
  EXPECT_EQ(ChooseSizes(int64_t{16} << 30, 400 << 20).active, 20);
  EXPECT_EQ(ChooseSizes(1 << 20, 400 << 20).active, 1) << "one always goes on";
  EXPECT_EQ(ChooseSizes(-1, 1).cache_bytes, 0) << "nothing is free";

  // Of the model's own states: 100 tokens of the softmax one are larger than the state of the recurrent one.
  SessionServiceOptions options{
      .engine = {.active = kFromMemory, .waiting = kFromMemory}, .cache_bytes = kFromMemory, .memory = 1 << 20, .context = 100};
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

TEST_P(SessionServiceTest, ExportedEqualsImported) {
  SmallService from(GetParam()), to(GetParam());
  ASSERT_TRUE(from->CreateSession("s", 0).ok());
  Say(from, "s", RandomTokens(1, 30), 20, Greedy());
  const auto blob = from->ExportSession("s");
  ASSERT_TRUE(blob.ok()) << blob.status();
  const auto copy = to->ImportSession(*blob, "copy");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(copy->tokens, 50);
  EXPECT_EQ(*to->Tokens("copy", 0), *from->Tokens("s", 0));
  EXPECT_EQ(*to->ExportSession("copy"), *blob);
  EXPECT_EQ(Say(to, "copy", RandomTokens(2, 5), 20, Greedy()), Say(from, "s", RandomTokens(2, 5), 20, Greedy()));
  ASSERT_TRUE(from->CreateSession("empty", 0).ok());
  ASSERT_TRUE(to->ImportSession(*from->ExportSession("empty"), "empty").ok());
  EXPECT_EQ(Say(to, "empty", RandomTokens(2, 5), 20, Greedy()).size(), 20u);
}

// What a large state is made of again, instead of being stored.
TEST_P(SessionServiceTest, StatesThatAreTooLargeAreMadeAgain) {
  SmallService service(GetParam(), {.directory = NewDirectory(), .state_bytes = 0});
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  const Ids whole = Reply(service, RandomTokens(1, 30), 30, Greedy());
  const Ids begin = Say(service, "s", RandomTokens(1, 30), 15, Greedy());
  service.Reopen();
  EXPECT_EQ(Joined({begin, Say(service, "s", {}, 15, Greedy())}), whole);
  const auto copy = service->ImportSession(*service->ExportSession("s"), "copy");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(Say(service, "copy", {}, 5, Greedy()), Say(service, "s", {}, 5, Greedy()));
}

TEST(SessionService, BlobsOfOthersAreRefusedWhole) {
  SmallService service("rad_rwkv7"), foreign("rad_rwkv6");
  for (SmallService* each : {&service, &foreign}) {
    ASSERT_TRUE((*each)->CreateSession("s", 0).ok());
    Say(*each, "s", RandomTokens(1, 10), 5, Greedy());
  }
  const std::string blob = *service->ExportSession("s");
  const auto message = [&](const std::string& bytes) {
    const auto status = service->ImportSession(bytes, "copy").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message(*foreign->ExportSession("s")), AllOf(HasSubstr("model hash"), HasSubstr("another model")));
  EXPECT_THAT(message(""), HasSubstr("ends within"));
  EXPECT_THAT(message("what is this?"), HasSubstr("no state blob"));
  EXPECT_THAT(message(blob.substr(0, blob.size() / 2)), HasSubstr("cut off"));
  std::string damaged = blob;
  damaged[damaged.size() / 2] ^= 1;
  EXPECT_THAT(message(damaged), HasSubstr("checksum"));
  // The tokens of another text with this one's state, everything else right.
  damaged = blob;
  damaged[56] ^= 1;
  EXPECT_THAT(message(Framed(damaged)), HasSubstr("hash of the first 14 tokens"));
  EXPECT_EQ(service->ListSessions("", 10)->size(), 1u);
  EXPECT_EQ(service->ImportSession(blob, "s").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(service->ImportSession(blob, "").ok());
}

// A state that no text leads to, of a well-known text, is its own session's and nobody else's.
TEST(SessionService, AForgedStateReachesNoOtherText) {
  SmallService service("rad_rwkv7");
  const Ids known = RandomTokens(1, 40);
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  Say(service, "s", known, 10, Greedy());
  std::string blob = *service->ExportSession("s");
  // The signs of half of it; position and number of the document come last.
  for (size_t i = blob.size() - 17; i > blob.size() / 2; i -= 4) blob[i] ^= 0x80;
  service.Reopen();
  const auto forged = service->ImportSession(Framed(blob), "forged");
  ASSERT_TRUE(forged.ok()) << forged.status();
  const Ids strange = Say(service, "forged", RandomTokens(2, 5), 20, Greedy());
  ASSERT_TRUE(service->ForkSession("forged", "", "fork").ok());
  EXPECT_EQ(Say(service, "forged", {}, 5, Greedy()), Say(service, "fork", {}, 5, Greedy()));
  const Ids text = Joined({*service->Tokens("s", 0), RandomTokens(2, 5)});
  SmallService clean("rad_rwkv7");
  const Ids want = Reply(clean, text, 20, Greedy());
  service.Reopen();
  ASSERT_NE(strange, want) << "the damage changes nothing: the test shows nothing";
  EXPECT_EQ(Reply(service, text, 20, Greedy()), want);
  EXPECT_EQ(Say(service, "s", RandomTokens(2, 5), 20, Greedy()), want);
  EXPECT_TRUE(clean->ImportSession(*service->ExportSession("forged"), "").ok()) << "its hash is that of the tokens";
}

TEST(SessionService, AStopStringEndsTheText) {
  SmallService service("rad_rwkv7");
  Reader whole(*service, {.prompt = RandomTokens(1, 10), .max_tokens = 60, .sampling = Greedy()});
  whole.Wait();
  const std::string text = whole.text(), stop = text.substr(20, 3);
  const size_t at = text.find(stop);
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  Reader reader(
      *service,
      {.session = "s", .prompt = RandomTokens(1, 10), .max_tokens = 60, .sampling = Greedy(), .stop = {"none", stop}});
  EXPECT_EQ(reader.Wait().finish, TextFinish::kStop) << reader.Wait().status;
  EXPECT_EQ(reader.text(), text.substr(0, at));
  EXPECT_EQ(reader.Wait().reply_tokens, static_cast<int64_t>(at) + 3);
  EXPECT_EQ(service->GetSession("s")->tokens, 10 + static_cast<int64_t>(at) + 3);
  Reader token(*service, {.prompt = RandomTokens(1, 10), .max_tokens = 60, .sampling = {.logit_bias = {{0, 1000}}}});
  EXPECT_EQ(token.Wait().finish, TextFinish::kStop);
  EXPECT_EQ(token.ids(), Ids{0});
  EXPECT_EQ(token.text(), "");
}

TEST(SessionService, ABusySessionIsLeftAlone) {
  SmallService service("rad_rwkv7");
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  Say(service, "s", RandomTokens(1, 10), 5, Greedy());
  const std::string snapshot = service->Snapshots("s")->back().id;
  Reader reader(*service, {.session = "s", .prompt = {5}, .max_tokens = 1'000'000, .sampling = Greedy()});
  reader.WaitForTokens(3);
  const auto busy = absl::StatusCode::kFailedPrecondition;
  EXPECT_TRUE(service->GetSession("s")->busy);
  EXPECT_EQ(service->Start({.session = "s", .prompt = {5}}, {}).status().code(), busy);
  EXPECT_EQ(service->DeleteSession("s").code(), busy);
  EXPECT_EQ(service->RewindSession("s", snapshot).status().code(), busy);
  EXPECT_EQ(service->ForkSession("s", "", "t").status().code(), busy);
  EXPECT_EQ(service->ExportSession("s").status().code(), busy);
  EXPECT_TRUE(service->ForkSession("s", snapshot, "t").ok()) << "a snapshot does not move";
  reader.Cancel();
  EXPECT_EQ(reader.Wait().finish, TextFinish::kCancelled) << reader.Wait().status;
  EXPECT_EQ(service->GetSession("s")->tokens, 16 + static_cast<int64_t>(reader.ids().size()));
  EXPECT_EQ(service->Tokens("s", 16).value(), reader.ids());
  EXPECT_TRUE(service->DeleteSession("s").ok());
  EXPECT_EQ(service->Start({.snapshot = snapshot, .prompt = {5}}, {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(SessionService, WhoLeavesOrCancelsEndsTheTextWithinATokenOrTwo) {
  SmallService service("rad_rwkv7");
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  const Ids whole = Reply(service, RandomTokens(1, 10), 100, Greedy());
  Reader left(*service, {.session = "s", .prompt = RandomTokens(1, 10), .max_tokens = 1'000'000, .sampling = Greedy()},
              5);
  EXPECT_EQ(left.Wait().finish, TextFinish::kCancelled);
  EXPECT_EQ(left.ids().size(), 5u) << "no piece after it left";
  const int64_t tokens = service->GetSession("s")->tokens;
  EXPECT_LT(tokens, 10 + 50);
  // The text goes on where it ended.
  const Ids reply = Say(service, "s", {}, 10, Greedy());
  EXPECT_EQ(reply, Ids(whole.begin() + tokens - 10, whole.begin() + tokens));
  // Before its first token a text is as if it had never been.
  SmallService narrow("rad_rwkv7", {.engine = {.active = 1}, .directory = NewDirectory()});
  ASSERT_TRUE(narrow->CreateSession("s", 0).ok());
  Reader first(*narrow, {.prompt = {5}, .max_tokens = 1'000'000, .sampling = Greedy()});
  Reader second(*narrow, {.session = "s", .prompt = {5}});
  second.Cancel();
  EXPECT_EQ(second.Wait().finish, TextFinish::kCancelled);
  EXPECT_EQ(narrow->GetSession("s")->tokens, 0);
  first.Cancel();
}

TEST(SessionService, RefusesWithWhatToDo) {
  SmallService service("rad_rwkv7", {.directory = NewDirectory(), .store = {.sessions = 2}, .context = 50});
  const auto refused = [&](TextRequest request) {
    const auto status = service->Start(request, {}).status();
    return Concatenate(absl::StatusCodeToString(status.code()), " ", status.message());
  };
  EXPECT_THAT(refused({}), HasSubstr("INVALID_ARGUMENT there is nothing"));
  EXPECT_THAT(refused({.session = "none", .prompt = {1}}), HasSubstr("NOT_FOUND"));
  EXPECT_THAT(refused({.snapshot = "none", .prompt = {1}}), HasSubstr("NOT_FOUND"));
  EXPECT_THAT(refused({.session = "../s", .prompt = {1}}), HasSubstr("INVALID_ARGUMENT an id has"));
  EXPECT_THAT(refused({.session = "a", .snapshot = "b", .prompt = {1}}), HasSubstr("not from both"));
  EXPECT_THAT(refused({.prompt = {97}}), HasSubstr("INVALID_ARGUMENT token id 97"));
  EXPECT_THAT(refused({.prompt = {-1}}), HasSubstr("INVALID_ARGUMENT token id -1"));
  EXPECT_THAT(refused({.prompt = {1}, .max_tokens = -1}), HasSubstr("max_tokens"));
  EXPECT_THAT(refused({.prompt = {1}, .logprobs = 21}), HasSubstr("logprobs"));
  EXPECT_THAT(refused({.prompt = {1}, .stop = {std::string(257, 'x')}}), HasSubstr("stop string"));
  EXPECT_THAT(refused({.prompt = RandomTokens(1, 50)}), HasSubstr("of the 50 that may be"));
  Reader full(*service, {.prompt = RandomTokens(1, 45), .max_tokens = 100, .sampling = Greedy()});
  EXPECT_EQ(full.Wait().reply_tokens, 5);
  ASSERT_TRUE(service->CreateSession("a", 0).ok());
  ASSERT_TRUE(service->CreateSession("", 0).ok());
  EXPECT_EQ(service->CreateSession("a", 0).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused({.prompt = {1}, .keep = true}), HasSubstr("RESOURCE_EXHAUSTED"));
  EXPECT_EQ(service->ListSessions("", 10)->size(), 2u);
  EXPECT_EQ(service->Tokens("a", 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SessionService, AFullDiskFailsTheTextAndNotTheServer) {
  FailingDisk disk;
  SessionServiceOptions options{.directory = NewDirectory(), .snapshot_tokens = 4};
  options.store.env = disk.env();
  SmallService service("rad_rwkv7", options);
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  const Ids begin = Say(service, "s", RandomTokens(1, 10), 10, Greedy());
  const Ids before = *service->Tokens("s", 0);
  const std::string end = service->Snapshots("s")->back().id;
  for (const int64_t room : {0, 300, 5000, 40'000}) {
    disk.SetRoom(room);
    Reader reader(*service, {.session = "s", .prompt = {5}, .max_tokens = 100'000, .sampling = Greedy()});
    const TextResult& result = reader.Wait();
    EXPECT_EQ(result.finish, TextFinish::kError);
    EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted) << result.status;
    Reader unkept(*service, {.prompt = {5}, .max_tokens = 5, .sampling = Greedy()});
    EXPECT_EQ(unkept.Wait().finish, TextFinish::kLength) << "what is not kept needs no disk";
    disk.SetRoom(int64_t{1} << 40);
    if (service->GetSession("s")->cut) {
      // The disk would not take the way back either.
      ASSERT_TRUE(service->RewindSession("s", end).ok());
    }
    EXPECT_EQ(*service->Tokens("s", 0), before) << "room for " << room;
  }
  const Ids next = Say(service, "s", {}, 10, Greedy());
  service.Reopen();
  EXPECT_EQ(*service->Tokens("s", 20), next);
  EXPECT_EQ(Reply(service, RandomTokens(1, 10), 20, Greedy()), Joined({begin, next}));
}

TEST(SessionService, DrainEndsWhatWasBegun) {
  SmallService service("rad_rwkv7");
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  Reader reader(*service, {.session = "s", .prompt = {5}, .max_tokens = 200, .sampling = Greedy()});
  service->Drain();
  EXPECT_EQ(reader.Wait().finish, TextFinish::kLength);
  EXPECT_EQ(service->Start({.prompt = {5}}, {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(service->GetSession("s")->tokens, 201);
  service.Reopen();
  EXPECT_EQ(service->GetSession("s")->tokens, 201);
}

TEST(SessionService, ManySessionsAtOnce) {
  SmallService service("rad_rwkv7", {.engine = {.active = 6}, .directory = NewDirectory(), .snapshot_tokens = 7});
  std::vector<Ids> wants;
  for (int i = 0; i < 24; ++i) {
    ASSERT_TRUE(service->CreateSession("s" + std::to_string(i), 0).ok());
    wants.push_back(Reply(service, RandomTokens(i, 5 + i), 20 + i, Seeded(i)));
  }
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < 24; ++i) {
    readers.push_back(std::make_unique<Reader>(*service, TextRequest{.session = "s" + std::to_string(i),
                                                                     .prompt = RandomTokens(i, 5 + i),
                                                                     .max_tokens = 20 + i,
                                                                     .sampling = Seeded(i)}));
  }
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(readers[i]->Wait().finish, TextFinish::kLength) << readers[i]->Wait().status;
    EXPECT_EQ(readers[i]->ids(), wants[i]) << "session " << i;
  }
  EXPECT_EQ(service.Metric("radlads_serve_texts_total", "length"), 48);
}

}  // namespace
}  // namespace radlads
