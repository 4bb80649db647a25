#include "base/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>

namespace radlads {
namespace {

struct Ended {
  int code;  // minus the signal
  std::string errors;
};

// A program that begins, does `body` and returns 0, with standard output opened on `output` (closed when empty).
Ended RunProgram(const std::string& output, const std::function<void()>& body) {
  const std::string errors = ::testing::TempDir() + "/errors";
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
    if (output.empty()) {
      ::close(STDOUT_FILENO);
    } else {
      ::dup2(::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
    }
    if (!BeginProgram().ok()) ::_exit(2);
    body();
    std::exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  std::stringstream text;
  text << std::ifstream(errors).rdbuf();
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), text.str()};
}

TEST(ProgramTest, WhatAFullDiskDidNotTakeIsTold) {
  const std::function<void()> printers[] = {
      [] { std::printf("a result\n"); },                               // kept in a buffer to the end
      [] { std::printf("%s\n", std::string(1 << 20, 'x').c_str()); },  // longer than it
      [] { std::cout << "a result" << std::endl; },
  };
  for (const auto& print : printers) {
    const Ended full = RunProgram("/dev/full", print);
    EXPECT_EQ(full.code, 1);
    EXPECT_NE(full.errors.find("cannot write standard output: "), std::string::npos) << full.errors;
    const Ended closed = RunProgram("", print);
    EXPECT_EQ(closed.code, 1);
    EXPECT_NE(closed.errors.find("cannot write standard output"), std::string::npos) << closed.errors;
    const Ended well = RunProgram(::testing::TempDir() + "/output", print);
    EXPECT_EQ(well.code, 0) << well.errors;
    EXPECT_EQ(well.errors, "");
  }
}

TEST(ProgramTest, WhyIsSaidToo) {
  const Ended full = RunProgram("/dev/full", [] { std::printf("a result\n"); });
  EXPECT_EQ(full.errors,
            "error: cannot write standard output: No space left on device; make room where it goes and run the same "
            "command again\n");
}

TEST(ProgramTest, WhoPrintsNothingNeedsNoOutput) {
  for (const char* output : {"", "/dev/full"}) EXPECT_EQ(RunProgram(output, [] {}).code, 0) << output;
}

TEST(ProgramTest, WhoPrintsAsItGoesIsToldAtOnce) {
  const Ended ended = RunProgram("/dev/full", [] {
    std::printf("the first words");
    ::_exit(absl::IsResourceExhausted(FlushStandardOutput()) ? 7 : 8);
  });
  EXPECT_EQ(ended.code, 7);
}

TEST(ProgramTest, AFileDoesNotBecomeStandardOutput) {
  const std::string path = ::testing::TempDir() + "/a file";
  const Ended ended = RunProgram("", [&] {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    std::printf("a result\n");
    std::fflush(stdout);
    if (::write(file, "contents", 8) != 8) ::_exit(9);
  });
  EXPECT_EQ(ended.code, 1);
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "contents");
}

TEST(ProgramTest, AFileThatMayNotGrowIsNoSignal) {
  const std::string path = ::testing::TempDir() + "/limited";
  const Ended ended = RunProgram("/dev/null", [&] {
    const rlimit limit = {10, 10};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const bool first = ::write(file, "0123456789", 10) == 10;
    ::_exit(first && ::write(file, "x", 1) < 0 && errno == EFBIG ? 7 : 8);
  });
  EXPECT_EQ(ended.code, 7);
}

}  // namespace
}  // namespace radlads
