#include "data/tokenizer/utf8.h"

#include <algorithm>

namespace radlads {
namespace {

enum class Form { kValid, kInvalid, kTruncated };

struct Sequence {
  Form form;
  size_t length;  // of the code point, or of the maximal subpart
};

// `size` >= 1. Table 3-7 of the Unicode standard.
Sequence Examine(const uint8_t* bytes, size_t size) {
  const uint8_t lead = bytes[0];
  if (lead < 0x80) return {Form::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Form::kInvalid, 1};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (i == size) return {Form::kTruncated, i};
    if (bytes[i] < low || bytes[i] > high) return {Form::kInvalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Form::kValid, length};
}

// First position that is not part of a well-formed sequence.
size_t ValidPrefix(std::string_view text, size_t from, Sequence* stop) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  size_t i = from;
  while (i < text.size()) {
    if (bytes[i] < 0x80) {
      i += std::max<size_t>(AsciiRun(text, i), 1);
      continue;
    }
    // The usual ones first.
    const uint8_t lead = bytes[i];
    const auto continues = [&](size_t k) { return (bytes[i + k] & 0xC0) == 0x80; };
    if (lead >= 0xC2 && lead < 0xE0 && i + 1 < text.size() && continues(1)) {
      i += 2;
      continue;
    }
    if (lead > 0xE0 && lead < 0xED && i + 2 < text.size() && continues(1) && continues(2)) {
      i += 3;
      continue;
    }
    *stop = Examine(bytes + i, text.size() - i);
    if (stop->form != Form::kValid) return i;
    i += stop->length;
  }
  return i;
}

}  // namespace

void AppendCodePoint(char32_t code_point, std::string* out) {
  const auto put = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

bool IsValidUtf8(std::string_view bytes) {
  Sequence stop;
  return ValidPrefix(bytes, 0, &stop) == bytes.size();
}

size_t AppendUtf8Lossy(std::string_view bytes, bool final, std::string* out) {
  size_t done = 0;
  while (true) {
    Sequence stop;
    const size_t end = ValidPrefix(bytes, done, &stop);
    out->append(bytes, done, end - done);
    if (end == bytes.size()) return end;
    if (stop.form == Form::kTruncated && !final) return end;
    out->append("\xEF\xBF\xBD");
    done = end + stop.length;
  }
}

}  // namespace radlads
