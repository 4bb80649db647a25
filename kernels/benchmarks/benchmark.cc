#include "kernels/benchmarks/benchmark.h"


#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "absl/strings/str_format.h"
#include "base/keep_freed_memory.h"
#include "base/parallel_for.h"
#include "base/program_flags.h"
#include "kernels/benchmarks/machine.h"

namespace radlads {
namespace {

std::map<std::string, std::function<void(BenchmarkRun&)>>& Registered() {
  static auto* registered = new std::map<std::string, std::function<void(BenchmarkRun&)>>;
  return *registered;
}

double Seconds(const std::function<void()>& body) {
  const double start = BenchmarkClock();
  body();
  return BenchmarkClock() - start;
}

std::string Duration(double seconds) {
  return seconds < 1e-3 ? absl::StrFormat("%.3g us", seconds * 1e6) : absl::StrFormat("%.3g ms", seconds * 1e3);
}

}  // namespace

BenchmarkRegistration::BenchmarkRegistration(std::string operation, std::function<void(BenchmarkRun&)> body) {
  Registered().emplace(std::move(operation), std::move(body));
}

// Of an array that is as large, to a power of two.
double BenchmarkRun::ReadPeak(double bytes) {
  const int64_t size = int64_t{1} << std::clamp(std::lround(std::log2(std::max(bytes, 1.0))), 12l, 28l);
  auto [found, is_new] = read_peaks_.try_emplace(size, 0);
  if (is_new) found->second = MeasureReadBandwidth(size);
  return found->second;
}

void BenchmarkRun::Compare(const BenchmarkCase& test) {
  std::vector<std::pair<std::string, std::function<void()>>> variants = {{"ours", test.ours}};
  variants.insert(variants.end(), test.peers.begin(), test.peers.end());
  std::vector<double> shortest(variants.size(), std::numeric_limits<double>::infinity());
  for (const auto& [name, body] : variants) body();  // caches and memory are warm afterwards
  double spent = 0;
  for (int round = 0; round < 5 || spent < seconds_; ++round) {
    for (size_t i = 0; i < variants.size(); ++i) {
      const double seconds = Seconds(variants[i].second);
      shortest[i] = std::min(shortest[i], seconds);
      spent += seconds;
    }
  }
  const double ours = shortest[0];
  const double flops = test.flops / ours, bytes = test.bytes / ours;
  std::string time = Duration(ours);
  if (test.items > 0) time += " (" + Duration(ours / test.items) + " a " + test.item + ")";
  std::string rate, share;
  const double flops_share = flops / flops_per_second_,
               bytes_share = bytes > 0 ? bytes / ReadPeak(test.working_set > 0 ? test.working_set : test.bytes) : 0;
  // Of the two limits, the one that is nearer.
  if (flops_share >= bytes_share) {
    rate = absl::StrFormat("%.1f GFLOP/s", flops * 1e-9);
    share = absl::StrFormat("%.0f %% of multiply-adds", 100 * flops_share);
  } else {
    rate = absl::StrFormat("%.1f GB/s", bytes * 1e-9);
    share = absl::StrFormat("%.0f %% of reading as much", 100 * bytes_share);
  }
  std::string peers;
  for (size_t i = 1; i < variants.size(); ++i) {
    peers += (peers.empty() ? "" : ", ") + variants[i].first + absl::StrFormat(" %.1fx", shortest[i] / ours);
  }
  std::printf("| %s | %s | %s | %s | %s | %s |\n", operation_.c_str(), test.name.c_str(), time.c_str(), rate.c_str(),
              share.c_str(), peers.c_str());
  std::fflush(stdout);
}

int BenchmarkMain(int argc, char** argv) {
  CLI::App app("Kernels beside their peers on this machine, as a table in Markdown");
  int threads = 0;
  double seconds = 1;
  std::vector<std::string> only;
  app.add_option("--threads", threads, "threads; 0: all cores of the process")->capture_default_str();
  app.add_option("--seconds", seconds, "how long each line is measured")->capture_default_str();
  std::string names;
  for (const auto& [name, body] : Registered()) names += (names.empty() ? "" : ", ") + name;
  app.add_option("operations", only, "of " + names + "; none: all");
  if (const auto exit_code = ParseFlags(app, argc, argv)) return *exit_code;
  for (const std::string& name : only) {
    if (Registered().count(name) == 0) {
      std::fprintf(stderr, "unknown operation '%s', expected one of %s\n", name.c_str(), names.c_str());
      return 1;
    }
  }
  KeepFreedMemory();  // page faults are not what is measured
  SetThreads(threads);

  const double flops = MeasureFlops();
  std::printf("%s, %s, %d thread%s: %.0f GFLOP/s in fp32 multiply-adds, %.1f GB/s reading memory.\n\n",
              ProcessorName().c_str(), InstructionSet().c_str(), Threads(), Threads() == 1 ? "" : "s", flops * 1e-9,
              MeasureReadBandwidth(int64_t{1} << 28) * 1e-9);
  std::printf("| operation | case | time | rate | share of the machine | peers take |\n|---|---|---|---|---|---|\n");
  BenchmarkRun run(flops, seconds);
  for (const auto& [name, body] : Registered()) {
    if (!only.empty() && std::find(only.begin(), only.end(), name) == only.end()) continue;
    run.operation_ = name;
    body(run);
  }
  return 0;
}

}  // namespace radlads
