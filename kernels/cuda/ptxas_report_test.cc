// Reads what ptxas reported of a cuda_library: each argument is such a report. A kernel that spills registers, or keeps
// arrays in local memory, is many times slower than it looks.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace {

std::vector<std::string> reports;

TEST(PtxasReport, NoSpillsAndNoStackFrames) {
  if (reports.empty()) GTEST_SKIP() << "no CUDA toolkit here: CUDA code was not compiled";
  const std::regex entry("Compiling entry function '([^']*)' for '([^']*)'");
  const std::regex stack("([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
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
        EXPECT_EQ(match[1].str() + " " + match[2].str() + " " + match[3].str(), "0 0 0") << kernel << ": " << line;
      }
    }
  }
  EXPECT_GT(kernels, 0) << "the reports name no kernel";
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  reports.assign(argv + 1, argv + argc);
  return RUN_ALL_TESTS();
}
