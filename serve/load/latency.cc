#include "serve/load/latency.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"

namespace radlads {

void Latencies::Add(const Latencies& others) {
  seconds_.insert(seconds_.end(), others.seconds_.begin(), others.seconds_.end());
}

double Latencies::Percentile(double share) const {
  if (seconds_.empty()) return 0;
  std::vector<double> sorted = seconds_;
  const auto rank = static_cast<size_t>(std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(sorted.size())));
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(sorted.begin(), at, sorted.end());
  return *at;
}

std::string Latencies::Histogram() const {
  constexpr size_t kWidth = 50;
  std::map<int, size_t> counts;  // by the power of two, of milliseconds, that is the upper bound
  for (const double seconds : seconds_) ++counts[static_cast<int>(std::ceil(std::log2(std::max(seconds, 1e-6) * 1e3)))];
  if (counts.empty()) return "";
  size_t most = 0;
  for (const auto& [power, count] : counts) most = std::max(most, count);
  std::string text;
  for (int power = counts.begin()->first; power <= counts.rbegin()->first; ++power) {
    const size_t count = counts[power];
    text += absl::StrFormat("%10.4g to %-8.4g ms %9d %s\n", std::exp2(power - 1), std::exp2(power), count,
                            std::string((count * kWidth + most - 1) / most, '#'));
  }
  return text;
}

}  // namespace radlads
