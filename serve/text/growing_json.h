// JSON that grows by bytes: which may come next.
#ifndef RADLADS_SERVE_TEXT_GROWING_JSON_H_
#define RADLADS_SERVE_TEXT_GROWING_JSON_H_

#include <cstdint>
#include <string_view>

namespace radlads {

// The beginning of one object of RFC 8259, in well-formed UTF-8; escapes of UTF-16 surrogates come in pairs. Narrower
// than that, so that who writes it comes to an end and who reads it can: at most 64 objects and arrays lie within each
// other, and at most 2 + 8 times as many white spaces as there are open follow each other; a number has at most 64
// bytes, an exponent 2 digits. Something may always come next. A small value: copy it to try bytes.
class GrowingJson {
 public:
  // Whether `bytes` may come next; if so they are a part of it, else it is of no more use.
  bool Append(std::string_view bytes);
  // The object is closed; nothing may follow.
  bool complete() const { return state_ == State::kComplete; }

 private:
  enum class State : uint8_t {
    kBegin,
    kFirstName,
    kName,
    kColon,
    kFirstValue,
    kValue,
    kAfterValue,
    kString,
    kEscape,
    kHex,
    kSecondEscape,  // of a pair of surrogates
    kSecondU,
    kLiteral,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kComplete
  };

  bool AppendByte(uint8_t byte);
  bool BeginValue(uint8_t byte);
  bool BeginLiteral(const char* rest);
  bool Open(bool array);
  bool Close(bool array);
  bool AppendToString(uint8_t byte);
  bool AppendToEscape(uint8_t byte);
  bool AppendToNumber(uint8_t byte);
  bool EndNumber(uint8_t byte);
  bool Go(State state) {
    state_ = state;
    return true;
  }

  State state_ = State::kBegin;
  bool name_ = false;           // the string is a name
  bool second_ = false;         // the escape must be the second of a pair of surrogates
  uint8_t depth_ = 0;           // open objects and arrays
  uint64_t arrays_ = 0;         // a bit for each of them, the innermost lowest
  uint16_t blanks_ = 0;         // in a row
  uint8_t more_ = 0;            // bytes of the character
  uint8_t low_ = 0, high_ = 0;  // bounds of the next of them
  uint8_t digits_ = 0;          // of the escape
  uint16_t unit_ = 0;           // what they say
  uint8_t length_ = 0;          // bytes of the number
  const char* rest_ = "";       // of the literal
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TEXT_GROWING_JSON_H_
