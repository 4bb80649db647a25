// Server-sent events with JSON in them, as OpenAI's API streams replies
// (https://html.spec.whatwg.org/multipage/server-sent-events.html, "data" fields only).
#ifndef RADLADS_SERVE_LOAD_EVENT_STREAM_H_
#define RADLADS_SERVE_LOAD_EVENT_STREAM_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace radlads {

class EventStream {
 public:
  // `on_event` gets the JSON object of each event.
  explicit EventStream(std::function<void(const nlohmann::json& event)> on_event) : on_event_(std::move(on_event)) {}

  // More of the stream, cut anywhere. Lines that are no JSON object are ignored.
  void Add(std::string_view bytes);
  // "[DONE]" came.
  bool ended() const { return ended_; }

 private:
  void Line(std::string_view line);

  const std::function<void(const nlohmann::json& event)> on_event_;
  std::string rest_;  // a line that is not whole
  bool ended_ = false;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_LOAD_EVENT_STREAM_H_
