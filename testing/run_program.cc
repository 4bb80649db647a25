#include "testing/run_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

namespace radlads {

Outcome RunProgram(const std::vector<std::string>& arguments, const std::string& input, const std::string& output) {
  const std::string stem = ::testing::TempDir() + "/program" + std::to_string(::getpid());
  const std::string errors = stem + ".err", kept = stem + ".out";
  std::vector<char*> values;
  for (const std::string& argument : arguments) values.push_back(const_cast<char*>(argument.c_str()));
  values.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int made = O_WRONLY | O_CREAT | O_TRUNC;
    ::dup2(::open(input.c_str(), O_RDONLY), STDIN_FILENO);
    ::dup2(::open((output.empty() ? kept : output).c_str(), made, 0644), STDOUT_FILENO);
    ::dup2(::open(errors.c_str(), made, 0644), STDERR_FILENO);
    ::execv(values[0], values.data());
    ::_exit(127);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  Outcome outcome{.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), .output = "", .errors = ""};
  const auto take = [](const std::string& path) {
    auto text = ReadFile(path);
    EXPECT_TRUE(text.ok()) << text.status();
    ::unlink(path.c_str());
    return text.ok() ? *std::move(text) : "";
  };
  outcome.errors = take(errors);
  if (output.empty()) outcome.output = take(kept);
  return outcome;
}

}  // namespace radlads
