// The character properties that pre-tokenizers, added tokens and NFC ask for, one byte per code
// point.
//
// They follow the `tokenizers` library (0.23), whose parts know different Unicode versions: its
// regex engine and its standard library know Unicode 16, its NFC is older. Ids of text with
// recently assigned characters depend on it.
#ifndef RADLADS_DATA_TOKENIZER_UNICODE_CLASSES_H_
#define RADLADS_DATA_TOKENIZER_UNICODE_CLASSES_H_

#include <cstdint>

namespace radlads {

enum CharacterClass : uint8_t {
  kLetter = 1,      // \p{L}
  kNumber = 2,      // \p{N}
  kSpace = 4,       // \s: White_Space
  kNumeric = 8,     // Rust's char::is_numeric, what the Digits pre-tokenizer splits at
  kWord = 16,       // \w: Alphabetic, M, Nd, Pc, Join_Control
  kNfcActive = 32,  // changed by NFC on its own, or able to interact with what stands before it
  kNfcUnknown =
      64,  // newer than the library's NFC: passes through it unchanged, a boundary on both sides
};

// Table of 0x110000 entries, made on first use (some milliseconds) and shared by all threads.
const uint8_t* CharacterClasses();

// str.isspace of Python, which is \s of its regular expressions too.
inline bool IsPythonSpace(char32_t c) { return (CharacterClasses()[c] & kSpace) || (c >= 0x1C && c <= 0x1F); }

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_UNICODE_CLASSES_H_
