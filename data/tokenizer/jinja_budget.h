// What one rendering of a template may take: templates come with models and tasks, and their variables with requests.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_BUDGET_H_
#define RADLADS_DATA_TOKENIZER_JINJA_BUDGET_H_

#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace radlads {

// Steps of one rendering: a statement, a turn of a loop, an expression, a value that is compared, printed or written as
// JSON, and 64 bytes of text or 16 members of a list or dict that are walked over.
inline constexpr uint64_t kMaxJinjaSteps = 10'000'000;
// Bytes of all values that one rendering makes, and of its output. What is dropped again counts too.
inline constexpr uint64_t kMaxJinjaBytes = uint64_t{256} << 20;
// What a string takes beside its characters.
inline constexpr uint64_t kJinjaStringBytes = 64;

// Counts both. Charge first, make the value then: a charge that does not fit returns false, as every later one does, and
// the rendering ends with Error(). Not thread-safe: each rendering has its own.
class JinjaBudget {
 public:
  bool Steps(uint64_t count) { return Take(count, &steps_left_); }
  bool Text(uint64_t bytes) { return Steps(bytes / 64 + 1); }
  bool Bytes(uint64_t count) { return Take(count, &bytes_left_); }
  // A new string of so many bytes, walked over once.
  bool String(uint64_t bytes) { return Text(bytes) && Bytes(kJinjaStringBytes) && Bytes(bytes); }
  bool spent() const { return spent_ != nullptr; }
  uint64_t bytes_left() const { return bytes_left_; }
  // INVALID_ARGUMENT; the budget is spent.
  absl::Status Error() const {
    if (spent_ == &steps_left_) return InvalidArgument("the template takes more than ", kMaxJinjaSteps, " steps");
    return InvalidArgument("the template takes more than ", kMaxJinjaBytes, " bytes");
  }

 private:
  bool Take(uint64_t count, uint64_t* left) {
    if (spent()) return false;
    if (count > *left) {
      spent_ = left;
      return false;
    }
    *left -= count;
    return true;
  }
  uint64_t steps_left_ = kMaxJinjaSteps;
  uint64_t bytes_left_ = kMaxJinjaBytes;
  const uint64_t* spent_ = nullptr;  // the one that did not suffice
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_BUDGET_H_
