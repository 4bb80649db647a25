// A text under way for one request.
#ifndef RADLADS_SERVE_HTTP_RUNNING_TEXT_H_
#define RADLADS_SERVE_HTTP_RUNNING_TEXT_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "base/memory_budget.h"
#include "serve/http/text_events.h"
#include "serve/text_service.h"

namespace radlads {

class RunningText {
 public:
  // Errors of TextService::Start. `service` must outlive the object, which keeps `memory` as long as it is there.
  static absl::StatusOr<std::unique_ptr<RunningText>> Start(TextService& service, TextRequest request,
                                                            MemoryBudget::Part memory);
  // Ends the text if it goes on.
  ~RunningText();

  struct Client {
    // Takes what is new; an empty piece every 15 s in which nothing is. False: the client takes no more.
    std::function<bool(TextPiece piece)> on_piece;
    std::function<bool()> left;   // asked before every piece, and 20 times a second
    std::function<bool()> hurry;  // the text has to end now
  };
  // To the end of the text, once. The result is kStop or kLength, or kCancelled when the client left; else UNAVAILABLE
  // for a text that had to end, RESOURCE_EXHAUSTED for a client that reads too slowly, and errors of the service.
  absl::StatusOr<TextResult> Run(const Client& client);

 private:
  RunningText(TextService& service, std::shared_ptr<TextEvents> events, uint64_t number, MemoryBudget::Part memory)
      : service_(service), events_(std::move(events)), number_(number), memory_(std::move(memory)) {}

  TextService& service_;
  const std::shared_ptr<TextEvents> events_;
  const uint64_t number_;
  const MemoryBudget::Part memory_;
  bool ended_ = false;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_RUNNING_TEXT_H_
