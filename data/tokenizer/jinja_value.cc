#include "data/tokenizer/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/python_text.h"

namespace radlads {
namespace {

// Charges what was added to *out since it had `before` bytes.
absl::Status Charge(JinjaBudget* budget, const std::string& out, size_t before) {
  if (budget == nullptr || (budget->Text(out.size() - before) && budget->Bytes(out.size() - before))) return absl::OkStatus();
  return budget->Error();
}

// How long a text may become before Charge refuses it.
size_t Longest(const JinjaBudget* budget, const std::string& out) {
  return budget == nullptr ? SIZE_MAX : out.size() + budget->bytes_left();
}

// Stops behind `longest` bytes.
void AppendQuoted(const std::string& text, size_t longest, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  for (const char c : text) {
    if (out->size() > longest) return;
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

bool JinjaValue::Equals(const JinjaValue& other, JinjaBudget* budget) const {
  if (budget != nullptr && !budget->Steps(1)) return false;
  if (is_number() && other.is_number()) return as_number() == other.as_number();
  if (is_real() && other.is_real()) return as_real() == other.as_real();
  if (value_.index() != other.value_.index() || form_ != other.form_) return false;
  if (is_function()) return function_name() == other.function_name();
  if (is_string()) {
    if (as_string().size() != other.as_string().size()) return false;
    return (budget == nullptr || budget->Text(as_string().size())) && as_string() == other.as_string();
  }
  if (is_list()) {
    return std::equal(as_list().begin(), as_list().end(), other.as_list().begin(),
                      other.as_list().end(),
                      [&](const JinjaValue& a, const JinjaValue& b) { return a.Equals(b, budget); });
  }
  if (is_dict()) {
    if (as_dict().size() != other.as_dict().size()) return false;
    return std::all_of(as_dict().begin(), as_dict().end(), [&](const auto& item) {
      if (budget != nullptr && !budget->Steps(other.as_dict().size() / 16)) return false;
      const JinjaValue* found = other.Find(item.first);
      return found != nullptr && item.second.Equals(*found, budget);
    });
  }
  return true;  // both None, or both undefined
}

absl::StatusOr<std::string> JinjaValue::Print(JinjaBudget* budget) const {
  if (is_string()) {
    RADLADS_RETURN_IF_ERROR(Charge(budget, as_string(), 0));
    return as_string();
  }
  if (is_undefined()) {
    if (strict_) return InvalidArgument("\"", undefined_name(), "\" is undefined");
    return std::string();
  }
  return Repr(budget);
}

absl::StatusOr<std::string> JinjaValue::Repr(JinjaBudget* budget) const {
  std::string out;
  RADLADS_RETURN_IF_ERROR(AppendRepr(budget, &out));
  return out;
}

absl::Status JinjaValue::AppendRepr(JinjaBudget* budget, std::string* out) const {
  const size_t before = out->size();
  const bool tuple = form_ == Form::kTuple;
  if (is_string()) {
    out->append(PythonRepr(as_string(), budget == nullptr ? SIZE_MAX : budget->bytes_left()));
  } else if (is_bool()) {
    out->append(as_bool() ? "True" : "False");
  } else if (is_int()) {
    out->append(std::to_string(as_number()));
  } else if (is_float()) {
    out->append(PrintFloat(as_real()));
  } else if (is_none()) {
    out->append("None");
  } else if (is_undefined()) {
    out->append("Undefined");
  } else if (is_function() || (form_ != Form::kPlain && !tuple)) {
    return Unimplemented("printing a ", type_name(), " is outside the supported subset");
  } else {
    out->append(is_dict() ? "{}" : tuple ? (as_list().size() == 1 ? "(,)" : "()") : "[]");
  }
  RADLADS_RETURN_IF_ERROR(Charge(budget, *out, before));
  if (!is_list() && !is_dict()) return absl::OkStatus();
  out->resize(before + 1);
  bool first = true;
  const auto separate = [&] {
    if (!std::exchange(first, false)) out->append(", ");
    return out->size();
  };
  if (is_dict()) {
    for (const auto& [key, item] : as_dict()) {
      const size_t start = separate();
      out->append(PythonRepr(key, budget == nullptr ? SIZE_MAX : budget->bytes_left())).append(": ");
      RADLADS_RETURN_IF_ERROR(Charge(budget, *out, start));
      RADLADS_RETURN_IF_ERROR(item.AppendRepr(budget, out));
    }
    out->push_back('}');
    return absl::OkStatus();
  }
  for (const JinjaValue& item : as_list()) {
    separate();
    RADLADS_RETURN_IF_ERROR(item.AppendRepr(budget, out));
  }
  out->append(!tuple ? "]" : as_list().size() == 1 ? ",)" : ")");
  return absl::OkStatus();
}

absl::StatusOr<std::string> JinjaValue::ToJson(JinjaBudget* budget) const {
  std::string out;
  RADLADS_RETURN_IF_ERROR(AppendJson(budget, &out));
  return out;
}

absl::Status JinjaValue::AppendJson(JinjaBudget* budget, std::string* out) const {
  if (is_undefined())
    return InvalidArgument("\"", undefined_name(), "\" is undefined and has no JSON");
  const size_t before = out->size();
  if (is_none()) {
    out->append("null");
  } else if (is_bool()) {
    out->append(as_bool() ? "true" : "false");
  } else if (is_int()) {
    out->append(std::to_string(as_number()));
  } else if (is_float()) {
    const double real = as_real();
    out->append(std::isnan(real) ? "NaN" : !std::isinf(real) ? PrintFloat(real) : real > 0 ? "Infinity" : "-Infinity");
  } else if (is_string()) {
    AppendQuoted(as_string(), Longest(budget, *out), out);
  } else if (is_function() || (form_ != Form::kPlain && form_ != Form::kTuple)) {
    return InvalidArgument("a ", type_name(), " has no JSON");
  } else {
    out->append(is_list() ? "[]" : "{}");
  }
  RADLADS_RETURN_IF_ERROR(Charge(budget, *out, before));
  if (!is_list() && !is_dict()) return absl::OkStatus();
  out->resize(before + 1);
  bool first = true;
  const auto separate = [&] {
    if (!std::exchange(first, false)) out->append(", ");
    return out->size();
  };
  if (is_list()) {
    for (const JinjaValue& item : as_list()) {
      separate();
      RADLADS_RETURN_IF_ERROR(item.AppendJson(budget, out));
    }
  } else {
    for (const auto& [key, item] : as_dict()) {
      const size_t start = separate();
      AppendQuoted(key, Longest(budget, *out), out);
      out->append(": ");
      RADLADS_RETURN_IF_ERROR(Charge(budget, *out, start));
      RADLADS_RETURN_IF_ERROR(item.AppendJson(budget, out));
    }
  }
  out->push_back(is_list() ? ']' : '}');
  return absl::OkStatus();
}

}  // namespace radlads
