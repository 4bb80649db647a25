#include "serve/http/request_frame.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace radlads {
namespace {

constexpr size_t kMaxChunkLine = 1024;  // of a chunk's size, with extensions, and of a trailer field

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

bool SameWord(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// The characters that names of header fields and methods are made of (RFC 9110).
bool IsToken(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  const auto allowed = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kMarks.find(c) != kMarks.npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; });
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
    if (!bytes.empty() && !IsToken(bytes.substr(0, 1))) {
      return bytes[0] == 0x16 ? Bad(400, "this is TLS, but the server speaks plain HTTP here; ask http://")
                              : Bad(400, "this is no HTTP: no method begins so");
    }
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
  for (bool first = true; head != "\r\n"; first = false) {
    std::string_view line = head.substr(0, head.find('\n'));
    head.remove_prefix(line.size() + 1);
    if (line.size() > kMaxLine) {
      return first ? Bad(414, "the request line has more than 8 KiB") : Bad(431, "a header field has more than 8 KiB");
    }
    if (!line.ends_with('\r')) return Bad(400, "the lines of a head end with CR and LF, one has LF alone");
    line.remove_suffix(1);
    State state = State::kIncomplete;
    if (first) {
      state = ScanRequestLine(line);
    } else if (line.front() == ' ' || line.front() == '\t') {
      state = Bad(400, "a header field goes on on a second line; write it on one");
    } else if (HasControl(line)) {
      state = Bad(400, "a header field has a NUL or another control character");
    } else if (const size_t colon = line.find(':'); colon == line.npos || !IsToken(line.substr(0, colon))) {
      state = Bad(400, "a header field is not of the form NAME: VALUE, without a space before the colon");
    } else {
      state = ScanField(line.substr(0, colon), Trimmed(line.substr(colon + 1)));
    }
    if (state != State::kIncomplete) return state;
  }
  if (hosts_ == 0 && must_name_host_) return Bad(400, "a request of HTTP/1.1 must have the header field Host");
  if (chunked_ && has_length_) return Bad(400, "Content-Length and Transfer-Encoding exclude each other");
  if (length_ > max_body_) return State::kTooLarge;
  end_ += length_;
  return State::kIncomplete;
}

RequestFrame::State RequestFrame::ScanRequestLine(std::string_view line) {
  const size_t target = line.find(' ') + 1, version = line.rfind(' ') + 1;
  if (target == 0 || version <= target) return Bad(400, "the request line is not of the form METHOD PATH HTTP/1.1");
  const std::string_view method = line.substr(0, target - 1), path = line.substr(target, version - 1 - target);
  line.remove_prefix(version);
  if (!IsToken(method) || path.empty() || path.find(' ') != path.npos || HasControl(path) ||
      !line.starts_with("HTTP/")) {
    return Bad(400, "the request line is not of the form METHOD PATH HTTP/1.1");
  }
  method_ = method;
  target_ = path;
  if (line != "HTTP/1.1" && line != "HTTP/1.0") return Bad(505, "this server speaks HTTP/1.1 and HTTP/1.0");
  must_name_host_ = line == "HTTP/1.1";
  const auto known = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  if (std::find(known.begin(), known.end(), method) == known.end()) {
    return Bad(501, "the method of the request is none that HTTP has");
  }
  return State::kIncomplete;
}

RequestFrame::State RequestFrame::ScanField(std::string_view name, std::string_view value) {
  if (SameWord(name, "Host")) {
    if (++hosts_ > 1) return Bad(400, "the header field Host is there twice");
  } else if (SameWord(name, "Content-Length")) {
    const auto size = Size(value, 10);
    if (!size || (has_length_ && length_ != *size)) return Bad(400, "Content-Length must be one number");
    has_length_ = true;
    length_ = *size;
  } else if (SameWord(name, "Transfer-Encoding")) {
    if (chunked_ || !SameWord(value, "chunked")) {
      return Bad(501, "the only Transfer-Encoding that is supported is chunked");
    }
    chunked_ = true;
  } else if (SameWord(name, "Content-Encoding")) {
    const bool zlib = SameWord(value, "gzip") || SameWord(value, "x-gzip") || SameWord(value, "deflate");
    if (compressed_ || (!zlib && !value.empty() && !SameWord(value, "identity"))) {
      return Bad(415, "the only values of Content-Encoding that are supported are gzip, deflate and identity");
    }
    compressed_ = zlib;
  } else if (SameWord(name, "Content-Type") && SameWord(value.substr(0, 10), "multipart/")) {
    return Bad(415, "bodies of several parts are not supported");
  } else if (SameWord(name, "Expect")) {
    expects_continue_ = SameWord(value, "100-continue");
  }
  return State::kIncomplete;
}

RequestFrame::State RequestFrame::ScanChunks(std::string_view bytes) {
  while (true) {
    if (next_ >= bytes.size()) return State::kIncomplete;
    const size_t end = bytes.find("\r\n", next_);
    if ((end == std::string_view::npos ? bytes.size() : end) - next_ > kMaxChunkLine) {
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
