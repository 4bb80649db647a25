#include "serve/http/running_text.h"

#include <chrono>
#include <optional>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

constexpr auto kLook = std::chrono::milliseconds(50);
constexpr auto kSilence = std::chrono::seconds(15);

}  // namespace

absl::StatusOr<std::unique_ptr<RunningText>> RunningText::Start(TextService& service, TextRequest request,
                                                                MemoryBudget::Part memory) {
  auto events = std::make_shared<TextEvents>();
  RADLADS_ASSIGN_OR_RETURN(const uint64_t number, service.Start(std::move(request), TextEvents::Callbacks(events)));
  return std::unique_ptr<RunningText>(new RunningText(service, std::move(events), number, std::move(memory)));
}

RunningText::~RunningText() {
  if (!ended_) service_.Cancel(number_);
}

absl::StatusOr<TextResult> RunningText::Run(const Client& client) {
  bool left = false, hurried = false;
  auto last = std::chrono::steady_clock::now();
  while (true) {
    TextPiece piece = events_->Next(kLook);
    if (!left) {
      const bool news = !piece.text.empty() || !piece.tokens.empty();
      const auto now = std::chrono::steady_clock::now();
      left = client.left();
      if (!left && (news || now - last > kSilence)) {
        last = now;
        left = !client.on_piece(std::move(piece));
      }
      if (left) service_.Cancel(number_);
    }
    if (std::optional<TextResult> result = events_->result()) {
      ended_ = true;
      if (result->finish == TextFinish::kError) return result->status;
      if (result->finish != TextFinish::kCancelled || left) return *std::move(result);
      if (events_->overflowed()) {
        return absl::ResourceExhaustedError("the reply was not read as fast as it was made, and 16 MiB of it wait");
      }
      if (hurried) return absl::UnavailableError("the server shuts down; the reply ends here");
      return absl::AbortedError("the reply was cancelled");
    }
    if (!hurried && client.hurry()) {
      hurried = true;
      service_.Cancel(number_);
    }
  }
}

}  // namespace radlads
