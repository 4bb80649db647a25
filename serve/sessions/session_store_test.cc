#include "serve/sessions/session_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "base/status.h"
#include "serve/error_code.h"
#include "serve/sessions/failing_disk.h"

namespace radlads {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<int64_t>;

const std::string kModel(32, 'a');

std::string NewDirectory() {
  static int count = 0;
  const std::string directory = ::testing::TempDir() + "/store" + std::to_string(++count);
  std::filesystem::remove_all(directory);
  return directory;
}

std::unique_ptr<SessionStore> Open(const std::string& directory, const SessionStoreOptions& options = {}) {
  auto store = SessionStore::Open(directory, kModel, "small", options);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

Ids Count(int64_t first, int64_t size) {
  Ids ids(size);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

absl::Status Append(SessionStore& store, const SessionStore::Lease& lease, const Ids& tokens, int64_t reply = -1) {
  SessionStore::Append append{.lease = &lease, .tokens = tokens};
  if (reply >= 0) {
    append.begin.emplace();
    append.begin->set_prompt(store.Find(lease).tokens);
    append.begin->set_reply(reply);
  }
  return store.AppendTokens({&append, 1});
}

// Of a text of so many tokens: all texts here are one.
PrefixHash HashAfter(int64_t tokens) {
  return Extend(PrefixHash{}, tokens);
}

absl::StatusOr<std::string> Commit(SessionStore& store, const SessionStore::Lease& lease, int64_t tokens, bool message,
                                   const std::string& state) {
  SessionStore::Place place{.state = state};
  place.record.set_tokens(tokens);
  place.record.set_read(tokens);
  const PrefixHash hash = HashAfter(tokens);
  place.record.set_prefix_hash(hash.data(), hash.size());
  place.record.set_message(message);
  return store.Commit(lease, place);
}

// A message: tokens, and a state of so many bytes.
void Say(SessionStore& store, const SessionStore::Lease& lease, const Ids& tokens, size_t state_bytes = 100) {
  const int64_t end = store.Find(lease).tokens + static_cast<int64_t>(tokens.size());
  ASSERT_TRUE(Append(store, lease, tokens, end - 1).ok());
  ASSERT_TRUE(Commit(store, lease, end, true, std::string(state_bytes, static_cast<char>('0' + end % 10))).ok());
}

Ids AllTokens(SessionStore& store, const std::string& id) {
  const auto session = store.Find(id);
  EXPECT_TRUE(session.ok()) << session.status();
  const auto tokens = store.Tokens(*session, 0, session->tokens);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  return tokens.value_or(Ids{});
}

Ids SnapshotTokens(const StoredSession& session) {
  Ids tokens;
  for (const auto& snapshot : session.record.snapshots()) tokens.push_back(snapshot.tokens());
  return tokens;
}

TEST(SessionStoreTest, KeepsWhatItWasGiven) {
  const std::string directory = NewDirectory();
  for (const bool reopened : {false, true}) {
    auto store = Open(directory);
    if (!reopened) {
      ASSERT_TRUE(store->Insert("one", 0, "", {}, nullptr).ok());
      const auto lease = store->Acquire("one");
      ASSERT_TRUE(lease.ok());
      Say(*store, *lease, Count(0, 3000), 5000);
      Say(*store, *lease, Count(3000, 100));
      EXPECT_TRUE(store->Find("one")->leased);
    }
    const StoredSession session = *store->Find("one");
    EXPECT_FALSE(session.leased);
    EXPECT_EQ(session.tokens, 3100);
    EXPECT_FALSE(session.reply);
    EXPECT_EQ(AllTokens(*store, "one"), Count(0, 3100));
    EXPECT_EQ(*store->Tokens(session, 1020, 1030), Count(1020, 10));
    EXPECT_EQ(*store->Tokens(session, 2048, 2049), Count(2048, 1));
    EXPECT_THAT(SnapshotTokens(session), ElementsAre(3000, 3100));
    EXPECT_GT(session.bytes, 5000 + 100 + 4 * 3100);
    EXPECT_EQ(store->bytes(), session.bytes);
    std::string state;
    ASSERT_TRUE(store
                    ->ReadState(session, 0,
                                [&](std::string_view bytes) {
                                  state = bytes;
                                  return absl::OkStatus();
                                })
                    .ok());
    EXPECT_EQ(state, std::string(5000, '0'));
    EXPECT_EQ(store->FindSnapshot(SnapshotId(session.number, 1))->second, 1);
  }
}

TEST(SessionStoreTest, SnapshotsMayHaveNames) {
  const std::string directory = NewDirectory();
  for (const bool reopened : {false, true}) {
    auto store = Open(directory);
    if (!reopened) {
      ASSERT_TRUE(store->Insert("s", 0, "", {}, nullptr).ok());
      const auto lease = store->Acquire("s");
      ASSERT_TRUE(lease.ok());
      for (const char* name : {"", "first", "second"}) {
        ASSERT_TRUE(Append(*store, *lease, Count(0, 10)).ok());
        SessionStore::Place place{.state = "state"};
        place.record.set_tokens(store->Find(*lease).tokens);
        place.record.set_message(true);
        place.record.set_name(name);
        const auto id = store->Commit(*lease, place);
        ASSERT_TRUE(id.ok()) << id.status();
        EXPECT_EQ(*id, *name != '\0' ? name : SnapshotId(lease->number(), 0));
      }
    }
    EXPECT_EQ(store->FindSnapshot("first")->second, 1);
    EXPECT_EQ(store->FindSnapshot("second")->second, 2);
    EXPECT_EQ(store->CheckName("first").code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ(store->CheckName("a b").code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(store->CheckName("third").ok());
  }
  auto store = Open(directory);
  ASSERT_TRUE(store->Truncate(*store->Acquire("s"), 20).ok());
  EXPECT_EQ(store->FindSnapshot("second").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->FindSnapshot("first").ok());
  ASSERT_TRUE(store->Remove("s").ok());
  EXPECT_TRUE(store->CheckName("first").ok());
}

TEST(SessionStoreTest, EachTokenAndEachPlaceToGoBackTo) {
  auto store = Open(NewDirectory());
  ASSERT_TRUE(store->Insert("s", 0, "", {}, nullptr).ok());
  Ids want;
  for (const int64_t end : {1, 1023, 1024, 1025, 2048, 5000, 4096, 3000, 1024, 0, 7, 1500}) {
    const auto lease = store->Acquire("s");
    ASSERT_TRUE(lease.ok());
    const auto had = static_cast<int64_t>(want.size());
    if (end < had) {
      ASSERT_TRUE(store->Truncate(*lease, end).ok());
    } else {
      for (int64_t i = had; i < end; ++i) {
        ASSERT_TRUE(Append(*store, *lease, {i * 7 + end}, i == had ? had : -1).ok());
        want.push_back(i * 7 + end);
      }
      ASSERT_TRUE(store->EndReply(*lease).ok());
    }
    want.resize(end);
    EXPECT_EQ(AllTokens(*store, "s"), want) << "after " << had << " tokens, " << end;
  }
}

TEST(SessionStoreTest, StatesAreFoundByWhatTheyHaveRead) {
  const std::string directory = NewDirectory();
  // Of the texts of 0 to 39 tokens: that of the longest state, its session and its place in the record.
  const auto found = [](SessionStore& store) {
    std::vector<PrefixHash> hashes;
    for (int64_t tokens = 0; tokens < 40; ++tokens) hashes.push_back(HashAfter(tokens));
    const auto prefix = store.FindPrefix(hashes);
    return prefix ? Concatenate(prefix->place, " ", prefix->session.record.id(), " ", prefix->snapshot) : "none";
  };
  {
    auto store = Open(directory);
    EXPECT_EQ(found(*store), "none");
    for (const char* id : {"short", "long"}) {
      ASSERT_TRUE(store->Insert(id, 0, "", {}, nullptr).ok());
      const auto lease = store->Acquire(id);
      Say(*store, *lease, Count(0, 10));
      EXPECT_EQ(found(*store).substr(0, 3), "10 ");
    }
    const auto lease = store->Acquire("long");
    Say(*store, *lease, Count(10, 20));
    Say(*store, *lease, Count(30, 20));
    ASSERT_TRUE(Append(*store, *lease, Count(50, 2), 51).ok());
    ASSERT_TRUE(Commit(*store, *lease, 35, true, "").ok()) << "a place without a state";
    EXPECT_EQ(found(*store), "30 long 1");
  }
  auto store = Open(directory);
  EXPECT_EQ(found(*store), "30 long 1");
  std::string state;
  const auto prefix = store->FindPrefix(std::vector{HashAfter(30)});
  ASSERT_TRUE(prefix);
  const auto read = [&](std::string_view bytes) {
    state = bytes;
    return absl::OkStatus();
  };
  ASSERT_TRUE(store->ReadState(prefix->session, 1, read).ok());
  EXPECT_EQ(state, std::string(100, '0'));
  ASSERT_TRUE(store->Truncate(*store->Acquire("long"), 10).ok());
  EXPECT_EQ(found(*store).substr(0, 3), "10 ");
  ASSERT_TRUE(store->Remove("long").ok());
  EXPECT_EQ(found(*store), "10 short 0");
  ASSERT_TRUE(store->Remove("short").ok());
  EXPECT_EQ(found(*store), "none");
}

TEST(SessionStoreTest, AReplyThatWasCutEndsWithItsLastToken) {
  const std::string directory = NewDirectory();
  {
    auto store = Open(directory);
    for (const std::string id : {"cut", "begun", "whole"}) {
      ASSERT_TRUE(store->Insert(id, 0, "", {}, nullptr).ok());
      const auto lease = store->Acquire(id);
      Say(*store, *lease, Count(0, 1000));
      // States of a prompt whose reply has no token are not gone on from.
      if (id == "begun") ASSERT_TRUE(Commit(*store, *lease, 1500, false, "state").ok());
      if (id != "cut") continue;
      ASSERT_TRUE(Append(*store, *lease, Count(1000, 40), 1030).ok());
      ASSERT_TRUE(Commit(*store, *lease, 1040, false, "state").ok());
      for (int64_t i = 1040; i < 1060; ++i) ASSERT_TRUE(Append(*store, *lease, {i}).ok());
    }
  }
  for (int round = 0; round < 2; ++round) {
    auto store = Open(directory);
    const StoredSession cut = *store->Find("cut");
    ASSERT_TRUE(cut.reply);
    EXPECT_EQ(cut.reply->prompt(), 1000);
    EXPECT_EQ(cut.reply->reply(), 1030);
    EXPECT_EQ(AllTokens(*store, "cut"), Count(0, 1060));
    EXPECT_THAT(SnapshotTokens(cut), ElementsAre(1000, 1040));
    EXPECT_THAT(SnapshotTokens(*store->Find("begun")), ElementsAre(1000));
    EXPECT_FALSE(store->Find("begun")->reply);
    EXPECT_EQ(AllTokens(*store, "whole"), Count(0, 1000));
  }
  auto store = Open(directory);
  {
    const auto lease = store->Acquire("cut");
    ASSERT_TRUE(store->Truncate(*lease, 1000).ok());
  }
  store = nullptr;
  EXPECT_EQ(AllTokens(*Open(directory), "cut"), Count(0, 1000));
}

TEST(SessionStoreTest, SnapshotsFitTheirBytes) {
  auto store = Open(NewDirectory(), {.session_bytes = 1000});
  const std::string id = store->Insert("", 0, "", {}, nullptr)->record.id();
  const auto lease = store->Acquire(id);
  Say(*store, *lease, Count(0, 10), 300);
  Say(*store, *lease, Count(0, 10), 300);
  ASSERT_TRUE(Append(*store, *lease, Count(0, 10), 20).ok());
  ASSERT_TRUE(Commit(*store, *lease, 25, false, std::string(300, 'x')).ok());
  EXPECT_THAT(SnapshotTokens(store->Find(*lease)), ElementsAre(10, 20, 25));
  ASSERT_TRUE(Commit(*store, *lease, 28, false, std::string(300, 'x')).ok());
  EXPECT_THAT(SnapshotTokens(store->Find(*lease)), ElementsAre(10, 20, 28)) << "the oldest on the way goes first";
  ASSERT_TRUE(Commit(*store, *lease, 30, true, std::string(700, 'x')).ok());
  EXPECT_THAT(SnapshotTokens(store->Find(*lease)), ElementsAre(20, 30));
  ASSERT_TRUE(Append(*store, *lease, {1}, 30).ok());
  ASSERT_TRUE(Commit(*store, *lease, 31, true, std::string(2000, 'x')).ok());
  EXPECT_THAT(SnapshotTokens(store->Find(*lease)), ElementsAre(31)) << "the end stays, whatever its size";

  const uint64_t number = lease->number();
  EXPECT_EQ(store->FindSnapshot(SnapshotId(number, 0)).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(store->FindSnapshot(SnapshotId(number, 6)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store->FindSnapshot(SnapshotId(number + 1, 0)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->FindSnapshot(SnapshotId(number, 5)).ok());
}

TEST(SessionStoreTest, LimitsAreMetWithAMessage) {
  int64_t now = 1000;
  auto store = Open(NewDirectory(), {.sessions = 3, .bytes = 40'000, .clock = [&] { return now; }});
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(store->Insert(id, 0, "", {}, nullptr).ok());
    const auto lease = store->Acquire(id);
    Say(*store, *lease, {1, 2}, 5000);
    Say(*store, *lease, {3, 4}, 5000);
    ++now;
  }
  auto full = store->Insert("d", 0, "", {}, nullptr);
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.status().message()), HasSubstr("3 sessions"));
  // The least recently used gives way: "a" keeps its end.
  {
    const auto lease = store->Acquire("c");
    Say(*store, *lease, {5}, 9000);
    EXPECT_THAT(SnapshotTokens(*store->Find("a")), ElementsAre(4));
    EXPECT_THAT(SnapshotTokens(*store->Find("b")), ElementsAre(2, 4));
    EXPECT_TRUE(store->CheckRoom(false).ok());
    Say(*store, *lease, {5}, 30'000);
  }
  EXPECT_THAT(SnapshotTokens(*store->Find("b")), ElementsAre(4));
  const absl::Status no_room = store->CheckRoom(false);
  EXPECT_EQ(no_room.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(no_room.message()), HasSubstr("40000"));
  ASSERT_TRUE(store->Remove("c").ok());
  EXPECT_TRUE(store->CheckRoom(true).ok());
}

TEST(SessionStoreTest, WhatIsNotUsedExpires) {
  int64_t now = 1000;
  const std::string directory = NewDirectory();
  const SessionStoreOptions options = {.ttl_seconds = 100, .clock = [&] { return now; }};
  auto store = Open(directory, options);
  ASSERT_TRUE(store->Insert("short", 10, "", Count(0, 2000), nullptr).ok());
  ASSERT_TRUE(store->Insert("long", 0, "", {}, nullptr).ok());
  ASSERT_TRUE(store->Insert("used", 10, "", {}, nullptr).ok());
  now += 9;
  EXPECT_EQ(*store->Expire(), 0);
  auto lease = store->Acquire("used");
  now += 5;
  EXPECT_EQ(*store->Expire(), 1) << "the one that is busy stays";
  Say(*store, *lease, {1});
  EXPECT_EQ(store->Find("short").status().code(), absl::StatusCode::kNotFound);
  now += 9;
  EXPECT_EQ(*store->Expire(), 0);
  now += 100;
  { const auto moved = *std::move(lease); }
  store = nullptr;
  store = Open(directory, options);
  EXPECT_EQ(*store->Expire(), 2);
  EXPECT_EQ(store->sessions(), 0);
  EXPECT_EQ(store->bytes(), 0);
}

TEST(SessionStoreTest, IdsAreNoPaths) {
  auto store = Open(NewDirectory());
  for (const char* id : {"../up", "a/b", "a b", "a.b", "\xC3\xA9", "%2e%2e", "a\nb"}) {
    EXPECT_EQ(store->Insert(id, 0, "", {}, nullptr).status().code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_EQ(store->Find(id).status().code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_EQ(store->Remove(id).code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_EQ(store->FindSnapshot(id).status().code(), absl::StatusCode::kInvalidArgument) << id;
  }
  EXPECT_FALSE(store->Insert(std::string(65, 'a'), 0, "", {}, nullptr).ok());
  EXPECT_FALSE(store->Insert(std::string("a\0b", 3), 0, "", {}, nullptr).ok());
  EXPECT_TRUE(store->Insert(std::string(64, 'a'), 0, "", {}, nullptr).ok());
  EXPECT_EQ(store->Find("a").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store->Insert(std::string(64, 'a'), 0, "", {}, nullptr).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store->FindSnapshot("0123456789abcdef-x").status().code(), absl::StatusCode::kNotFound);
}

TEST(SessionStoreTest, OneHolderAtATime) {
  auto store = Open(NewDirectory());
  ASSERT_TRUE(store->Insert("s", 0, "", {}, nullptr).ok());
  {
    const auto lease = store->Acquire("s");
    ASSERT_TRUE(lease.ok());
    EXPECT_EQ(store->Acquire("s").status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(store->Remove("s").code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(store->Acquire("s").ok());
  EXPECT_TRUE(store->Remove("s").ok());
}

TEST(SessionStoreTest, AnotherModelsStoreIsRefused) {
  const std::string directory = NewDirectory();
  auto store = Open(directory);
  const auto status = [&](const std::string& hash) {
    return SessionStore::Open(directory, hash, "large", {}).status();
  };
  EXPECT_THAT(std::string(status(kModel).message()), HasSubstr("another process"));
  store = nullptr;
  const absl::Status other = status(std::string(32, 'b'));
  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.message()), AllOf(HasSubstr("'small'"), HasSubstr(kModel), HasSubstr("'large'")));
  EXPECT_TRUE(status(kModel).ok());
}

TEST(SessionStoreTest, KeepsTenThousandSessions) {
  const std::string directory = NewDirectory();
  const std::string state(2000, 's');
  SessionStore::Place place{.state = state};
  place.record.set_tokens(20);
  place.record.set_message(true);
  {
    auto store = Open(directory, {.sync = false});
    for (int i = 0; i < 10'000; ++i) {
      ASSERT_TRUE(store->Insert("session" + std::to_string(i), 0, "", Count(i, 20), &place).ok());
    }
  }
  auto store = Open(directory);
  EXPECT_EQ(store->sessions(), 10'000);
  EXPECT_EQ(AllTokens(*store, "session7777"), Count(7777, 20));
  const auto list = store->List("session9998", 10);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].record.id(), "session9999");
}

// Wherever the disk becomes full, what was there before stays, and once there is room, everything goes on.
TEST(SessionStoreTest, AFullDiskIsToldAndSurvived) {
  const std::string big(200'000, 'b');
  for (const int64_t room : {0, 50, 1000, 60'000, 150'000}) {
    FailingDisk disk;
    const std::string directory = NewDirectory();
    auto store = Open(directory, {.env = disk.env()});
    ASSERT_TRUE(store->Insert("s", 0, "", {}, nullptr).ok());
    {
      const auto lease = store->Acquire("s");
      Say(*store, *lease, Count(0, 10), 50'000);
      disk.SetRoom(room);
      absl::Status failure;
      Ids want = Count(0, 10);
      for (int i = 0; i < 100 && failure.ok(); ++i) {
        failure = Append(*store, *lease, {i}, i == 0 ? 10 : -1);
        if (!failure.ok()) break;
        want.push_back(i);
        failure = Commit(*store, *lease, 11 + i, true, std::string(50'000, 'x')).status();
      }
      EXPECT_EQ(failure.code(), absl::StatusCode::kResourceExhausted) << failure << ", room for " << room;
      EXPECT_THAT(std::string(failure.message()), HasSubstr("full"));
      EXPECT_EQ(AllTokens(*store, "s"), want) << "room for " << room;
      EXPECT_TRUE(IsNoRoom(failure));
      SessionStore::Place large{.state = big};
      EXPECT_TRUE(IsNoRoom(store->Insert("t", 0, "", {}, &large).status()));
      disk.SetRoom(int64_t{1} << 40);
      const absl::Status back = store->Truncate(*lease, 10);
      ASSERT_TRUE(back.ok()) << back << ", after there was room for " << room;
      Say(*store, *lease, {7});
    }
    EXPECT_TRUE(store->Insert("t", 0, "", {}, nullptr).ok());
    store = nullptr;
    store = Open(directory);
    Ids want = Count(0, 10);
    want.push_back(7);
    EXPECT_EQ(AllTokens(*store, "s"), want) << "room for " << room;
  }
}

}  // namespace
}  // namespace radlads
