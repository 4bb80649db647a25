#include "base/json.h"

// RapidJSON 1.1 adds to a null pointer when its stack is empty; nothing comes of it, but the fuzz tests would end there.
#ifdef __clang__
#pragma clang attribute push(__attribute__((no_sanitize("pointer-overflow"))), apply_to = function)
#endif
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#ifdef __clang__
#pragma clang attribute pop
#endif

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"

namespace radlads {
namespace {

// Numbers come as their text: RapidJSON itself refuses 1e999 and rounds long integers before anybody can see them.
constexpr unsigned kFlags = rapidjson::kParseValidateEncodingFlag | rapidjson::kParseNumbersAsStringsFlag;

constexpr char kLoneSurrogate[] = "half of a surrogate pair stands alone, which is no character";

// The events of a text, counted and kept within the bounds. A derived Builder makes a value of them.
class Counter {
 public:
  using Ch = char;
  explicit Counter(const JsonOptions& options) : options_(options) {}

  bool Null() { return Count(); }
  bool Bool(bool) { return Count(); }
  bool RawNumber(const char*, rapidjson::SizeType, bool) { return Count(); }
  bool Double(double) { return Count(); }  // NaN and the infinities: every other number is a RawNumber
  bool String(const char* text, rapidjson::SizeType length, bool) {
    // RapidJSON checks the bytes of the text, but makes bytes that are not UTF-8 of \\udc00 alone.
    return IsUtf8({text, length}) ? Count(length) : Fail(kLoneSurrogate);
  }
  bool Key(const char* text, rapidjson::SizeType length, bool copy) { return String(text, length, copy); }
  bool StartObject() { return Open(); }
  bool StartArray() { return Open(); }
  bool EndObject(rapidjson::SizeType) { return Close(); }
  bool EndArray(rapidjson::SizeType) { return Close(); }
  // The reader's interface asks for these, but calls RawNumber instead.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(int64_t) { return false; }
  bool Uint64(uint64_t) { return false; }

  const JsonSize& size() const { return size_; }
  const std::string& error() const { return error_; }

 protected:
  bool Count(int64_t string_bytes = 0) {
    size_.string_bytes += string_bytes;
    if (++size_.values <= options_.max_values) return true;
    return Fail(Concatenate("more than ", options_.max_values, " values"));
  }
  bool Open() {
    if (!Count()) return false;
    size_.depth = std::max(size_.depth, ++depth_);
    if (depth_ <= options_.max_depth) return true;
    return Fail(Concatenate("lists and objects are nested more than ", options_.max_depth, " deep"));
  }
  bool Close() {
    --depth_;
    return true;
  }
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }
  const JsonOptions& options() const { return options_; }

 private:
  const JsonOptions options_;
  JsonSize size_;
  int depth_ = 0;
  std::string error_;
};

// An integer where it fits 64 bits, otherwise a double.
template <typename Json>
Json Number(std::string_view text) {
  const char *begin = text.data(), *end = begin + text.size();
  if (text.find_first_of(".eE") == text.npos) {
    uint64_t natural;
    if (text[0] != '-' && std::from_chars(begin, end, natural).ec == std::errc()) return natural;
    int64_t integer;
    if (std::from_chars(begin, end, integer).ec == std::errc()) return integer;
  }
  double value = 0;  // stays 0 for a number too small for a double; RapidJSON has refused those that are too large
  std::from_chars(begin, end, value);
  return value;
}

template <typename Json>
class Builder : public Counter {
 public:
  using Counter::Counter;

  bool Null() { return Count() && Put(nullptr); }
  bool Bool(bool value) { return Count() && Put(value); }
  bool Double(double value) { return Count() && Put(value); }
  bool RawNumber(const char* text, rapidjson::SizeType length, bool) {
    return Count() && Put(Number<Json>({text, length}));
  }
  bool String(const char* text, rapidjson::SizeType length, bool copy) {
    return Counter::String(text, length, copy) && Put(std::string(text, length));
  }
  bool StartObject() { return Counter::Open() && Open(Json::object()); }
  bool StartArray() { return Counter::Open() && Open(Json::array()); }
  bool EndObject(rapidjson::SizeType) { return CloseValue(); }
  bool EndArray(rapidjson::SizeType) { return CloseValue(); }
  bool Key(const char* text, rapidjson::SizeType length, bool copy) {
    if (!Counter::Key(text, length, copy)) return false;
    std::string name(text, length);
    bool is_new;
    slot_ = Member(name, &is_new);
    if (is_new || !options().unique_keys) return true;
    return Fail(Concatenate("the key ", Quoted(name), " appears twice in one object; every key must be unique"));
  }

  Json& root() { return root_; }

 private:
  struct OpenValue {
    Json* value;
    // Where each key lies, for objects that keep the order of the text: they find a key in linear time by themselves.
    absl::flat_hash_map<std::string, size_t> positions;
  };

  // The value of a key of the innermost object, which is made when it is not there.
  Json* Member(const std::string& name, bool* is_new) {
    auto& object = open_.back().value->template get_ref<typename Json::object_t&>();
    if constexpr (std::is_same_v<Json, nlohmann::ordered_json>) {
      const auto [found, inserted] = open_.back().positions.try_emplace(name, object.size());
      // The vector's own emplace_back: that of the map looks for the key again.
      if (inserted) static_cast<typename Json::object_t::Container&>(object).emplace_back(name, nullptr);
      *is_new = inserted;
      return &(object.begin() + found->second)->second;
    } else {
      const auto [found, inserted] = object.try_emplace(name, nullptr);
      *is_new = inserted;
      return &found->second;
    }
  }
  bool Put(Json value) {
    Place() = std::move(value);
    return true;
  }
  Json& Place() {
    if (open_.empty()) return root_;
    if (!open_.back().value->is_array()) return *slot_;
    open_.back().value->push_back(nullptr);
    return open_.back().value->back();
  }
  bool Open(Json empty) {
    Json& place = Place();
    place = std::move(empty);
    open_.push_back({&place, {}});
    return true;
  }
  bool CloseValue() {
    open_.pop_back();
    return Close();
  }

  Json root_;
  std::vector<OpenValue> open_;  // from the root to the innermost list or object that has not ended
  Json* slot_ = nullptr;         // the value of the key that was read last
};

std::string Expectation(rapidjson::ParseErrorCode code, std::string_view rest) {
  switch (code) {
    case rapidjson::kParseErrorDocumentEmpty:
      return "there is no value";
    case rapidjson::kParseErrorDocumentRootNotSingular:
      return "expected the end of the text after the value";
    case rapidjson::kParseErrorObjectMissName:
      return "expected a key in double quotes";
    case rapidjson::kParseErrorObjectMissColon:
      return "expected a colon after the key";
    case rapidjson::kParseErrorObjectMissCommaOrCurlyBracket:
      return "expected a comma or } after the value of a key";
    case rapidjson::kParseErrorArrayMissCommaOrSquareBracket:
      return "expected a comma or ] after the value of a list";
    case rapidjson::kParseErrorStringUnicodeEscapeInvalidHex:
      return "expected four hexadecimal digits after \\u";
    case rapidjson::kParseErrorStringUnicodeSurrogateInvalid:
      return kLoneSurrogate;
    case rapidjson::kParseErrorStringMissQuotationMark:
      return "a string does not end";
    case rapidjson::kParseErrorStringInvalidEncoding:
      return "these bytes are not UTF-8";
    case rapidjson::kParseErrorStringEscapeInvalid:
      return rest.starts_with("\\") ? "there is no such escape" : "a control character in a string must be escaped";
    case rapidjson::kParseErrorNumberTooBig:
      return "this number is too large for a double";
    case rapidjson::kParseErrorNumberMissFraction:
      return "expected a digit after the decimal point";
    case rapidjson::kParseErrorNumberMissExponent:
      return "expected a digit in the exponent";
    default:
      return "expected a value";
  }
}

// The text with "Inf" for every number that is too large for a double, at the same places: RapidJSON refuses such
// numbers, but reads Inf where it reads NaN.
std::string WithInfinities(std::string_view text) {
  constexpr std::string_view kOfNumbers = "+-.0123456789eE";
  std::string out(text);
  bool in_string = false;
  for (size_t i = 0; i < out.size(); ++i) {
    if (in_string) {
      if (out[i] == '\\') {
        ++i;
      } else {
        in_string = out[i] != '"';
      }
    } else if (out[i] == '"') {
      in_string = true;
    } else if (std::isdigit(static_cast<uint8_t>(out[i]))) {
      const size_t end = std::min(out.find_first_not_of(kOfNumbers, i), out.size());
      if (std::isinf(std::strtod(out.c_str() + i, nullptr))) {
        out.replace(i, end - i, "Inf" + std::string(end - i - 3, ' '));
      }
      i = end - 1;
    }
  }
  return out;
}

// A handler that has had the events of `text`.
template <typename Handler>
absl::StatusOr<Handler> Parse(std::string_view text, const JsonOptions& options) {
  const std::string where = options.where.empty() ? "" : options.where + ": ";
  const size_t start = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  // RapidJSON takes a NUL for the end.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    return InvalidArgument(where, "not JSON: at byte ", nul, " there is a NUL");
  }
  Handler handler(options);
  rapidjson::MemoryStream stream(text.data() + start, text.size() - start);
  rapidjson::Reader reader;
  const rapidjson::ParseResult result = options.python_numbers
                                            ? reader.Parse<kFlags | rapidjson::kParseNanAndInfFlag>(stream, handler)
                                            : reader.Parse<kFlags>(stream, handler);
  if (!result.IsError()) return handler;
  if (result.Code() == rapidjson::kParseErrorNumberTooBig && options.python_numbers) {
    const std::string replaced = WithInfinities(text);
    if (replaced != text) return Parse<Handler>(replaced, options);
  }
  const size_t place = std::min(start + result.Offset(), text.size());
  if (!handler.error().empty()) return InvalidArgument(where, handler.error(), " (at byte ", place, ")");
  const std::string_view rest = text.substr(place);
  return InvalidArgument(where, "not JSON: at byte ", place, ", ", rest.empty() ? "the end of the text" : Quoted(rest, 24),
                         ": ", Expectation(result.Code(), rest));
}

template <typename Json>
absl::StatusOr<Json> Build(std::string_view text, const JsonOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(Builder<Json> builder, Parse<Builder<Json>>(text, options));
  return std::move(builder.root());
}

// The length of the UTF-8 sequence at the beginning of `text`, which is not empty; 0 when it is not valid.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  const bool overlong_or_surrogate = (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) ||
                                     (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second >= 0x90);
  return overlong_or_surrogate ? 0 : length;
}

}  // namespace

absl::StatusOr<JsonSize> MeasureJson(std::string_view text, const JsonOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(const Counter counter, Parse<Counter>(text, options));
  return counter.size();
}

absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, const JsonOptions& options) {
  return Build<nlohmann::json>(text, options);
}

absl::StatusOr<nlohmann::ordered_json> ParseOrderedJson(std::string_view text, const JsonOptions& options) {
  return Build<nlohmann::ordered_json>(text, options);
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string Quoted(std::string_view text, size_t longest) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  const size_t all = text.size();
  while (!text.empty()) {
    const size_t length = Utf8Length(text), taken = std::max<size_t>(length, 1);
    if (all - text.size() + taken > longest) return quoted + "\"...";
    const uint8_t byte = text[0];
    if (length > 1 || (length == 1 && byte >= 0x20 && byte != 0x7f)) {
      if (byte == '"' || byte == '\\') quoted += '\\';
      quoted += text.substr(0, length);
    } else if (byte == '\n' || byte == '\t' || byte == '\r') {
      quoted += byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\r";
    } else {
      quoted += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
    text.remove_prefix(taken);
  }
  return quoted + "\"";
}

}  // namespace radlads
