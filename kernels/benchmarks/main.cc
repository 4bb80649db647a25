#include "base/logging.h"
#include "base/program.h"
#include "kernels/benchmarks/benchmark.h"

int main(int argc, char** argv) {
  if (const absl::Status status = radlads::BeginProgram(); !status.ok()) return radlads::ExitCode(status);
  return radlads::BenchmarkMain(argc, argv);
}
