// SIGINT and SIGTERM as a flag that a loop can look at.
#ifndef RADLADS_DISTILL_INTERRUPT_H_
#define RADLADS_DISTILL_INTERRUPT_H_

#include <csignal>

namespace radlads {

// While one lives, the first SIGINT or SIGTERM sets the flag instead of ending the process; a second one ends it.
// At most one at a time.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  // "SIGINT", "SIGTERM", or nullptr.
  const char* signal() const;

 private:
  struct sigaction before_int_, before_term_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_INTERRUPT_H_
