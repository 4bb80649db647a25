#include "serve/error_code.h"

#include "absl/strings/cord.h"

namespace radlads {
namespace {

constexpr char kType[] = "radlads/error_code";  // of the status's payload

}  // namespace

absl::Status WithErrorCode(absl::Status status, std::string_view code) {
  status.SetPayload(kType, absl::Cord(std::string(code)));
  return status;
}

std::string ErrorCodeOf(const absl::Status& status) {
  const auto code = status.GetPayload(kType);
  return code ? std::string(*code) : "";
}

absl::Status NoRoom(const std::string& message) {
  return WithErrorCode(absl::ResourceExhaustedError(message), kInsufficientStorage);
}

bool IsNoRoom(const absl::Status& status) {
  return ErrorCodeOf(status) == kInsufficientStorage;
}

}  // namespace radlads
