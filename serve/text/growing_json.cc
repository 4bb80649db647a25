#include "serve/text/growing_json.h"

namespace radlads {
namespace {

constexpr uint8_t kMostOpen = 64, kLongestNumber = 64, kLongestExponent = 2;

bool IsDigit(uint8_t byte) {
  return byte >= '0' && byte <= '9';
}

bool IsBlank(uint8_t byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

// -1: none.
int HexDigit(uint8_t byte) {
  if (IsDigit(byte)) return byte - '0';
  const uint8_t lower = byte | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

bool GrowingJson::Append(std::string_view bytes) {
  for (const char byte : bytes) {
    if (!AppendByte(static_cast<uint8_t>(byte))) return false;
  }
  return true;
}

bool GrowingJson::AppendByte(uint8_t byte) {
  switch (state_) {
    case State::kString:
      return AppendToString(byte);
    case State::kEscape:
    case State::kHex:
    case State::kSecondEscape:
    case State::kSecondU:
      return AppendToEscape(byte);
    case State::kLiteral:
      if (byte != static_cast<uint8_t>(*rest_)) return false;
      return *++rest_ != '\0' || Go(State::kAfterValue);
    case State::kMinus:
    case State::kZero:
    case State::kInteger:
    case State::kPoint:
    case State::kFraction:
    case State::kExponent:
    case State::kExponentSign:
    case State::kExponentDigits:
      return AppendToNumber(byte);
    case State::kComplete:
      return false;
    default:
      break;
  }
  if (IsBlank(byte)) return ++blanks_ <= 2 + 8 * depth_;
  blanks_ = 0;
  switch (state_) {
    case State::kBegin:
      return byte == '{' && Open(/*array=*/false);
    case State::kFirstName:
      if (byte == '}') return Close(/*array=*/false);
      [[fallthrough]];
    case State::kName:
      name_ = true;
      return byte == '"' && Go(State::kString);
    case State::kColon:
      return byte == ':' && Go(State::kValue);
    case State::kFirstValue:
      if (byte == ']') return Close(/*array=*/true);
      [[fallthrough]];
    case State::kValue:
      return BeginValue(byte);
    default:  // kAfterValue
      if (byte == ',') return Go((arrays_ & 1) != 0 ? State::kValue : State::kName);
      return (byte == '}' && Close(/*array=*/false)) || (byte == ']' && Close(/*array=*/true));
  }
}

bool GrowingJson::BeginValue(uint8_t byte) {
  name_ = false;
  switch (byte) {
    case '{':
      return Open(/*array=*/false);
    case '[':
      return Open(/*array=*/true);
    case '"':
      return Go(State::kString);
    case 't':
      return BeginLiteral("rue");
    case 'f':
      return BeginLiteral("alse");
    case 'n':
      return BeginLiteral("ull");
    default:
      length_ = 1;
      if (byte == '-') return Go(State::kMinus);
      return IsDigit(byte) && Go(byte == '0' ? State::kZero : State::kInteger);
  }
}

bool GrowingJson::BeginLiteral(const char* rest) {
  rest_ = rest;
  return Go(State::kLiteral);
}

bool GrowingJson::Open(bool array) {
  if (depth_ == kMostOpen) return false;
  ++depth_;
  arrays_ = arrays_ << 1 | (array ? 1 : 0);
  return Go(array ? State::kFirstValue : State::kFirstName);
}

bool GrowingJson::Close(bool array) {
  if (((arrays_ & 1) != 0) != array) return false;
  --depth_;
  arrays_ >>= 1;
  return Go(depth_ == 0 ? State::kComplete : State::kAfterValue);
}

bool GrowingJson::AppendToString(uint8_t byte) {
  if (more_ > 0) {
    if (byte < low_ || byte > high_) return false;
    --more_;
    low_ = 0x80;
    high_ = 0xBF;
    return true;
  }
  if (byte == '"') return Go(name_ ? State::kColon : State::kAfterValue);
  if (byte == '\\') return Go(State::kEscape);
  if (byte < 0x20) return false;
  if (byte < 0x80) return true;
  // Table 3-7 of the Unicode Standard.
  if (byte < 0xC2 || byte > 0xF4) return false;
  more_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  return true;
}

bool GrowingJson::AppendToEscape(uint8_t byte) {
  if (state_ == State::kSecondEscape) return byte == '\\' && Go(State::kSecondU);
  if (state_ == State::kEscape &&
      std::string_view("\"\\/bfnrt").find(static_cast<char>(byte)) != std::string_view::npos) {
    return Go(State::kString);
  }
  if (state_ != State::kHex) {
    digits_ = 0;
    unit_ = 0;
    second_ = state_ == State::kSecondU;
    return byte == 'u' && Go(State::kHex);
  }
  const int digit = HexDigit(byte);
  if (digit < 0) return false;
  unit_ = static_cast<uint16_t>(unit_ << 4 | digit);
  ++digits_;
  // As soon as it is known: 0xD8.. to 0xDB.. begin a pair, 0xDC.. to 0xDF.. end one.
  if (digits_ == 2 && (unit_ >= 0xDC && unit_ <= 0xDF) != second_) return false;
  if (digits_ < 4) return true;
  return Go(!second_ && unit_ >= 0xD800 && unit_ <= 0xDBFF ? State::kSecondEscape : State::kString);
}

bool GrowingJson::AppendToNumber(uint8_t byte) {
  const bool digit = IsDigit(byte), exponent = byte == 'e' || byte == 'E';
  // What needs more after it comes while there is room for that.
  constexpr uint8_t kRoom = 3 + kLongestExponent;
  if ((digit || exponent || byte == '.') && state_ < State::kExponent &&
      ++length_ > (digit ? kLongestNumber : kLongestNumber - kRoom)) {
    return false;
  }
  switch (state_) {
    case State::kMinus:
      return digit && Go(byte == '0' ? State::kZero : State::kInteger);
    case State::kInteger:
      if (digit) return true;
      [[fallthrough]];
    case State::kZero:
      if (byte == '.') return Go(State::kPoint);
      return exponent ? Go(State::kExponent) : EndNumber(byte);
    case State::kPoint:
      return digit && Go(State::kFraction);
    case State::kFraction:
      if (digit) return true;
      return exponent ? Go(State::kExponent) : EndNumber(byte);
    case State::kExponent:
      if (byte == '+' || byte == '-') return Go(State::kExponentSign);
      [[fallthrough]];
    case State::kExponentSign:
      digits_ = 1;
      return digit && Go(State::kExponentDigits);
    default:  // kExponentDigits
      return digit ? ++digits_ <= kLongestExponent : EndNumber(byte);
  }
}

bool GrowingJson::EndNumber(uint8_t byte) {
  state_ = State::kAfterValue;
  return AppendByte(byte);
}

}  // namespace radlads
