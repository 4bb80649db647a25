// Reads what ptxas reported of a cuda_library: each argument is such a report, or --may_spill=PART
// for kernels with PART in their names. A kernel that spills registers, or keeps arrays in local
// memory, is many times slower than it looks.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace {

std::vector<std::string> reports, may_spill;

constexpr int kAFewBytes = 64;

TEST(PtxasReport, NoSpillsAndNoStackFrames) {
  if (reports.empty()) GTEST_SKIP() << "no CUDA toolkit here: CUDA code was not compiled";
  const std::regex entry("Compiling entry function '([^']*)' for '([^']*)'");
  const std::regex stack(
      "([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
  int kernels = 0;
  for (const std::string& path : reports) {
    std::ifstream report(path);
    ASSERT_TRUE(report) << "cannot read " << path;
    std::string line, kernel = "a function";
    std::smatch match;
    while (std::getline(report, line)) {
      if (std::regex_search(line, match, entry)) {
        kernel = match[1].str() + " for " + match[2].str();
        ++kernels;
      } else if (std::regex_search(line, match, stack)) {
        const bool may = std::any_of(
            may_spill.begin(), may_spill.end(),
            [&](const std::string& part) { return kernel.find(part) != std::string::npos; });
        for (int i = 1; i <= 3; ++i)
          EXPECT_LE(std::stoi(match[i]), may ? kAFewBytes : 0) << kernel << ": " << line;
      }
    }
  }
  EXPECT_GT(kernels, 0) << "the reports name no kernel";
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string flag = "--may_spill=";
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    argument.starts_with(flag) ? may_spill.push_back(argument.substr(flag.size()))
                               : reports.push_back(argument);
  }
  return RUN_ALL_TESTS();
}
