#include "testing/server_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"

namespace radlads {

ServerProgram::ServerProgram(const std::string& program, const std::vector<std::string>& arguments) {
  static int count = 0;
  log_ = ::testing::TempDir() + "/server" + std::to_string(++count) + ".log";
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  process_ = ::fork();
  if (process_ == 0) {
    const int log = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
}

ServerProgram::~ServerProgram() {
  if (process_ > 0) ::kill(process_, SIGKILL), ::waitpid(process_, nullptr, 0);
}

std::string ServerProgram::Log() const {
  return ReadFile(log_).value_or("");
}

void ServerProgram::Signal(int signal) const {
  ::kill(process_, signal);
}

int ServerProgram::Port() {
  static const std::string kBefore = "on http://127.0.0.1:";
  for (;;) {
    const std::string log = Log();
    const size_t found = log.find(kBefore);
    if (found != log.npos && log.find('\n', found) != log.npos) return std::stoi(log.substr(found + kBefore.size()));
    if (::waitpid(process_, &status_, WNOHANG) == process_) {
      process_ = 0;
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

int ServerProgram::ExitCode() {
  if (process_ > 0) ::waitpid(process_, &status_, 0);
  process_ = 0;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
}

}  // namespace radlads
