#include "data/tokenizer/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/status.h"
#include "data/tokenizer/python_text.h"

namespace radlads {
namespace {

void AppendQuoted(const std::string& text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      case '\b':
        *out += "\\b";
        break;
      case '\f':
        *out += "\\f";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          *out += "\\u00";
          out->push_back(kHex[c >> 4]);
          out->push_back(kHex[c & 15]);
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

// repr of a float: the shortest digits that read back as the same.
std::string PrintFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[32];
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(text, text + sizeof(text), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string result(text, end.ptr);
  if (plain && result.find('.') == std::string::npos) result += ".0";
  return result;
}

}  // namespace

JinjaValue::JinjaValue(List value, Form form) : form_(form) {
  for (const JinjaValue& item : value) depth_ = std::max(depth_, item.depth_);
  ++depth_;
  value_ = std::make_shared<List>(std::move(value));
}

JinjaValue::JinjaValue(Dict value, Form form) : form_(form) {
  for (const auto& [key, item] : value) depth_ = std::max(depth_, item.depth_);
  ++depth_;
  value_ = std::make_shared<Dict>(std::move(value));
}

const JinjaValue* JinjaValue::Find(const std::string& key) const {
  for (const auto& [name, value] : as_dict()) {
    if (name == key) return &value;
  }
  return nullptr;
}

void JinjaValue::MakeStrict() {
  strict_ = is_undefined();
  if (!is_list()) return;
  for (JinjaValue& item : *mutable_list()) {
    if (item.is_undefined()) item.MakeStrict();
  }
}

const char* JinjaValue::type_name() const {
  constexpr const char* kForms[] = {"", "tuple", "range", "dict view", "generator", "Namespace", "LoopContext"};
  if (form_ != Form::kPlain) return kForms[static_cast<int>(form_)];
  constexpr const char* kNames[] = {"undefined", "None", "bool", "int",  "float", "str", "list", "dict", "function"};
  return kNames[value_.index()];
}

bool JinjaValue::Truth() const {
  if (is_number()) return as_number() != 0;
  if (is_float()) return std::get<double>(value_) != 0;
  if (is_string()) return !as_string().empty();
  if (is_list()) return !as_list().empty();
  if (is_dict()) return !as_dict().empty();
  return is_function();
}

bool JinjaValue::Equals(const JinjaValue& other) const {
  if (is_number() && other.is_number()) return as_number() == other.as_number();
  if (is_real() && other.is_real()) return as_real() == other.as_real();
  if (value_.index() != other.value_.index() || form_ != other.form_) return false;
  if (is_function()) return function_name() == other.function_name();
  if (is_string()) return as_string() == other.as_string();
  if (is_list()) {
    return std::equal(as_list().begin(), as_list().end(), other.as_list().begin(),
                      other.as_list().end(),
                      [](const JinjaValue& a, const JinjaValue& b) { return a.Equals(b); });
  }
  if (is_dict()) {
    if (as_dict().size() != other.as_dict().size()) return false;
    return std::all_of(as_dict().begin(), as_dict().end(), [&](const auto& item) {
      const JinjaValue* found = other.Find(item.first);
      return found != nullptr && item.second.Equals(*found);
    });
  }
  return true;  // both None, or both undefined
}

absl::StatusOr<std::string> JinjaValue::Print() const {
  if (is_string()) return as_string();
  if (is_undefined()) {
    if (strict_) return InvalidArgument("\"", undefined_name(), "\" is undefined");
    return std::string();
  }
  return Repr();
}

absl::StatusOr<std::string> JinjaValue::Repr() const {
  if (is_string()) return PythonRepr(as_string());
  if (is_bool()) return std::string(as_bool() ? "True" : "False");
  if (is_int()) return std::to_string(as_number());
  if (is_float()) return PrintFloat(as_real());
  if (is_none()) return std::string("None");
  if (is_undefined()) return std::string("Undefined");
  const bool tuple = form_ == Form::kTuple;
  if (is_function() || (form_ != Form::kPlain && !tuple)) {
    return Unimplemented("printing a ", type_name(), " is outside the supported subset");
  }
  std::string out = is_dict() ? "{" : tuple ? "(" : "[";
  const char* separator = "";
  const auto append = [&](const std::string& text) {
    out += separator + text;
    separator = ", ";
  };
  if (is_dict()) {
    for (const auto& [key, item] : as_dict()) {
      RADLADS_ASSIGN_OR_RETURN(const std::string text, item.Repr());
      append(PythonRepr(key) + ": " + text);
    }
    return out + "}";
  }
  for (const JinjaValue& item : as_list()) {
    RADLADS_ASSIGN_OR_RETURN(const std::string text, item.Repr());
    append(text);
  }
  if (tuple && as_list().size() == 1) out += ",";
  return out + (tuple ? ")" : "]");
}

absl::StatusOr<std::string> JinjaValue::ToJson() const {
  if (is_undefined())
    return InvalidArgument("\"", undefined_name(), "\" is undefined and has no JSON");
  if (is_none()) return std::string("null");
  if (is_bool()) return std::string(as_bool() ? "true" : "false");
  if (is_int()) return std::to_string(as_number());
  if (is_float()) {
    if (std::isnan(as_real())) return std::string("NaN");
    if (std::isinf(as_real())) return std::string(as_real() > 0 ? "Infinity" : "-Infinity");
    return PrintFloat(as_real());
  }
  std::string out;
  if (is_string()) {
    AppendQuoted(as_string(), &out);
    return out;
  }
  if (is_function() || (form_ != Form::kPlain && form_ != Form::kTuple)) {
    return InvalidArgument("a ", type_name(), " has no JSON");
  }
  out.push_back(is_list() ? '[' : '{');
  const char* separator = "";
  if (is_list()) {
    for (const JinjaValue& item : as_list()) {
      RADLADS_ASSIGN_OR_RETURN(const std::string text, item.ToJson());
      out += separator + text;
      separator = ", ";
    }
  } else {
    for (const auto& [key, item] : as_dict()) {
      RADLADS_ASSIGN_OR_RETURN(const std::string text, item.ToJson());
      out += separator;
      AppendQuoted(key, &out);
      out += ": " + text;
      separator = ", ";
    }
  }
  out.push_back(is_list() ? ']' : '}');
  return out;
}

}  // namespace radlads
