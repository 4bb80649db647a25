#include "kernels/benchmarks/machine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/benchmarks/machine.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <memory>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/quantized_linear/weight_memory.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums enough to hide the latency of two multiply-adds a cycle, and few enough for sixteen registers.
constexpr int kSums = 12;

// Returns the number of operations. `seed` keeps the compiler from knowing the result, `sink` from dropping it.
double MultiplyAdds(int64_t rounds, float seed, float* sink) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999f), term = hn::Set(d, seed);
  auto s0 = hn::Set(d, seed * 0), s1 = hn::Set(d, seed * 1), s2 = hn::Set(d, seed * 2), s3 = hn::Set(d, seed * 3),
       s4 = hn::Set(d, seed * 4), s5 = hn::Set(d, seed * 5), s6 = hn::Set(d, seed * 6), s7 = hn::Set(d, seed * 7),
       s8 = hn::Set(d, seed * 8), s9 = hn::Set(d, seed * 9), s10 = hn::Set(d, seed * 10), s11 = hn::Set(d, seed * 11);
  for (int64_t i = 0; i < rounds; ++i) {
    s0 = hn::MulAdd(s0, factor, term);
    s1 = hn::MulAdd(s1, factor, term);
    s2 = hn::MulAdd(s2, factor, term);
    s3 = hn::MulAdd(s3, factor, term);
    s4 = hn::MulAdd(s4, factor, term);
    s5 = hn::MulAdd(s5, factor, term);
    s6 = hn::MulAdd(s6, factor, term);
    s7 = hn::MulAdd(s7, factor, term);
    s8 = hn::MulAdd(s8, factor, term);
    s9 = hn::MulAdd(s9, factor, term);
    s10 = hn::MulAdd(s10, factor, term);
    s11 = hn::MulAdd(s11, factor, term);
  }
  const auto sum =
      hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)),
              hn::Add(hn::Add(hn::Add(s4, s5), hn::Add(s6, s7)), hn::Add(hn::Add(s8, s9), hn::Add(s10, s11))));
  *sink = hn::GetLane(hn::SumOfLanes(d, sum));
  return 2.0 * kSums * hn::Lanes(d) * rounds;
}

// Of four places at a time, which the processor fetches ahead better than one.
float Sum(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d), quarter = count / 4;
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  for (int64_t i = 0; i + lanes <= quarter; i += lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, x + i));
    s1 = hn::Add(s1, hn::LoadU(d, x + i + quarter));
    s2 = hn::Add(s2, hn::LoadU(d, x + i + 2 * quarter));
    s3 = hn::Add(s3, hn::LoadU(d, x + i + 3 * quarter));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

const char* Name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {

HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(Sum);
HWY_EXPORT(Name);

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string InstructionSet() {
  return HWY_DYNAMIC_DISPATCH(Name)();
}

double BenchmarkClock() {
  timespec now;
  clock_gettime(Threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

double MeasureFlops() {
  // A volatile, so that nothing is known of it when the program is compiled.
  static volatile float seed = 1e-3f;
  const int threads = Threads();
  std::vector<float> sinks(threads * 64);
  double best = 0;
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::vector<double> operations(threads);
    const double start = BenchmarkClock();
    ParallelFor(threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        operations[i] = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(50000, seed, &sinks[i * 64]);
      }
    });
    const double seconds = BenchmarkClock() - start;
    double total = 0;
    for (const double count : operations) total += count;
    best = std::max(best, total / seconds);
  }
  return best;
}

double MeasureReadBandwidth(int64_t bytes) {
  constexpr int64_t kBytesInAll = int64_t{1} << 31;
  const int64_t pieces = 2 * Threads(), piece = std::max<int64_t>(bytes / pieces / 64, 1) * 16;  // in floats
  const std::shared_ptr<uint8_t> memory = AllocateWeightMemory(pieces * piece * sizeof(float));
  float* const array = reinterpret_cast<float*>(memory.get());
  std::fill_n(array, pieces * piece, 1.0f);
  std::vector<float> sinks(pieces);
  double best = 0;
  const int64_t passes = std::clamp<int64_t>(kBytesInAll / std::max<int64_t>(bytes, 1), 10, 2000);
  for (int64_t pass = 0; pass < passes; ++pass) {
    const double start = BenchmarkClock();
    ParallelFor(pieces, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) sinks[i] = HWY_DYNAMIC_DISPATCH(Sum)(array + i * piece, piece);
    });
    best = std::max(best, pieces * piece * sizeof(float) / (BenchmarkClock() - start));
  }
  return best;
}

}  // namespace radlads
#endif  // HWY_ONCE
