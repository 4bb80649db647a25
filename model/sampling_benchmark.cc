// What drawing a token costs: bazel run -c opt //model:sampling_benchmark
//
// The peer takes exponentials in double of all tokens and makes a heap of them.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kernels/benchmarks/benchmark.h"
#include "model/sampling.h"

namespace radlads {
namespace {

int64_t DrawFromHeap(const at::Tensor& logits, const SamplingOptions& options, double u) {
  const at::Tensor values = logits.to(at::kDouble);
  const double* const logit = values.const_data_ptr<double>();
  const int64_t count = values.numel();
  const double best = *std::max_element(logit, logit + count);
  std::vector<std::pair<double, int64_t>> heap, likeliest;
  double total = 0;
  for (int64_t id = 0; id < count; ++id) {
    const double below = (logit[id] - best) / options.temperature;
    if (below <= -60) continue;
    heap.emplace_back(std::exp(below), -id);
    total += heap.back().first;
  }
  std::make_heap(heap.begin(), heap.end());
  const auto next = [&] {
    std::pop_heap(heap.begin(), heap.end());
    likeliest.push_back(heap.back());
    heap.pop_back();
    return likeliest.back().first;
  };
  if (options.top_k > 0) {
    total = 0;
    while (!heap.empty() && static_cast<int64_t>(likeliest.size()) < options.top_k) total += next();
    heap.clear();
  }
  double sum = 0;
  if (options.top_p < 1) {
    while (!heap.empty() && sum < options.top_p * total) sum += next();
    heap.clear();
    total = sum;
  }
  sum = 0;
  for (const auto& [weight, id] : likeliest) {
    if ((sum += weight) > u * total) return -id;
  }
  while (!heap.empty() && (sum += next()) <= u * total) {
  }
  return -likeliest.back().second;
}

void Compare(BenchmarkRun& run) {
  const std::pair<std::string, SamplingOptions> kinds[] = {{"all", {.temperature = 1}},
                                                           {"top_p 0.9", {.temperature = 1, .top_p = 0.9}},
                                                           {"top_k 40", {.temperature = 1, .top_k = 40}}};
  for (const int64_t vocabulary : {49152, 151936}) {
    // Flat: all tokens within 9 of the best, as of random weights or a high temperature.
    for (const bool peaked : {true, false}) {
      at::manual_seed(1);
      at::Tensor logits = at::randn({vocabulary}) * (peaked ? 2.5 : 1);
      if (peaked) logits.slice(0, 0, 8) += 14 - at::arange(8, at::kFloat);
      for (const auto& [kind, options] : kinds) {
        TokenSampler sampler(options);
        std::mt19937_64 random(options.seed);
        run.Compare({.name = kind + ", " + (peaked ? "peaked" : "flat") + ", [" + std::to_string(vocabulary) + "]",
                     .bytes = 4.0 * static_cast<double>(vocabulary),
                     .ours = [&] { RADLADS_CHECK(sampler.Sample(logits).ok()); },
                     .peers = {{"heap of all", [&] {
                                  DrawFromHeap(logits, options, static_cast<double>(random() >> 11) * 0x1p-53);
                                }}}});
      }
    }
  }
}

const BenchmarkRegistration kRegistration("sampling", Compare);

}  // namespace
}  // namespace radlads
