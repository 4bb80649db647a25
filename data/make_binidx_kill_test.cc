// kill -9 at random moments of make_binidx build, append and merge: every dataset that the next runs of the same
// command end with is, to the byte, that of a run that nothing disturbed.
//
//   make_binidx_kill_test [--kills=20] [--seed=1]
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"

namespace radlads {
namespace {

int g_kills = 20;
uint64_t g_seed = 1;

using Clock = std::chrono::steady_clock;

struct Scenario {
  std::string name;
  std::vector<std::string> arguments;  // of make_binidx
  std::string standard_input;          // a file; none when empty
  std::string prefix;                  // of the output
  std::string base;                    // what is there before the first run; none when empty
  std::string bin, index;              // what an undisturbed run makes
  double seconds = 0;                  // that it takes
};

class KillTest : public ::testing::Test {
 protected:
  KillTest() : directory_(::testing::TempDir() + "/kill"), random_(g_seed) {
    std::filesystem::remove_all(directory_);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  std::string Contents(const std::string& path) const {
    auto contents = ReadFile(path);
    EXPECT_TRUE(contents.ok()) << contents.status();
    return contents.ok() ? *std::move(contents) : "";
  }
  void PutLines(const std::string& name, int documents) {
    std::string text;
    for (int i = 0; i < documents; ++i) {
      text += "{\"text\": \"" + std::string(random_() % 2000, 'a' + random_() % 26) + "\"}\n";
    }
    ASSERT_TRUE(WriteFileAtomically(Path(name), text).ok());
  }

  // Runs make_binidx, and kills it after `seconds` unless that is negative. True when it came to a good end.
  bool Run(const Scenario& scenario, double seconds) {
    std::vector<char*> arguments = {const_cast<char*>("data/make_binidx")};
    for (const std::string& argument : scenario.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const std::string log = Path("log");
    const pid_t child = ::fork();
    if (child == 0) {
      const char* input = scenario.standard_input.empty() ? "/dev/null" : scenario.standard_input.c_str();
      ::dup2(::open(input, O_RDONLY), STDIN_FILENO);
      const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      ::dup2(output, STDOUT_FILENO);
      ::dup2(output, STDERR_FILENO);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    if (seconds >= 0) {
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
      ::kill(child, SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    EXPECT_TRUE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        << scenario.name << " ended with " << status << ": " << Contents(log);
    return !killed;
  }

  void Reset(const Scenario& scenario) {
    for (const char* ending : {".bin", ".idx", ".json"}) {
      std::filesystem::remove(scenario.prefix + ending);
      if (!scenario.base.empty()) std::filesystem::copy_file(scenario.base + ending, scenario.prefix + ending);
    }
  }

  void Measure(Scenario* scenario) {
    Reset(*scenario);
    const Clock::time_point start = Clock::now();
    ASSERT_TRUE(Run(*scenario, -1));
    scenario->seconds = std::chrono::duration<double>(Clock::now() - start).count();
    scenario->bin = Contents(scenario->prefix + ".bin");
    scenario->index = Contents(scenario->prefix + ".idx");
    ASSERT_FALSE(scenario->bin.empty());
  }

  std::string directory_;
  std::mt19937_64 random_;
};

TEST_F(KillTest, EveryRestartEndsInTheSameBytes) {
  PutLines("a.jsonl", 6000);
  PutLines("b.jsonl", 5000);
  PutLines("c.jsonl", 9000);
  const std::string tokenizer = "data/testdata/byte_tokenizer";
  const std::vector<std::string> often = {"--checkpoint_seconds", "0"};
  auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), often.begin(), often.end());
    return arguments;
  };
  Scenario bases[2];
  for (int i = 0; i < 2; ++i) {
    bases[i] = {.name = "base", .prefix = Path("base" + std::to_string(i))};
    bases[i].arguments = {"build",        Path(i == 0 ? "a.jsonl" : "c.jsonl"), "--tokenizer", tokenizer, "--output",
                          bases[i].prefix};
    Measure(&bases[i]);
  }
  std::vector<Scenario> scenarios(4);
  scenarios[0] = {.name = "build", .prefix = Path("build")};
  scenarios[0].arguments = with({"build", Path("a.jsonl"), Path("b.jsonl"), Path("c.jsonl"), "--tokenizer", tokenizer,
                                 "--output", scenarios[0].prefix});
  scenarios[1] = {.name = "build from standard input", .standard_input = Path("c.jsonl"), .prefix = Path("stdin")};
  scenarios[1].arguments =
      with({"build", "-", "--format", "jsonl", "--tokenizer", tokenizer, "--output", scenarios[1].prefix});
  scenarios[2] = {.name = "append", .prefix = Path("append"), .base = bases[0].prefix};
  scenarios[2].arguments = with({"append", scenarios[2].prefix, Path("b.jsonl")});
  scenarios[3] = {.name = "merge", .prefix = Path("merge")};
  scenarios[3].arguments =
      with({"merge", bases[0].prefix, bases[1].prefix, bases[0].prefix, "--output", scenarios[3].prefix});
  for (Scenario& scenario : scenarios) Measure(&scenario);

  int kills = 0, continued = 0;
  for (int round = 0; kills < g_kills; ++round) {
    const Scenario& scenario = scenarios[round % scenarios.size()];
    SCOPED_TRACE(scenario.name + ", round " + std::to_string(round) + ", seed " + std::to_string(g_seed));
    Reset(scenario);
    // Up to five kills in a row, then a run that is left alone.
    bool done = false;
    for (int in_a_row = 1 + random_() % 5; !done && in_a_row > 0; --in_a_row) {
      done = Run(scenario, std::uniform_real_distribution<double>(0, scenario.seconds)(random_));
      kills += !done;
    }
    ASSERT_TRUE(done || Run(scenario, -1));
    continued += Contents(Path("log")).find("continuing an interrupted run") != std::string::npos;
    ASSERT_TRUE(Contents(scenario.prefix + ".bin") == scenario.bin) << "other tokens";
    ASSERT_TRUE(Contents(scenario.prefix + ".idx") == scenario.index) << "another index";
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      ASSERT_EQ(entry.path().string().find(".partial."), std::string::npos) << entry.path() << " was left behind";
    }
  }
  std::printf("%d kills; %d of the last runs continued what was there, all ended in the same bytes\n", kills,
              continued);
  EXPECT_GT(continued, 0) << "every run began anew";
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--kills=")) {
      radlads::g_kills = std::stoi(argument.substr(8));
    } else if (argument.starts_with("--seed=")) {
      radlads::g_seed = std::stoull(argument.substr(7));
    } else {
      std::fprintf(stderr, "unknown argument %s; expected --kills=N or --seed=N\n", argv[i]);
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
