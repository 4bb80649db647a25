#include "serve/load/event_stream.h"

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace radlads {

void EventStream::Add(std::string_view bytes) {
  for (size_t end; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
    rest_ += bytes.substr(0, end);
    Line(rest_);
    rest_.clear();
  }
  rest_ += bytes;
}

void EventStream::Line(std::string_view line) {
  constexpr std::string_view kData = "data:";
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!line.starts_with(kData)) return;
  line.remove_prefix(kData.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (line == "[DONE]") {
    ended_ = true;
    return;
  }
  const absl::StatusOr<nlohmann::json> event = ParseJson(line);
  if (event.ok() && event->is_object()) on_event_(*event);
}

}  // namespace radlads
