#include "serve/http/request_frame.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

namespace radlads {
namespace {

constexpr size_t kMaxLine = 1024;  // of a chunk's size, with extensions, and of a trailer field

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

bool SameWord(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// Digits and nothing else.
std::optional<size_t> Size(std::string_view digits, int base) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

RequestFrame::State RequestFrame::Bad(int status, const char* error) {
  error_status_ = status;
  error_ = error;
  return State::kBad;
}

RequestFrame::State RequestFrame::Scan(std::string_view bytes) {
  if (state_ == State::kIncomplete) state_ = ScanMore(bytes);
  return state_;
}

RequestFrame::State RequestFrame::ScanMore(std::string_view bytes) {
  if (head_ == 0) {
    const size_t end = bytes.find("\n\r\n", seen_);  // an empty line
    if (end == std::string_view::npos ? bytes.size() > kMaxHead : end + 3 > kMaxHead) {
      return Bad(431, "the request line and header fields are more than 32 KiB");
    }
    if (end == std::string_view::npos) {
      seen_ = bytes.size() < 2 ? 0 : bytes.size() - 2;
      return State::kIncomplete;
    }
    head_ = next_ = end_ = end + 3;
    if (const State state = ScanHead(bytes.substr(0, head_)); state != State::kIncomplete) return state;
  }
  if (chunked_) return ScanChunks(bytes);
  return bytes.size() < end_ ? State::kIncomplete : State::kWhole;
}

RequestFrame::State RequestFrame::ScanHead(std::string_view head) {
  std::optional<size_t> length;
  head.remove_prefix(head.find('\n') + 1);  // the request line
  while (!head.empty()) {
    const size_t end = head.find('\n');
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 1);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = Trimmed(line.substr(0, colon)), value = Trimmed(line.substr(colon + 1));
    if (SameWord(name, "Content-Length")) {
      const auto size = Size(value, 10);
      if (!size || (length && *length != *size)) return Bad(400, "Content-Length must be one number");
      length = size;
    } else if (SameWord(name, "Transfer-Encoding")) {
      if (chunked_ || !SameWord(value, "chunked")) {
        return Bad(501, "the only Transfer-Encoding that is supported is chunked");
      }
      chunked_ = true;
    } else if (SameWord(name, "Content-Type") && SameWord(value.substr(0, 10), "multipart/")) {
      return Bad(415, "bodies of several parts are not supported");
    } else if (SameWord(name, "Expect")) {
      expects_continue_ = SameWord(value, "100-continue");
    }
  }
  if (chunked_ && length) return Bad(400, "Content-Length and Transfer-Encoding exclude each other");
  if (length.value_or(0) > max_body_) return State::kTooLarge;
  end_ += length.value_or(0);
  return State::kIncomplete;
}

RequestFrame::State RequestFrame::ScanChunks(std::string_view bytes) {
  while (true) {
    if (next_ >= bytes.size()) return State::kIncomplete;
    const size_t end = bytes.find("\r\n", next_);
    if ((end == std::string_view::npos ? bytes.size() : end) - next_ > kMaxLine) {
      return Bad(400, "a line between chunks of the body is too long");
    }
    if (end == std::string_view::npos) return State::kIncomplete;
    const std::string_view line = bytes.substr(next_, end - next_);
    if (trailer_) {
      next_ = end + 2;
      if (next_ - head_ > 2 * max_body_ + kMaxHead) return State::kTooLarge;
      if (!line.empty()) continue;
      end_ = next_;
      return State::kWhole;
    }
    const auto size = Size(Trimmed(line.substr(0, line.find(';'))), 16);
    if (!size) return Bad(400, "a chunk of the body has no size");
    if (*size > max_body_ || body_ + *size > max_body_ || next_ - head_ > 2 * max_body_ + kMaxHead) {
      return State::kTooLarge;
    }
    if (*size == 0) {
      trailer_ = true;
      next_ = end + 2;
      continue;
    }
    const size_t after = end + 2 + *size;
    if (bytes.size() < after + 2) return State::kIncomplete;
    if (bytes.substr(after, 2) != "\r\n") return Bad(400, "a chunk of the body does not end where it should");
    body_ += *size;
    next_ = after + 2;
  }
}

}  // namespace radlads
