#include "serve/grpc/transfer.h"

#include "base/status.h"

namespace radlads {

bool Transfer::Move(const std::function<bool()>& move) {
  late_at_ = Clock::now() + limit_;
  const bool moved = move();
  late_at_ = Clock::time_point::max();
  return moved;
}

absl::Status Transfer::Ended() const {
  if (late_) {
    return absl::CancelledError(Concatenate("the client kept a session waiting for ", limit_.count(), " ms"));
  }
  return context_.IsCancelled() ? absl::CancelledError("the client left") : absl::OkStatus();
}

void Transfer::Look() {
  if (late_ || Clock::now() < late_at_.load()) return;
  late_ = true;
  context_.TryCancel();
}

}  // namespace radlads
