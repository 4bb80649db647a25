#include "configs/scalar.h"

#include <google/protobuf/descriptor.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <system_error>
#include <type_traits>

#include "base/status.h"

namespace radlads {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr std::string_view kTooLarge = "a number that fits";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The text without '+' and without the underscores that YAML 1.1 and Python allow between digits; nullopt when it
// cannot be a decimal number. Keeps out what strtod knows beyond that: inf, nan, hexadecimal.
std::optional<std::string> PlainNumber(std::string_view text) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '_') {
      if (i == 0 || i + 1 == text.size() || !IsDigit(text[i - 1]) || !IsDigit(text[i + 1])) return std::nullopt;
      continue;
    }
    if (!IsDigit(c) && c != '.' && c != 'e' && c != 'E' && c != '-' && c != '+') return std::nullopt;
    plain += c;
  }
  if (plain.empty() || plain == "-") return std::nullopt;
  return plain;
}

enum class Parsed { kOk, kNotANumber, kOutOfRange };

Parsed ParseDouble(std::string_view text, double& value) {
  const std::optional<std::string> plain = PlainNumber(text);
  if (!plain) return Parsed::kNotANumber;
  const char* end = plain->data() + plain->size();
  const auto [rest, error] = std::from_chars(plain->data(), end, value);
  if (rest != end || error == std::errc::invalid_argument) return Parsed::kNotANumber;
  return error == std::errc() ? Parsed::kOk : Parsed::kOutOfRange;
}

// Whole numbers in any notation (1e8 tokens), but not 0123, which is octal to some readers and decimal to others.
Parsed ParseInteger(std::string_view text, int64_t& value) {
  const std::optional<std::string> plain = PlainNumber(text);
  if (!plain) return Parsed::kNotANumber;
  const size_t first = (*plain)[0] == '-' ? 1 : 0;
  if (plain->size() > first + 1 && (*plain)[first] == '0' && IsDigit((*plain)[first + 1])) return Parsed::kNotANumber;
  const char* end = plain->data() + plain->size();
  const auto [rest, error] = std::from_chars(plain->data(), end, value);
  if (rest == end) return error == std::errc() ? Parsed::kOk : Parsed::kOutOfRange;
  double number;
  const Parsed parsed = ParseDouble(text, number);
  if (parsed != Parsed::kOk) return parsed;
  if (number != std::floor(number)) return Parsed::kNotANumber;
  if (std::abs(number) > 9007199254740992.0) return Parsed::kOutOfRange;
  value = static_cast<int64_t>(number);
  return Parsed::kOk;
}

bool ParseBool(std::string_view text, bool& value) {
  for (const std::string_view yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "1"}) {
    if (text == yes) {
      value = true;
      return true;
    }
  }
  for (const std::string_view no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "0"}) {
    if (text == no) {
      value = false;
      return true;
    }
  }
  return false;
}

// Shortest text that reads back to the same bits. With an exponent there is a point too (1.0e-05): YAML 1.1 readers
// take 1e-05 for a string.
template <typename Float>
std::string FloatText(Float value) {
  const Float size = std::abs(value);
  char buffer[512];
  if (size == 0 || (size >= Float{1e-4} && size < Float{1e15})) {
    return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr};
  }
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr);
  if (text.find('.') == std::string::npos) text.insert(text.find('e'), ".0");
  return text;
}

std::string StringText(const std::string& value) {
  bool plain = !value.empty() && (std::isalnum(static_cast<unsigned char>(value[0])) || value[0] == '/');
  for (const char c : value) {
    plain = plain && (std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == '/');
  }
  bool unused;
  double number;
  // Quotes keep other readers of YAML from taking text for something else.
  if (plain && value != "null" && value != "Null" && value != "NULL" && value != "None" && !ParseBool(value, unused) &&
      ParseDouble(value, number) == Parsed::kNotANumber) {
    return value;
  }
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\t') {
      text += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      text += "\\x";
      text += kHex[static_cast<unsigned char>(c) >> 4];
      text += kHex[c & 15];
    } else {
      text += c;
    }
  }
  return text + "\"";
}

std::string EnumNames(const FieldDescriptor& field) {
  std::string names;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    names += (i == 0 ? "" : ", ") + field.enum_type()->value(i)->name();
  }
  return names;
}

// Integers narrower than int64, and unsigned ones.
template <typename Integer>
bool Fits(int64_t value) {
  if constexpr (std::is_same_v<Integer, uint64_t>) return value >= 0;
  return value >= static_cast<int64_t>(std::numeric_limits<Integer>::min()) &&
         (std::is_same_v<Integer, int64_t> || value <= static_cast<int64_t>(std::numeric_limits<Integer>::max()));
}

}  // namespace

std::string TypeName(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64: return "whole number";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: return "number";
    case FieldDescriptor::CPPTYPE_BOOL: return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM: return "one of " + EnumNames(field);
    case FieldDescriptor::CPPTYPE_STRING: return "text";
    case FieldDescriptor::CPPTYPE_MESSAGE: return "map";
  }
  return "";
}

std::string Expectation(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return "true or false (or 1 or 0)";
    case FieldDescriptor::CPPTYPE_ENUM: return TypeName(field);
    case FieldDescriptor::CPPTYPE_STRING: return "text";
    default: return "a " + TypeName(field);
  }
}

std::string DefaultText(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return std::to_string(field.default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64: return std::to_string(field.default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT32: return std::to_string(field.default_value_uint32());
    case FieldDescriptor::CPPTYPE_UINT64: return std::to_string(field.default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE: return FloatText(field.default_value_double());
    case FieldDescriptor::CPPTYPE_FLOAT: return FloatText(field.default_value_float());
    case FieldDescriptor::CPPTYPE_BOOL: return field.default_value_bool() ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM: return field.default_value_enum()->name();
    case FieldDescriptor::CPPTYPE_STRING: return StringText(field.default_value_string());
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return "";
}

std::string ScalarText(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool one = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(one ? r.GetInt32(message, &field) : r.GetRepeatedInt32(message, &field, index));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(one ? r.GetInt64(message, &field) : r.GetRepeatedInt64(message, &field, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(one ? r.GetUInt32(message, &field) : r.GetRepeatedUInt32(message, &field, index));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(one ? r.GetUInt64(message, &field) : r.GetRepeatedUInt64(message, &field, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return FloatText(one ? r.GetDouble(message, &field) : r.GetRepeatedDouble(message, &field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return FloatText(one ? r.GetFloat(message, &field) : r.GetRepeatedFloat(message, &field, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return (one ? r.GetBool(message, &field) : r.GetRepeatedBool(message, &field, index)) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return (one ? r.GetEnum(message, &field) : r.GetRepeatedEnum(message, &field, index))->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return StringText(one ? r.GetString(message, &field) : r.GetRepeatedString(message, &field, index));
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  RADLADS_CHECK(false) << field.full_name() << " is not a scalar";
  return "";
}

std::string SetScalar(Message& message, const FieldDescriptor& field, std::string_view text, bool quoted) {
  const Reflection& r = *message.GetReflection();
  const bool one = !field.is_repeated();
  if (quoted && field.cpp_type() != FieldDescriptor::CPPTYPE_STRING &&
      field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM) {
    return Expectation(field) + " (without quotes)";
  }
  const auto set_integer = [&](auto set_one, auto add, auto type) -> std::string {
    using Integer = decltype(type);
    int64_t value = 0;
    switch (ParseInteger(text, value)) {
      case Parsed::kNotANumber: return Expectation(field);
      case Parsed::kOutOfRange: return std::string(kTooLarge) + " " + std::to_string(8 * sizeof(Integer)) + " bits";
      case Parsed::kOk: break;
    }
    if (!Fits<Integer>(value)) {
      if (std::is_unsigned_v<Integer> && value < 0) return "a whole number that is not negative";
      return std::string(kTooLarge) + " " + std::to_string(8 * sizeof(Integer)) + " bits";
    }
    one ? (r.*set_one)(&message, &field, static_cast<Integer>(value))
        : (r.*add)(&message, &field, static_cast<Integer>(value));
    return "";
  };
  const auto set_float = [&](auto set_one, auto add, auto type) -> std::string {
    using Float = decltype(type);
    double value = 0;
    switch (ParseDouble(text, value)) {
      case Parsed::kNotANumber: return Expectation(field);
      case Parsed::kOutOfRange: return "a number between -1.8e308 and 1.8e308, and not closer to 0 than 1e-307";
      case Parsed::kOk: break;
    }
    if (!std::isfinite(static_cast<Float>(value))) return "a number between -3.4e38 and 3.4e38";
    one ? (r.*set_one)(&message, &field, static_cast<Float>(value))
        : (r.*add)(&message, &field, static_cast<Float>(value));
    return "";
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return set_integer(&Reflection::SetInt32, &Reflection::AddInt32, int32_t{});
    case FieldDescriptor::CPPTYPE_INT64: return set_integer(&Reflection::SetInt64, &Reflection::AddInt64, int64_t{});
    case FieldDescriptor::CPPTYPE_UINT32:
      return set_integer(&Reflection::SetUInt32, &Reflection::AddUInt32, uint32_t{});
    case FieldDescriptor::CPPTYPE_UINT64:
      return set_integer(&Reflection::SetUInt64, &Reflection::AddUInt64, uint64_t{});
    case FieldDescriptor::CPPTYPE_DOUBLE: return set_float(&Reflection::SetDouble, &Reflection::AddDouble, double{});
    case FieldDescriptor::CPPTYPE_FLOAT: return set_float(&Reflection::SetFloat, &Reflection::AddFloat, float{});
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = false;
      if (!ParseBool(text, value)) return Expectation(field);
      one ? r.SetBool(&message, &field, value) : r.AddBool(&message, &field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->FindValueByName(std::string(text));
      if (value == nullptr) return Expectation(field);
      one ? r.SetEnum(&message, &field, value) : r.AddEnum(&message, &field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value(text);
      one ? r.SetString(&message, &field, std::move(value)) : r.AddString(&message, &field, std::move(value));
      return "";
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  RADLADS_CHECK(false) << field.full_name() << " is not a scalar";
  return "";
}

}  // namespace radlads
