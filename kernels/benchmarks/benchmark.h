// Benchmarks of kernels/: each operation beside its peers, measured in turns in one process, as a share of what the
// machine can do. A `<operation>_benchmark.cc` registers its cases; linked with :main they make a program of their own,
// and //kernels:benchmark links all of them.
//
//   const BenchmarkRegistration kRegistration("rms_norm", [](BenchmarkRun& run) {
//     run.Compare({.name = "forward fp32 [8192,1024]", .bytes = ..., .ours = [&] { RmsNorm(...); },
//                  .peers = {{"ATen", [&] { RmsNormReference(...); }}}});
//   });
#ifndef RADLADS_KERNELS_BENCHMARKS_BENCHMARK_H_
#define RADLADS_KERNELS_BENCHMARKS_BENCHMARK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace radlads {

struct BenchmarkCase {
  std::string name;
  // What one call of `ours` must do at least; the larger share of the machine's peak is reported. 0: not counted.
  double flops = 0;
  double bytes = 0;
  // Bytes that calls go through before they come back to the same: they are what the caches hold, or do not. 0:
  // `bytes`.
  double working_set = 0;
  // Things done in one call, and what they are called, if a time for each is worth a column ("token-head").
  double items = 0;
  std::string item;
  std::function<void()> ours;
  std::vector<std::pair<std::string, std::function<void()>>> peers;
};

class BenchmarkRun {
 public:
  // `flops_per_second`: what the machine can do (machine.h). `seconds`: how long each case is measured.
  BenchmarkRun(double flops_per_second, double seconds) : flops_per_second_(flops_per_second), seconds_(seconds) {}

  // Measures `ours` and its peers in turns, so that what disturbs the machine disturbs all of them, and prints a line
  // with the shortest time of each. With one thread, time is that of the processor and not of the wall clock: other
  // programs on the machine then count little.
  void Compare(const BenchmarkCase& test);

 private:
  friend int BenchmarkMain(int argc, char** argv);
  double ReadPeak(double bytes);

  double flops_per_second_, seconds_;
  std::map<int64_t, double> read_peaks_;  // by the size of the array
  std::string operation_;
};

class BenchmarkRegistration {
 public:
  BenchmarkRegistration(std::string operation, std::function<void(BenchmarkRun&)> body);
};

// Options: --help lists them. Prints a table in Markdown, operations in alphabetical order.
int BenchmarkMain(int argc, char** argv);

}  // namespace radlads

#endif  // RADLADS_KERNELS_BENCHMARKS_BENCHMARK_H_
