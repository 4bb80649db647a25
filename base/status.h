// Shorthand for functions that return absl::Status or absl::StatusOr, and the check for our own mistakes.
//
// The outside world (files, configs, network, data) is reported with absl::Status. A message says what was
// found, what was expected, where, and what to do. RADLADS_CHECK is for broken invariants only: it prints
// the condition with file and line and aborts.
#ifndef RADLADS_BASE_STATUS_H_
#define RADLADS_BASE_STATUS_H_

#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

namespace internal {

// Collects the message that follows RADLADS_CHECK(...) << and aborts at the end of the statement.
class CheckFailure {
 public:
  CheckFailure(const char* condition, const char* file, int line);
  [[noreturn]] ~CheckFailure();
  template <typename T>
  CheckFailure& operator<<(const T& value) {
    message_ << value;
    return *this;
  }

 private:
  std::ostringstream message_;
};

// Lets the conditional operator of RADLADS_CHECK have type void on both sides.
struct Voidify {
  void operator&(const CheckFailure&) const {}
};

}  // namespace internal

// Joins the arguments as operator<< would print them.
template <typename... Args>
std::string Concatenate(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// Status makers: InvalidArgument("shard ", i, " has ", n, " bytes, expected ", m).
template <typename... Args>
absl::Status InvalidArgument(const Args&... args) {
  return absl::InvalidArgumentError(Concatenate(args...));
}
template <typename... Args>
absl::Status NotFound(const Args&... args) {
  return absl::NotFoundError(Concatenate(args...));
}
template <typename... Args>
absl::Status DataLoss(const Args&... args) {
  return absl::DataLossError(Concatenate(args...));
}
template <typename... Args>
absl::Status Unimplemented(const Args&... args) {
  return absl::UnimplementedError(Concatenate(args...));
}
template <typename... Args>
absl::Status FailedPrecondition(const Args&... args) {
  return absl::FailedPreconditionError(Concatenate(args...));
}

// `status` with "context: " put before its message; an OK status passes unchanged.
absl::Status Annotate(const absl::Status& status, const std::string& context);

}  // namespace radlads

#define RADLADS_CHECK(condition) \
  (condition) ? (void)0          \
              : ::radlads::internal::Voidify() & ::radlads::internal::CheckFailure(#condition, __FILE__, __LINE__)

#define RADLADS_RETURN_IF_ERROR(expression)            \
  do {                                                 \
    absl::Status radlads_status_ = (expression);       \
    if (!radlads_status_.ok()) return radlads_status_; \
  } while (false)

#define RADLADS_CONCAT_INNER_(a, b) a##b
#define RADLADS_CONCAT_(a, b) RADLADS_CONCAT_INNER_(a, b)

// RADLADS_ASSIGN_OR_RETURN(auto file, OpenFile(path));
#define RADLADS_ASSIGN_OR_RETURN(lhs, expression) \
  RADLADS_ASSIGN_OR_RETURN_IMPL_(RADLADS_CONCAT_(radlads_statusor_, __LINE__), lhs, expression)
#define RADLADS_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expression) \
  auto statusor = (expression);                                   \
  if (!statusor.ok()) return statusor.status();                   \
  lhs = std::move(statusor).value()

#endif  // RADLADS_BASE_STATUS_H_
