#include "data/tokenizer/jinja_functions.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/python_text.h"

namespace radlads {
namespace {

absl::StatusOr<JinjaValue::List> DictItems(const JinjaValue& dict, bool keys, bool values, JinjaBudget* budget) {
  JinjaValue::List items;
  for (const auto& [key, value] : dict.as_dict()) {
    const size_t count = keys && values ? 3 : 1;
    if (!ChargeJinjaItems(count, budget) || (keys && !budget->String(key.size()))) return budget->Error();
    if (keys && values) {
      items.emplace_back(JinjaValue::List{JinjaValue(key), value}, JinjaValue::Form::kTuple);
    } else {
      items.push_back(keys ? JinjaValue(key) : value);
    }
  }
  return items;
}

// Checks the number of arguments, and that they are strings.
absl::Status WantStrings(const std::string& name, const JinjaArguments& arguments, size_t least,
                         size_t most) {
  if (arguments.size() < least || arguments.size() > most) {
    return Unimplemented(name, " with ", arguments.size(),
                         " arguments is outside the supported subset");
  }
  for (const JinjaValue& argument : arguments) {
    if (!argument.is_string())
      return InvalidArgument(name, " is given a ", argument.type_name(), ", expected a str");
  }
  return absl::OkStatus();
}

absl::StatusOr<JinjaValue> Join(const JinjaValue& value, const std::string& separator, JinjaBudget* budget) {
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(value, budget));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    RADLADS_ASSIGN_OR_RETURN(const std::string item, items[i].Print(budget));
    if (i > 0 && !(budget->Text(separator.size()) && budget->Bytes(separator.size()))) return budget->Error();
    text.append(i == 0 ? "" : separator).append(item);
  }
  if (!budget->Bytes(kJinjaStringBytes)) return budget->Error();
  return JinjaValue(std::move(text));
}

absl::StatusOr<JinjaValue> Replace(const std::string& text, const std::string& from, const std::string& to,
                                   JinjaBudget* budget) {
  if (!budget->Text(text.size() + from.size())) return budget->Error();
  auto replaced = PythonReplace(text, from, to, UINT64_MAX, budget->bytes_left());
  if (!budget->Bytes(replaced.ok() ? 0 : UINT64_MAX) || !budget->String(replaced->size())) return budget->Error();
  return JinjaValue(*std::move(replaced));
}

absl::StatusOr<JinjaValue> Cased(const std::string& name, const std::string& text, JinjaBudget* budget) {
  // A character of 2 bytes may become one of 3, and each is looked up in tables.
  if (!budget->Steps(text.size() / 4) || !budget->String(text.size() + text.size() / 2)) return budget->Error();
  auto cased = name == "upper" ? PythonUpper(text) : name == "lower" ? PythonLower(text) : PythonCapitalize(text);
  if (!cased.ok()) return cased.status();
  return JinjaValue(*std::move(cased));
}

absl::StatusOr<JinjaValue> Strip(const std::string& text, const JinjaArguments& arguments, bool left, bool right,
                                 JinjaBudget* budget) {
  const std::string* set = arguments.empty() ? nullptr : &arguments[0].as_string();
  // Each character at an end is looked for in the set.
  const uint64_t each = set == nullptr ? 0 : set->size() / 16;
  if (!budget->Steps((text.size() / 16 + 1) * each) || !budget->String(text.size())) return budget->Error();
  return JinjaValue(PythonStrip(text, set, left, right));
}

// The filter int: what is no number is 0.
absl::StatusOr<JinjaValue> ToInt(const JinjaValue& value, JinjaBudget* budget) {
  if (value.is_number()) return JinjaValue(value.as_number());
  std::optional<double> real;
  if (value.is_float()) real = value.as_real();
  if (real && std::isinf(*real)) return InvalidArgument("int is given an infinite float");
  if (value.is_string()) {
    if (!budget->String(value.as_string().size())) return budget->Error();
    if (HasForeignDigits(value.as_string())) {
      return Unimplemented("the filter int of digits beyond ASCII is outside the supported subset");
    }
    if (const auto number = PythonInt(value.as_string())) return JinjaValue(*number);
    real = PythonFloat(value.as_string());
  }
  if (!real || !std::isfinite(*real)) return JinjaValue(int64_t{0});
  if (std::abs(*real) >= 0x1p63) return Unimplemented("an int of more than 64 bits is outside the supported subset");
  return JinjaValue(static_cast<int64_t>(*real));
}

// map('filter', arguments), or map(attribute='a.b', default=value).
absl::StatusOr<JinjaValue> Map(const JinjaValue& value, const JinjaArguments& arguments, const JinjaKeywords& keywords,
                               JinjaBudget* budget) {
  RADLADS_ASSIGN_OR_RETURN(JinjaValue::List items, JinjaItems(value, budget));
  if (keywords.empty() && !arguments.empty() && arguments[0].is_string()) {
    const JinjaArguments rest(arguments.begin() + 1, arguments.end());
    for (JinjaValue& item : items) {
      RADLADS_ASSIGN_OR_RETURN(item, ApplyJinjaFilter(arguments[0].as_string(), item, rest, {}, budget));
    }
    return JinjaValue(std::move(items), JinjaValue::Form::kGenerator);
  }
  const JinjaValue* attribute = nullptr;
  const JinjaValue* otherwise = nullptr;
  for (const auto& [name, argument] : keywords) (name == "attribute" ? attribute : otherwise) = &argument;
  if (!arguments.empty() || attribute == nullptr || !attribute->is_string() ||
      (otherwise != nullptr && keywords.back().first != "default" && keywords.front().first != "default") ||
      keywords.size() > 2) {
    return Unimplemented("the filter map with other arguments than a filter, or attribute= and default=, is outside the "
                         "supported subset");
  }
  JinjaValue::List path;
  const std::string dot = ".";
  PythonSplit(attribute->as_string(), &dot, UINT64_MAX, [&](std::string_view part) {
    if (!ChargeJinjaItems(1, budget) || !budget->String(part.size())) return false;
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    const std::optional<int64_t> index = number ? PythonInt(part) : std::nullopt;
    path.push_back(index ? JinjaValue(*index) : JinjaValue(std::string(part)));
    return true;
  });
  if (budget->spent()) return budget->Error();
  for (JinjaValue& item : items) {
    for (const JinjaValue& part : path) {
      RADLADS_ASSIGN_OR_RETURN(item, JinjaMember(item, part, budget));
    }
    if (item.is_undefined() && otherwise != nullptr) item = *otherwise;
  }
  return JinjaValue(std::move(items), JinjaValue::Form::kGenerator);
}

absl::StatusOr<JinjaValue> Length(const JinjaValue& value, JinjaBudget* budget) {
  if (value.is_string()) {
    if (!budget->Text(value.as_string().size())) return budget->Error();
    return JinjaValue(static_cast<int64_t>(CodePointCount(value.as_string())));
  }
  if (value.is_list()) return JinjaValue(static_cast<int64_t>(value.as_list().size()));
  if (value.is_dict()) return JinjaValue(static_cast<int64_t>(value.as_dict().size()));
  if (value.is_undefined()) return JinjaValue(int64_t{0});
  return InvalidArgument("a ", value.type_name(), " has no length");
}

}  // namespace

absl::StatusOr<JinjaValue::List> JinjaItems(const JinjaValue& value, JinjaBudget* budget) {
  if (value.is_list()) {
    if (!ChargeJinjaItems(value.as_list().size(), budget)) return budget->Error();
    return value.as_list();
  }
  if (value.is_dict()) return DictItems(value, true, false, budget);
  JinjaValue::List items;
  if (value.is_undefined()) return items;
  if (!value.is_string())
    return InvalidArgument("a ", value.type_name(), " cannot be iterated over");
  const std::string& text = value.as_string();
  const size_t count = CodePointCount(text);
  if (!ChargeJinjaItems(count, budget) || !budget->Bytes(count * kJinjaStringBytes)) return budget->Error();
  items.reserve(count);
  for (size_t i = 0; i < text.size();) {
    const size_t size = BytesOfCodePoints(std::string_view(text).substr(i), 1);
    items.emplace_back(text.substr(i, size));
    i += size;
  }
  return items;
}

absl::StatusOr<JinjaValue> ApplyJinjaFilter(const std::string& name, const JinjaValue& value,
                                            const JinjaArguments& arguments, const JinjaKeywords& keywords,
                                            JinjaBudget* budget) {
  if (!budget->Steps(1)) return budget->Error();
  if (name == "map") return Map(value, arguments, keywords, budget);
  if (!keywords.empty()) {
    return Unimplemented("the keyword argument ", keywords[0].first, "= of ", name, " is outside the supported subset");
  }
  if (name == "default" || name == "d") {
    if (arguments.empty()) return JinjaValue(std::string());
    const bool replace =
        value.is_undefined() || (arguments.size() > 1 && arguments[1].Truth() && !value.Truth());
    return replace ? arguments[0] : value;
  }
  if (name == "join") {
    RADLADS_RETURN_IF_ERROR(WantStrings("join", arguments, 0, 1));
    return Join(value, arguments.empty() ? "" : arguments[0].as_string(), budget);
  }
  if (name == "replace") {
    RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 2, 2));
    RADLADS_ASSIGN_OR_RETURN(const std::string text, value.Print(budget));
    return Replace(text, arguments[0].as_string(), arguments[1].as_string(), budget);
  }
  if (name == "trim" || name == "upper" || name == "lower" || name == "capitalize") {
    RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 0, name == "trim" ? 1 : 0));
    RADLADS_ASSIGN_OR_RETURN(const std::string text, value.Print(budget));
    if (name != "trim") return Cased(name, text, budget);
    return Strip(text, arguments, true, true, budget);
  }
  constexpr std::string_view kPlain[] = {"length", "count",  "first", "last", "string",
                                         "list",   "tojson", "items", "safe", "int"};
  if (std::find(std::begin(kPlain), std::end(kPlain), name) == std::end(kPlain)) {
    return Unimplemented("the filter ", name, " is outside the supported subset");
  }
  if (!arguments.empty())
    return Unimplemented("the filter ", name, " with arguments is outside the supported subset");
  if (name == "length" || name == "count") return Length(value, budget);
  if (name == "int") return ToInt(value, budget);
  if (name == "items" && value.is_dict()) {
    RADLADS_ASSIGN_OR_RETURN(JinjaValue::List items, DictItems(value, true, true, budget));
    return JinjaValue(std::move(items), JinjaValue::Form::kGenerator);
  }
  if (name == "items" && !value.is_undefined())
    return InvalidArgument("a ", value.type_name(), " has no items");
  if (name == "tojson") {
    RADLADS_ASSIGN_OR_RETURN(std::string text, value.ToJson(budget));
    return JinjaValue(std::move(text));
  }
  if (!budget->Bytes(kJinjaStringBytes)) return budget->Error();
  if (name == "string" || name == "safe") {
    RADLADS_ASSIGN_OR_RETURN(std::string text, value.Print(budget));
    return JinjaValue(std::move(text));
  }
  RADLADS_ASSIGN_OR_RETURN(JinjaValue::List items, JinjaItems(value, budget));
  if (name == "list" || name == "items") return JinjaValue(std::move(items));
  if (items.empty()) return JinjaValue(JinjaValue::Undefined{name + " of nothing"});
  return name == "first" ? items.front() : items.back();
}

absl::StatusOr<bool> ApplyJinjaTest(const std::string& name, const JinjaValue& value,
                                    const JinjaArguments& arguments, JinjaBudget* budget) {
  if (name == "equalto" || name == "eq") {
    if (arguments.size() != 1)
      return InvalidArgument("the test ", name, " has ", arguments.size(),
                             " arguments, expected 1");
    return value.Equals(arguments[0], budget);
  }
  if (name == "in" && arguments.size() == 1) {
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue found, JinjaOperation("in", value, arguments[0], budget));
    return found.as_bool();
  }
  if (!arguments.empty())
    return Unimplemented("the test ", name, " with arguments is outside the supported subset");
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is_dict();
  // Undefined values can be iterated over and have a length, so they are both, as in Jinja.
  if (name == "sequence" || name == "iterable") {
    const bool view = value.form() == JinjaValue::Form::kDictView || value.form() == JinjaValue::Form::kGenerator;
    if (view && name == "sequence") return false;
    return value.is_list() || value.is_dict() || value.is_string() || value.is_undefined();
  }
  if (name == "callable") return value.is_function();
  if (name == "number") return value.is_real();
  if (name == "float") return value.is_float();
  if (name == "integer") return value.is_int();
  if (name == "boolean") return value.is_bool();
  if (name == "true") return value.is_bool() && value.as_bool();
  if (name == "false") return value.is_bool() && !value.as_bool();
  return Unimplemented("the test ", name, " is outside the supported subset");
}

absl::StatusOr<JinjaValue> CallJinjaMethod(const std::string& name, const JinjaValue& value,
                                           const JinjaArguments& arguments, JinjaBudget* budget) {
  if (value.is_undefined()) return InvalidArgument("\"", value.undefined_name(), "\" is undefined");
  if (value.is_dict()) {
    if (name == "get" && (arguments.size() == 1 || arguments.size() == 2) &&
        arguments[0].is_string()) {
      if (!budget->Steps(value.as_dict().size() / 16)) return budget->Error();
      if (const JinjaValue* found = value.Find(arguments[0].as_string())) return *found;
      return arguments.size() == 2 ? arguments[1] : JinjaValue(nullptr);
    }
    if (arguments.empty() && (name == "items" || name == "keys" || name == "values")) {
      RADLADS_ASSIGN_OR_RETURN(JinjaValue::List items, DictItems(value, name != "values", name != "keys", budget));
      return JinjaValue(std::move(items), JinjaValue::Form::kDictView);
    }
  }
  if (value.is_list() && (name == "index" || name == "count") && arguments.size() == 1) {
    const JinjaValue::List& items = value.as_list();
    const auto equal = [&](const JinjaValue& item) { return item.Equals(arguments[0], budget); };
    if (name == "count") return JinjaValue(static_cast<int64_t>(std::count_if(items.begin(), items.end(), equal)));
    const auto found = std::find_if(items.begin(), items.end(), equal);
    if (found != items.end()) return JinjaValue(static_cast<int64_t>(found - items.begin()));
    const auto sought = arguments[0].Repr(budget);
    return InvalidArgument(sought.ok() ? *sought : arguments[0].type_name(), " is not in the list");
  }
  if (value.is_string()) {
    const std::string& text = value.as_string();
    if (name == "strip" || name == "lstrip" || name == "rstrip") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 0, 1));
      return Strip(text, arguments, name != "rstrip", name != "lstrip", budget);
    }
    if (name == "startswith" || name == "endswith") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 1, 1));
      const std::string& part = arguments[0].as_string();
      if (!budget->Text(part.size())) return budget->Error();
      if (part.size() > text.size()) return JinjaValue(false);
      return JinjaValue(text.compare(name == "startswith" ? 0 : text.size() - part.size(),
                                     part.size(), part) == 0);
    }
    if (name == "upper" || name == "lower" || name == "capitalize") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 0, 0));
      return Cased(name, text, budget);
    }
    if (name == "find" || name == "index" || name == "count") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 1, 1));
      const std::string& part = arguments[0].as_string();
      if (!budget->Text(text.size() + part.size())) return budget->Error();
      if (name == "count") {
        if (part.empty()) return JinjaValue(static_cast<int64_t>(CodePointCount(text)) + 1);
        int64_t count = 0;
        for (size_t at = 0; (at = FindText(text, part, at)) != std::string::npos; at += part.size()) ++count;
        return JinjaValue(count);
      }
      const size_t at = FindText(text, part);
      if (at != std::string::npos) {
        return JinjaValue(static_cast<int64_t>(CodePointCount(std::string_view(text).substr(0, at))));
      }
      if (name == "find") return JinjaValue(int64_t{-1});
      return InvalidArgument(PythonRepr(part, 1000), " is not in the str");
    }
    if (name == "join" && arguments.size() == 1) {
      RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(arguments[0], budget));
      for (const JinjaValue& item : items) {
        if (!item.is_string()) return InvalidArgument("join is given a ", item.type_name(), ", expected a str");
      }
      return Join(arguments[0], text, budget);
    }
    if (name == "split") {
      const bool limited = arguments.size() == 2 && arguments[1].is_int();
      const JinjaArguments separator(arguments.begin(), arguments.end() - limited);
      RADLADS_RETURN_IF_ERROR(WantStrings(name, separator, 0, 1));
      if (!separator.empty() && separator[0].as_string().empty())
        return InvalidArgument("split by the empty string");
      // A negative limit is none.
      const uint64_t most = limited ? static_cast<uint64_t>(arguments[1].as_number()) : UINT64_MAX;
      JinjaValue::List parts;
      const std::string* by = separator.empty() ? nullptr : &separator[0].as_string();
      if (!budget->Text(text.size() + (by == nullptr ? 0 : by->size()))) return budget->Error();
      PythonSplit(text, by, most, [&](std::string_view part) {
        if (!ChargeJinjaItems(1, budget) || !budget->String(part.size())) return false;
        parts.emplace_back(std::string(part));
        return true;
      });
      if (budget->spent()) return budget->Error();
      return JinjaValue(std::move(parts));
    }
    if (name == "replace") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 2, 2));
      return Replace(text, arguments[0].as_string(), arguments[1].as_string(), budget);
    }
  }
  return Unimplemented("the method ", name, " of a ", value.type_name(),
                       " is outside the supported subset");
}

}  // namespace radlads
