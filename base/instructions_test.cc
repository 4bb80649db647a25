#include "base/instructions.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

namespace radlads {
namespace {

constexpr char kPrint[] = "--print_instructions";

struct Outcome {
  int status;
  std::string output;
};

// This program again, with RADLADS_INSTRUCTIONS set: what main prints for kPrint.
Outcome PrintedWith(const std::string& instructions) {
  const std::string command = "env -u ATEN_CPU_CAPABILITY RADLADS_INSTRUCTIONS='" + instructions + "' '" +
                              testing::internal::GetArgvs()[0] + "' " + kPrint + " 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  std::array<char, 256> buffer;
  while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
  return {WEXITSTATUS(pclose(pipe)), output};
}

int Print() {
  std::cout << "vnni " << HasAvx512Vnni() << ", bf16 " << HasAvx512Bf16() << ", AVX-512 in Highway "
            << ((hwy::SupportedTargets() & HWY_AVX3) != 0) << ", ATen " << std::getenv("ATEN_CPU_CAPABILITY") << "\n";
  return 0;
}

TEST(Instructions, AreRestrictedBeforeMain) {
  const Outcome avx2 = PrintedWith("avx2"), avx512 = PrintedWith("avx512");
  EXPECT_EQ(avx2.output, "vnni 0, bf16 0, AVX-512 in Highway 0, ATen avx2\n");
  const bool has_avx512 = __builtin_cpu_supports("avx512bw");
  EXPECT_EQ(avx512.output,
            std::string("vnni 0, bf16 0, AVX-512 in Highway ") + (has_avx512 ? "1" : "0") + ", ATen avx512\n");
}

TEST(Instructions, UnknownOnesAreAnError) {
  const Outcome outcome = PrintedWith("sse4");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output, "RADLADS_INSTRUCTIONS is \"sse4\", expected avx2 or avx512 (unset: all)\n");
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == radlads::kPrint) return radlads::Print();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
