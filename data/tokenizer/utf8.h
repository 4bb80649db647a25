// UTF-8: reading code points and replacing what is ill-formed.
#ifndef RADLADS_DATA_TOKENIZER_UTF8_H_
#define RADLADS_DATA_TOKENIZER_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace radlads {

// The code point at text[*position], which it moves past. `text` must be valid UTF-8 and *position
// a boundary in it.
inline char32_t NextCodePoint(std::string_view text, size_t* position) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const size_t i = *position;
  const char32_t lead = byte(i);
  if (lead < 0x80) {
    *position = i + 1;
    return lead;
  }
  if (lead < 0xE0) {
    *position = i + 2;
    return (lead & 0x1F) << 6 | (byte(i + 1) & 0x3F);
  }
  if (lead < 0xF0) {
    *position = i + 3;
    return (lead & 0x0F) << 12 | (byte(i + 1) & 0x3F) << 6 | (byte(i + 2) & 0x3F);
  }
  *position = i + 4;
  return (lead & 0x07) << 18 | (byte(i + 1) & 0x3F) << 12 | (byte(i + 2) & 0x3F) << 6 | (byte(i + 3) & 0x3F);
}

// `code_point` must be a Unicode scalar value (not a surrogate, at most U+10FFFF).
void AppendCodePoint(char32_t code_point, std::string* out);

bool IsValidUtf8(std::string_view bytes);

// How many of the bytes from `from` on are ASCII before the first that is not, or somewhat fewer: it stops up to 7
// bytes early.
inline size_t AsciiRun(std::string_view bytes, size_t from) {
  size_t i = from;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    if (word & 0x8080808080808080ull) break;
  }
  return i - from;
}

// Appends `bytes` to *out, each maximal ill-formed subpart replaced by one U+FFFD (Unicode 15
// section 3.9, the rule of Rust's String::from_utf8_lossy, Python's errors="replace" and WHATWG).
// Returns how many bytes were consumed: all of them if `final`; otherwise a sequence that is cut at
// the end but well-formed so far (1 to 3 bytes) is left.
size_t AppendUtf8Lossy(std::string_view bytes, bool final, std::string* out);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_UTF8_H_
