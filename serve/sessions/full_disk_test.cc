// A store on a small disk that is filled, by itself and by others, killed while it is full, started again while it is
// full, and again when there is room: whatever it said yes to is there, token for token and state for state, and it
// never ends by itself. RADLADS_FILLS=200 in the environment fills so many disks in place of a few.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "serve/error_code.h"
#include "serve/sessions/session_store.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

using Ids = std::vector<int64_t>;
using Random = std::mt19937_64;

// What a text gets by the op-th thing that is done.
Ids TokensOf(int64_t op, int64_t size) {
  Ids tokens(size);
  for (int64_t i = 0; i < size; ++i) tokens[i] = (op * 7919 + i * 31) % 50'000;
  return tokens;
}
std::string StateOf(int64_t op, int64_t bytes) {
  std::string state(bytes, static_cast<char>('a' + op % 26));
  std::memcpy(state.data(), &op, sizeof(op));
  return state;
}

// What was asked of the store, and what it answered: a file on another disk, a line for each, so that it outlives
// whoever is killed. "ask OP VERB ID A B", then "seen N", "yes" or "no".
struct Request {
  int64_t op = 0;
  std::string verb, id;  // make, say, rewind, remove
  int64_t a = 0, b = 0;  // tokens of the prompt and bytes of the state; of rewind: the message that it ends after
};

// The end of a message, and whose state lies there.
struct End {
  int64_t tokens, op, bytes;
};

struct Expected {
  Ids tokens;
  std::vector<End> ends;
  std::optional<Request> open;  // was not answered, or refused: may have been done in part
  int64_t seen = 0;             // tokens of it that were said yes to
};

constexpr int64_t kReply = 8;

class Ledger {
 public:
  explicit Ledger(const std::string& path)
      : file_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {
    std::ifstream lines(path);
    for (std::string line; std::getline(lines, line);) Apply(line);
  }
  ~Ledger() { ::close(file_); }

  void Write(const std::string& line) {
    const std::string whole = line + "\n";
    RADLADS_CHECK(::write(file_, whole.data(), whole.size()) == static_cast<ssize_t>(whole.size())) << line;
    Apply(line);
  }
  void Write(const Request& ask) {
    Write(Concatenate("ask ", ask.op, " ", ask.verb, " ", ask.id, " ", ask.a, " ", ask.b));
  }
  int64_t next_op() const { return ops_; }
  std::map<std::string, Expected>& sessions() { return sessions_; }

 private:
  void Apply(const std::string& line) {
    std::istringstream in(line);
    std::string word;
    in >> word;
    if (word == "ask") {
      Request ask;
      in >> ask.op >> ask.verb >> ask.id >> ask.a >> ask.b;
      ops_ = ask.op + 1;
      last_ = ask.id;
      sessions_[ask.id].open = ask;
      sessions_[ask.id].seen = 0;
    } else if (word == "seen") {
      in >> sessions_[last_].seen;
    } else if (word == "no") {
      sessions_[last_].seen = 0;  // whoever is refused has no claim
    } else if (word == "yes") {
      Settle(last_);
    } else if (word == "done" || word == "undone") {  // what was found of an open one: "done ID"
      in >> word;
      if (line[0] == 'd') {
        Settle(word);
      } else if (sessions_[word].open->verb == "make") {
        sessions_.erase(word);
      } else {
        sessions_[word].open.reset();
        sessions_[word].seen = 0;
      }
    }
  }
  void Settle(const std::string& id) {
    Expected& session = sessions_[id];
    const Request ask = *std::exchange(session.open, std::nullopt);
    session.seen = 0;
    if (ask.verb == "remove") {
      sessions_.erase(id);
    } else if (ask.verb == "rewind") {
      session.ends.resize(ask.a + 1);
      session.tokens.resize(session.ends.back().tokens);
    } else {
      const Ids more = TokensOf(ask.op, ask.a + (ask.verb == "say" ? kReply : 0));
      session.tokens.insert(session.tokens.end(), more.begin(), more.end());
      session.ends.push_back({static_cast<int64_t>(session.tokens.size()), ask.op, ask.b});
    }
  }

  const int file_;
  int64_t ops_ = 1;
  std::string last_;
  std::map<std::string, Expected> sessions_;
};

// The program that is killed: looks whether all is there, then asks for more, until it is killed or has asked for
// `asks`.
class Life {
 public:
  Life(const std::string& directory, const std::string& ledger, uint64_t seed, bool room)
      : ledger_(ledger), random_(seed), room_(room) {
    auto store = SessionStore::Open(directory, std::string(32, 'a'), "small", {});
    if (!store.ok() && IsNoRoom(store.status()) && ledger_.sessions().empty()) ::_exit(0);
    RADLADS_CHECK(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void Check() {
    std::vector<std::string> ids;
    for (const auto& [id, expected] : ledger_.sessions()) ids.push_back(id);
    for (const std::string& id : ids) CheckOne(id);
    for (const StoredSession& found : store_->List("", INT64_MAX)) {
      RADLADS_CHECK(ledger_.sessions().contains(found.record.id())) << found.record.id() << " was removed";
    }
  }

  void Ask(int64_t asks) {
    for (int64_t i = 0; i < asks; ++i) AskOne();
  }

 private:
  void CheckOne(const std::string& id) {
    const Expected expected = ledger_.sessions()[id];
    auto found = store_->Find(id);
    if (absl::IsNotFound(found.status())) {
      RADLADS_CHECK(expected.open && (expected.open->verb == "make" || expected.open->verb == "remove"))
          << id << " is lost";
      ledger_.Write((expected.open->verb == "make" ? "undone " : "done ") + id);
      return;
    }
    RADLADS_CHECK(found.ok()) << found.status();
    const auto tokens = store_->Tokens(*found, 0, found->tokens);
    RADLADS_CHECK(tokens.ok()) << id << ": " << tokens.status();
    const std::string verb = expected.open ? expected.open->verb : "";
    Ids whole = expected.tokens;
    if (verb == "make" || verb == "say") {
      const Ids more = TokensOf(expected.open->op, expected.open->a + (verb == "say" ? kReply : 0));
      whole.insert(whole.end(), more.begin(), more.end());
    }
    const size_t least =
        verb == "rewind" ? expected.ends[expected.open->a].tokens : expected.tokens.size() + expected.seen;
    RADLADS_CHECK(tokens->size() >= least && tokens->size() <= whole.size() &&
                  std::equal(tokens->begin(), tokens->end(), whole.begin()))
        << id << " has " << tokens->size() << " tokens, of " << least << " to " << whole.size() << ", with '" << verb
        << "' open";
    if (verb.empty()) RADLADS_CHECK(!found->reply) << id << " has a reply under way";
    for (const End& end : expected.ends) {
      if (end.tokens <= static_cast<int64_t>(tokens->size())) CheckState(*found, end);
    }
    if (verb == "make") RADLADS_CHECK(tokens->size() == whole.size());
    if (verb == "make" || (verb == "say" && tokens->size() == whole.size() && !found->reply)) {
      ledger_.Write("done " + id);
      CheckState(*found, ledger_.sessions()[id].ends.back());
    } else if (verb == "rewind" && tokens->size() == least) {
      ledger_.Write("done " + id);
    } else if (!verb.empty() && tokens->size() == expected.tokens.size() && !found->reply) {
      ledger_.Write("undone " + id);
    } else if (!verb.empty()) {
      found->view = nullptr;
      TakeBack(id);
    }
  }

  void CheckState(const StoredSession& session, const End& end) {
    for (const auto& snapshot : session.record.snapshots()) {
      if (snapshot.tokens() != end.tokens || !snapshot.message()) continue;
      const absl::Status same = store_->ReadState(session, snapshot.number(), [&](std::string_view state) {
        return state == StateOf(end.op, end.bytes) ? absl::OkStatus() : DataLoss("it is another");
      });
      RADLADS_CHECK(same.ok()) << session.record.id() << " after " << end.tokens << " tokens: " << same;
      return;
    }
    RADLADS_CHECK(false) << session.record.id() << " has no state after " << end.tokens << " tokens";
  }

  // What a refused or killed text left.
  void TakeBack(const std::string& id) {
    const auto lease = store_->Acquire(id);
    if (Refused(lease.status())) return;
    if (Refused(store_->Truncate(*lease, static_cast<int64_t>(ledger_.sessions()[id].tokens.size())))) return;
    ledger_.Write("undone " + id);
  }

  bool Refused(const absl::Status& status) {
    if (status.ok()) return false;
    RADLADS_CHECK(IsNoRoom(status)) << status;
    RADLADS_CHECK(!room_) << status;
    return true;
  }

  int64_t RandomBytes() { return random_() % 8 == 0 ? 5000 + random_() % 400'000 : 20 + random_() % 60'000; }

  void AskOne() {
    auto& sessions = ledger_.sessions();
    Request ask{.op = ledger_.next_op()};
    ask.b = RandomBytes();
    ask.a = 1 + static_cast<int64_t>(random_() % 40);
    if (random_() % 10 == 0) ask.a = 1024;
    auto found = sessions.begin();
    if (!sessions.empty()) std::advance(found, random_() % sessions.size());
    if (sessions.empty() || random_() % 3 == 0) {
      ask.verb = "make";
      ask.id = "s" + std::to_string(ask.op);
    } else if (found->second.open) {
      CheckOne(found->first);
      return;
    } else {
      ask.id = found->first;
      const uint64_t dice = random_() % 12;
      ask.verb = dice == 0 ? "remove" : dice == 1 ? "rewind" : "say";
      if (ask.verb == "rewind") ask.a = static_cast<int64_t>(random_() % found->second.ends.size());
    }
    ledger_.Write(ask);
    const absl::Status status = Do(ask);
    ledger_.Write(status.ok() ? "yes" : "no");
    if (Refused(status)) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      if (random_() % 4 == 0) CheckOne(ask.id);
    }
  }

  absl::Status Do(const Request& ask) {
    const std::string state = StateOf(ask.op, ask.b);
    SessionStore::Place place{.state = state};
    place.record.set_message(true);
    place.record.set_prefix_hash(std::string(sizeof(PrefixHash), static_cast<char>(ask.op)));
    if (ask.verb == "make") {
      const Ids tokens = TokensOf(ask.op, ask.a);
      place.record.set_tokens(ask.a);
      place.record.set_read(ask.a);
      return store_->Insert(ask.id, 0, "", tokens, &place).status();
    }
    if (ask.verb == "remove") return store_->Remove(ask.id);
    const Expected& expected = ledger_.sessions()[ask.id];
    RADLADS_ASSIGN_OR_RETURN(const SessionStore::Lease lease, store_->Acquire(ask.id));
    if (ask.verb == "rewind") return store_->Truncate(lease, expected.ends[ask.a].tokens);
    const absl::Status said = Say(ask, lease, static_cast<int64_t>(expected.tokens.size()), &place);
    if (!said.ok()) (void)store_->TakeBack(lease, static_cast<int64_t>(expected.tokens.size()));
    return said;
  }

  absl::Status Say(const Request& ask, const SessionStore::Lease& lease, int64_t begin, SessionStore::Place* place) {
    const Ids tokens = TokensOf(ask.op, ask.a + kReply);
    SessionStore::Append append{.lease = &lease};
    append.begin.emplace();
    append.begin->set_prompt(begin);
    append.begin->set_reply(begin + ask.a);
    append.tokens.assign(tokens.begin(), tokens.begin() + ask.a + 1);
    for (int64_t seen = ask.a + 1;; ++seen) {
      RADLADS_RETURN_IF_ERROR(store_->AppendTokens({&append, 1}));
      ledger_.Write("seen " + std::to_string(seen));
      if (seen == ask.a + kReply) break;
      append.begin.reset();
      append.tokens = {tokens[seen]};
    }
    place->record.set_tokens(begin + ask.a + kReply);
    place->record.set_read(begin + ask.a + kReply);
    return store_->Commit(lease, *place).status();
  }

  Ledger ledger_;
  Random random_;
  const bool room_;  // nothing may be refused
  std::unique_ptr<SessionStore> store_;
};

pid_t Start(const std::string& directory, const std::string& ledger, uint64_t seed, int64_t asks, bool room) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/proc/self/exe", "full_disk_test", "--life", directory.c_str(), ledger.c_str(),
            std::to_string(seed).c_str(), std::to_string(asks).c_str(), room ? "room" : "full", nullptr);
    ::_exit(127);
  }
  return child;
}

int64_t Refusals(const std::string& ledger) {
  int64_t count = 0;
  std::ifstream lines(ledger);
  for (std::string line; std::getline(lines, line);) count += line == "no";
  return count;
}

bool Running(pid_t child, int* status) {
  return ::waitpid(child, status, WNOHANG) == 0;
}

TEST(FullDiskTest, WhatWasAnsweredIsThereAndNothingAborts) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  const char* const asked = std::getenv("RADLADS_FILLS");
  const int64_t fills = asked != nullptr ? std::atoll(asked) : 8;
  int64_t refusals = 0, kills = 0, asks = 0;
  for (int64_t fill = 0; fill < fills; ++fill) {
    SCOPED_TRACE(Concatenate("fill ", fill));
    Random random(fill);
    const int64_t size = (6 << 20) + static_cast<int64_t>(random() % (26 << 20));
    SmallDisk disk(size);
    const std::string store = disk.path() + "/store", ledger = ::testing::TempDir() + "/ledger";
    std::filesystem::remove(ledger);
    int status = 0;
    // Twice: until it is full and killed; then from the start on a full disk.
    for (int life = 0; life < 2; ++life) {
      if (life == 1 && random() % 2 == 0) disk.FillBut(0);
      const int64_t before = Refusals(ledger), enough = 1 + static_cast<int64_t>(random() % 30);
      const pid_t child = Start(store, ledger, random(), life == 0 ? 5000 : 60, /*room=*/false);
      while (Running(child, &status)) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (Refusals(ledger) - before >= enough) {
          ::kill(child, SIGKILL);
          ::waitpid(child, &status, 0);
          break;
        }
        if (random() % 20 == 0) disk.FillBut(random() % 4 == 0 ? INT64_MAX : random() % (size / 4));
      }
      kills += WIFSIGNALED(status);
      ASSERT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0)
          << "life " << life << " ended by itself, status " << status;
    }
    disk.FillBut(INT64_MAX);
    disk.Resize(2 * size + (64 << 20));
    for (const int64_t more : {20, 0}) {
      const pid_t child = Start(store, ledger, random(), more, /*room=*/true);
      ::waitpid(child, &status, 0);
      ASSERT_EQ(status, 0) << "with room again";
    }
    refusals += Refusals(ledger);
    asks += Ledger(ledger).next_op() - 1;
  }
  std::printf(
      "%ld fills of a real small disk, %ld kills, %ld of %ld requests refused: nothing that was answered is lost, no "
      "abort\n",
      fills, kills, refusals, asks);
  EXPECT_GE(refusals, fills);
}

// By itself a store stops at its reserve, and what is deleted there gives its room back.
TEST(FullDiskTest, DeletingMakesRoom) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  SmallDisk disk(32 << 20);
  auto store = *SessionStore::Open(disk.path() + "/store", std::string(32, 'a'), "small", {});
  const std::string state = StateOf(1, 400'000);
  SessionStore::Place place{.state = state};
  place.record.set_message(true);
  const auto fill = [&](int64_t first) {
    for (int64_t i = first;; ++i) {
      const absl::Status status = store->Insert("s" + std::to_string(i), 0, "", TokensOf(1, 10), &place).status();
      if (!status.ok()) {
        EXPECT_TRUE(IsNoRoom(status)) << status;
        return i;
      }
    }
  };
  const int64_t end = fill(0);
  EXPECT_GT(end, 50) << "of 400 kB each, on 32 MiB";
  EXPECT_GT(disk.free_bytes(), 1 << 20) << "half of the reserve";
  for (int64_t i = 0; i < end; ++i) ASSERT_TRUE(store->Remove("s" + std::to_string(i)).ok()) << i;
  EXPECT_GT(disk.free_bytes(), 6 << 20) << "far more than the reserve";
  EXPECT_GT(fill(1000) - 1000, 8);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  if (argc == 7 && std::strcmp(argv[1], "--life") == 0) {
    radlads::Life life(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10), std::strcmp(argv[6], "room") == 0);
    life.Check();
    life.Ask(std::atoll(argv[5]));
    return 0;
  }
  radlads::AllowSmallDisks();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
