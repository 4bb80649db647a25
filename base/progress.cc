#include "base/progress.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace radlads {
namespace {

double SecondsBetween(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

std::string HumanCount(double value, const std::string& unit) {
  static const char* const kPrefixes[] = {"", "k", "M", "G", "T", "P"};
  int prefix = 0;
  while (std::abs(value) >= 1000 && prefix < 5) {
    value /= 1000;
    ++prefix;
  }
  char text[64];
  const char* format = prefix == 0 ? "%.0f%s%s%s" : value < 10 ? "%.2f%s%s%s" : value < 100 ? "%.1f%s%s%s" : "%.0f%s%s%s";
  if (prefix == 0 && value < 100 && value != std::floor(value)) format = "%.1f%s%s%s";
  const bool space = prefix > 0 || !unit.empty();
  std::snprintf(text, sizeof(text), format, value, space ? " " : "", kPrefixes[prefix], unit.c_str());
  return text;
}

std::string HumanDuration(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  if (seconds < 10) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.1fs", seconds);
    return text;
  }
  long long whole = std::llround(seconds);
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof(text), "%lldh%02lldm%02llds", whole / 3600, whole / 60 % 60, whole % 60);
  } else if (whole >= 60) {
    std::snprintf(text, sizeof(text), "%lldm%02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof(text), "%llds", whole);
  }
  return text;
}

Progress::Progress(std::string what, uint64_t total, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(::isatty(STDERR_FILENO)),
      start_(std::chrono::steady_clock::now()),
      last_print_(start_) {}

Progress::~Progress() { Finish(); }

void Progress::Advance(uint64_t amount, const std::string& note) {
  done_ += amount;
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || finished_) return;
  if (!note.empty()) note_ = note;
  auto now = std::chrono::steady_clock::now();
  if (SecondsBetween(last_print_, now) < (terminal_ ? 0.1 : 10.0)) return;
  last_print_ = now;
  Print(false);
}

void Progress::SkipTo(uint64_t done) {
  std::lock_guard<std::mutex> lock(mutex_);
  done_ = done;
  skipped_ = done;
}

void Progress::Finish() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_) return;
  finished_ = true;
  Print(true);
}

void Progress::Print(bool last) {
  const double seconds = SecondsBetween(start_, std::chrono::steady_clock::now());
  const uint64_t done = done_;
  const double rate = seconds > 0 ? (done - skipped_) / seconds : 0;
  std::string line = what_ + ": " + HumanCount(done, unit_);
  if (total_ > 0) {
    char percent[16];
    std::snprintf(percent, sizeof(percent), " (%.0f%%)", 100.0 * done / total_);
    line += " of " + HumanCount(total_, unit_) + percent;
  }
  line += ", " + HumanCount(rate, unit_) + "/s";
  if (last) {
    line += ", took " + HumanDuration(seconds);
  } else if (total_ > done && rate > 0) {
    line += ", " + HumanDuration((total_ - done) / rate) + " left";
  }
  if (!note_.empty()) line += ", " + note_;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

}  // namespace radlads
