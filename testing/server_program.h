// A server as a process of its own.
#ifndef RADLADS_TESTING_SERVER_PROGRAM_H_
#define RADLADS_TESTING_SERVER_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace radlads {

// `program` with these arguments; killed with the object if it still runs.
class ServerProgram {
 public:
  ServerProgram(const std::string& program, const std::vector<std::string>& arguments);
  ~ServerProgram();

  // What it said so far.
  std::string Log() const;
  void Signal(int signal) const;
  pid_t process() const { return process_; }  // while it runs
  // The port in "on http://127.0.0.1:PORT" of its log, which is waited for; 0 if it ended before.
  int Port();
  // Waits for its end. The exit code, or minus the signal.
  int ExitCode();

 private:
  pid_t process_;
  int status_ = 0;
  std::string log_;
};

}  // namespace radlads

#endif  // RADLADS_TESTING_SERVER_PROGRAM_H_
