// Times of many events.
#ifndef RADLADS_SERVE_LOAD_LATENCY_H_
#define RADLADS_SERVE_LOAD_LATENCY_H_

#include <cstddef>
#include <string>
#include <vector>

namespace radlads {

// Not thread-safe. All of them are kept, so that percentiles are exact.
class Latencies {
 public:
  void Add(double seconds) { seconds_.push_back(seconds); }
  void Add(const Latencies& others);
  size_t count() const { return seconds_.size(); }

  // The least of them that at least `share` (0 to 1) of all do not exceed, in seconds; 0 where there are none.
  double Percentile(double share) const;
  // A line for each power of two between the least and the largest: bounds in milliseconds, how many, a bar.
  std::string Histogram() const;

 private:
  std::vector<double> seconds_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_LOAD_LATENCY_H_
