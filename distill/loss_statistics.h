// Tells a loss that jumped from one that wanders.
#ifndef RADLADS_DISTILL_LOSS_STATISTICS_H_
#define RADLADS_DISTILL_LOSS_STATISTICS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace radlads {

// Mean and variance of the losses seen, each new one weighing 1/n at first and 2% later on.
struct LossStatistics {
  int64_t count = 0;
  double mean = 0, variance = 0;

  void Add(double loss) {
    ++count;
    const double weight = std::max(1.0 / static_cast<double>(count), 0.02), step = loss - mean;
    mean += weight * step;
    variance = (1 - weight) * (variance + weight * step * step);
  }

  // Standard deviation, taken as at least 1% of the mean: a very smooth curve must not make noise look like a spike.
  double Deviation() const { return std::max(std::sqrt(variance), 0.01 * std::abs(mean)); }

  // Whether `loss` exceeds the mean by `threshold` deviations. Never within the first 20 losses or for threshold <= 0.
  bool IsSpike(double loss, double threshold) const {
    return threshold > 0 && count >= 20 && loss > mean + threshold * Deviation();
  }
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_LOSS_STATISTICS_H_
