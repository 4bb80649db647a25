// Seconds between two laps.
#ifndef RADLADS_DISTILL_STOPWATCH_H_
#define RADLADS_DISTILL_STOPWATCH_H_

#include <chrono>

namespace radlads {

class Stopwatch {
 public:
  // Seconds since the last lap (or construction); begins the next one.
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_STOPWATCH_H_
