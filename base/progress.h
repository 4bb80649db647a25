// Progress of long work on stderr: what, how much, rate, time left.
//
//   Progress progress("tokenising", total_bytes, "B");
//   progress.Advance(n);              // from any thread
//   progress.Finish();                // or the destructor
//
// On a terminal the line is redrawn in place ten times a second; elsewhere (a log file, CI) a line is printed
// every ten seconds and at the end. total = 0 means unknown: no percentage and no time left.
#ifndef RADLADS_BASE_PROGRESS_H_
#define RADLADS_BASE_PROGRESS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace radlads {

class Progress {
 public:
  Progress(std::string what, uint64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Adds `amount` to what is done; `note`, if not empty, is shown at the end of the line ("loss 0.31").
  void Advance(uint64_t amount, const std::string& note = "");
  // Work that was already there (a resumed run): counts as done but not towards the rate.
  void SkipTo(uint64_t done);
  void Finish();

 private:
  void Print(bool last);
  const std::string what_, unit_;
  const uint64_t total_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_;
  std::atomic<uint64_t> done_{0};
  uint64_t skipped_ = 0;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point last_print_;
  std::string note_;
  bool finished_ = false;
};

// 1234567 -> "1.23 M"; with unit "B": "1.23 MB".
std::string HumanCount(double value, const std::string& unit = "");
// 3725 seconds -> "1h02m05s".
std::string HumanDuration(double seconds);

}  // namespace radlads

#endif  // RADLADS_BASE_PROGRESS_H_
