// A program from its start to its end.
#ifndef RADLADS_TESTING_RUN_PROGRAM_H_
#define RADLADS_TESTING_RUN_PROGRAM_H_

#include <string>
#include <vector>

namespace radlads {

struct Outcome {
  int code = 0;  // minus the signal
  std::string output, errors;
};

// Runs `arguments[0]` with the others and waits for its end. Standard input comes from the file `input`; standard
// output goes to the file `output`, or where that is empty into the outcome.
Outcome RunProgram(const std::vector<std::string>& arguments, const std::string& input = "/dev/null",
                   const std::string& output = "");

}  // namespace radlads

#endif  // RADLADS_TESTING_RUN_PROGRAM_H_
