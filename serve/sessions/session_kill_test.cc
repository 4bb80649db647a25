// A service that is killed at any moment, again and again, gives the text that an undisturbed one gives.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <thread>

#include "base/status.h"
#include "model/testing.h"
#include "serve/sessions/service_testing.h"

namespace radlads {
namespace {

constexpr int64_t kMessages = 7, kPrompt = 12, kReply = 60, kMessage = kPrompt + kReply;

// What the killed process says, as numbers on its standard output.
enum Said : int64_t { kStands = 1, kCut, kSeen, kFinished };
struct Line {
  int64_t said, value;
};

SessionServiceOptions Options(const std::string& directory) {
  SessionServiceOptions options{.directory = directory, .snapshot_tokens = 5};
  options.store.session_bytes = 1 << 20;
  return options;
}

SamplingOptions SamplingOf(int64_t message) {
  return message % 3 == 2 ? Greedy() : Seeded(message);
}

// Goes on with the session where it stands, message by message.
void Converse(SmallService& service, const std::function<void(Line)>& say) {
  if (!service->GetSession("s").ok()) {
    const auto made = service->CreateSession("s", 0);
    RADLADS_CHECK(made.ok()) << made.status();
  }
  for (;;) {
    const auto info = service->GetSession("s");
    RADLADS_CHECK(info.ok()) << info.status();
    say({info->cut ? kCut : kStands, info->tokens});
    int64_t seen = info->tokens;
    TextRequest request{.session = "s"};
    const int64_t message = (info->tokens - (info->cut ? 1 : 0)) / kMessage;
    if (message == kMessages) break;
    if (!info->cut) {
      RADLADS_CHECK(info->tokens % kMessage == 0) << info->tokens << " tokens";
      request.prompt = RandomTokens(static_cast<int>(message), kPrompt);
      seen += kPrompt;
    }
    request.max_tokens = (message + 1) * kMessage - seen;
    request.sampling = SamplingOf(message);
    std::promise<TextResult> done;
    const auto number =
        service->Start(request, {.on_piece =
                                     [&](const TextPiece& piece) {
                                       seen += static_cast<int64_t>(piece.tokens.size());
                                       say({kSeen, seen});
                                       return true;
                                     },
                                 .on_done = [&](TextResult result) { done.set_value(std::move(result)); }});
    RADLADS_CHECK(number.ok()) << number.status();
    const TextResult result = done.get_future().get();
    RADLADS_CHECK(result.finish == TextFinish::kLength) << result.status;
  }
  say({kFinished, 0});
}

int Child(const std::string& kind, const std::string& directory) {
  SmallService service(kind, Options(directory));
  Converse(service, [](Line line) {
    if (::write(STDOUT_FILENO, &line, sizeof(line)) != sizeof(line)) ::_exit(1);
  });
  return 0;
}

class KillTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, KillTest, ::testing::Values("rad_rwkv7", "hybrid"),
                         [](const auto& info) { return info.param; });

TEST_P(KillTest, ServedEqualsUninterrupted) {
  const std::string directory = NewDirectory();
  std::mt19937_64 random(7);
  int kills = 0, cuts = 0;
  int64_t seen = 0;
  for (bool finished = false; !finished;) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::execl("/proc/self/exe", "session_kill_test", "--child", GetParam().c_str(), directory.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    Line line;
    bool first = true;
    // After so many tokens, and some moments more: whatever it then does, a state is stored every few tokens.
    int64_t left = 1 + static_cast<int64_t>(random() % 60);
    const auto delay = std::chrono::microseconds(random() % 4000);
    while (::read(ends[0], &line, sizeof(line)) == static_cast<ssize_t>(sizeof(line))) {
      if (first) {
        ASSERT_TRUE(line.said == kStands || line.said == kCut);
        ASSERT_GE(line.value, seen) << "a token that was seen is lost";
        cuts += line.said == kCut;
        first = false;
      }
      if (line.said == kSeen) {
        seen = line.value;
        if (--left == 0) {
          std::this_thread::sleep_for(delay);
          ::kill(child, SIGKILL);
        }
      }
      finished |= line.said == kFinished;
    }
    ::close(ends[0]);
    ASSERT_FALSE(first) << "the service did not start";
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "exit status " << WEXITSTATUS(status);
    kills += WIFSIGNALED(status);
    ASSERT_LT(kills, 100) << "it never ends";
  }
  SmallService killed(GetParam(), Options(directory)), undisturbed(GetParam(), Options(NewDirectory()));
  Converse(undisturbed, [](Line) {});
  EXPECT_EQ(*killed->Tokens("s", 0), *undisturbed->Tokens("s", 0)) << kills << " kills";
  EXPECT_EQ(killed->Tokens("s", 0)->size(), static_cast<size_t>(kMessages * kMessage));
  EXPECT_GE(cuts, 3) << "of " << kills << " kills: too few to say anything";
  std::printf("%d kills, %d of them within a reply\n", kills, cuts);
  // Its state, too, and what can be gone back to.
  for (SmallService* service : {&killed, &undisturbed}) {
    Reader reader(**service, {.session = "s", .prompt = {5}, .max_tokens = 20, .sampling = Seeded(99), .logprobs = 2});
    reader.Wait();
  }
  EXPECT_EQ(*killed->Tokens("s", 0), *undisturbed->Tokens("s", 0));
  const auto snapshots = killed->Snapshots("s");
  for (const SnapshotInfo& snapshot : *snapshots) {
    if (snapshot.tokens % kMessage != 0) continue;
    Reader reader(*killed, {.snapshot = snapshot.id, .prompt = {5}, .max_tokens = 3, .sampling = Greedy()});
    EXPECT_EQ(reader.Wait().finish, TextFinish::kLength) << reader.Wait().status;
  }
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--child") == 0) return radlads::Child(argv[2], argv[3]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
