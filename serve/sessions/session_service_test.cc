#include "serve/sessions/session_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "base/crc32c.h"
#include "base/status.h"
#include "model/testing.h"
#include "serve/sessions/failing_disk.h"
#include "serve/sessions/service_testing.h"

namespace radlads {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Ids = std::vector<int64_t>;

// A blob with its checksum set right.
std::string Framed(std::string bytes) {
  const uint32_t checksum = Crc32c(std::string_view(bytes).substr(16));
  std::copy_n(reinterpret_cast<const char*>(&checksum), 4, bytes.begin() + 12);
  return bytes;
}

class SessionServiceTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, SessionServiceTest, ::testing::Values("rad_rwkv6", "rad_rwkv7", "qwen2", "hybrid"),
                         [](const auto& info) { return info.param; });

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
    Reader first(*service,
                 {.prompt = prompt, .max_tokens = 5, .sampling = Greedy(), .keep = true, .snapshot_id = name});
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
    TextRequest again{.prompt = prompt, .keep = true};
    again.snapshot_id = name;
    EXPECT_EQ(service->Start(again, {}).status().code(), absl::StatusCode::kAlreadyExists);
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
  const auto last = blob.rbegin() + 16;
  for (size_t i = 0; i < blob.size() / 2 - 16; i += 4) last[i] ^= 0x80;
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

// Whatever else the options say: a biased token ends the text, does not, or does so later.
TEST(SessionService, WhatEndsATextIsAsTheRequestSays) {
  SmallService service("rad_rwkv7");
  const auto said = [&](TextRequest request) {
    request.prompt = {1, 2, 3};
    request.max_tokens = 6;
    request.sampling.logit_bias[40] = 1000;  // "H": the likeliest that may come
    Reader reader(*service, std::move(request));
    EXPECT_TRUE(reader.Wait().status.ok()) << reader.Wait().status;
    return std::pair(reader.text(), reader.ids().size());
  };
  EXPECT_EQ(said({}), std::pair(std::string("HHHHHH"), size_t{6}));
  EXPECT_EQ(said({.stop_ids = {40}}), std::pair(std::string(), size_t{1}));
  EXPECT_EQ(said({.stop = {"HH"}}), std::pair(std::string(), size_t{2}));
  EXPECT_EQ(said({.stop = {"HH"}, .min_tokens = 3}), std::pair(std::string("HH"), size_t{4}));
  TextRequest later{.stop_ids = {40}, .min_tokens = 2};
  later.sampling.logit_bias[41] = 900;
  EXPECT_EQ(said(later), std::pair(std::string("II"), size_t{3}));
  TextRequest end;
  end.sampling.logit_bias[0] = 2000;  // the end of text
  EXPECT_EQ(said(end), std::pair(std::string(), size_t{1}));
  end.min_tokens = 2;
  EXPECT_EQ(said(end), std::pair(std::string("HH"), size_t{3}));
  end.ignore_eos = true;
  EXPECT_EQ(said(end), std::pair(std::string(), size_t{6}));
  EXPECT_FALSE(service->Start({.prompt = {1}, .json = true, .min_tokens = 1}, {}).ok());
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

TEST(SessionService, WhoLeavesOrCancelsEndsTheText) {
  SmallService service("rad_rwkv7");
  ASSERT_TRUE(service->CreateSession("s", 0).ok());
  Reader left(*service, {.session = "s", .prompt = RandomTokens(1, 10), .max_tokens = 1'000'000, .sampling = Greedy()},
              5);
  EXPECT_EQ(left.Wait().finish, TextFinish::kCancelled);
  EXPECT_EQ(left.ids().size(), 5u) << "no piece after it left";
  const int64_t tokens = service->GetSession("s")->tokens;
  EXPECT_LT(tokens, 10 + 5000) << "a token takes some microseconds, and a thread that waits for a core milliseconds";
  // The text goes on where it ended.
  const Ids reply = Say(service, "s", {}, 10, Greedy());
  const Ids whole = Reply(service, RandomTokens(1, 10), tokens, Greedy());
  EXPECT_EQ(reply, Ids(whole.end() - 10, whole.end()));
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
  TextRequest stopped{.prompt = {1}};
  stopped.stop.emplace_back(257, 'x');
  EXPECT_THAT(refused(stopped), HasSubstr("stop string"));
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
