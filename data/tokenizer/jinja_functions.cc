#include "data/tokenizer/jinja_functions.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    NextCodePoint(text, &i);
    characters.push_back(text.substr(start, i - start));
  }
  return characters;
}

// str.strip and its one-sided forms; `set` null for white space.
std::string Strip(std::string_view text, const std::string* set, bool left, bool right) {
  const std::vector<std::string_view> characters = Characters(text);
  const auto strips = [&](std::string_view character) {
    if (set != nullptr) return set->find(character) != std::string::npos;
    size_t i = 0;
    return IsPythonSpace(NextCodePoint(character, &i));
  };
  size_t first = 0, last = characters.size();
  while (left && first < last && strips(characters[first])) ++first;
  while (right && first < last && strips(characters[last - 1])) --last;
  if (first == last) return "";
  const char* begin = characters[first].data();
  return std::string(begin, characters[last - 1].data() + characters[last - 1].size());
}

absl::StatusOr<JinjaValue> ChangeCase(const std::string& text, bool upper) {
  std::string result = text;
  for (char& c : result) {
    if (static_cast<uint8_t>(c) >= 0x80)
      return Unimplemented("upper and lower of text beyond ASCII are outside the supported subset");
    if (upper && c >= 'a' && c <= 'z') c -= 0x20;
    if (!upper && c >= 'A' && c <= 'Z') c += 0x20;
  }
  return JinjaValue(std::move(result));
}

absl::Status CheckLength(size_t size) {
  if (size <= kMaxJinjaString) return absl::OkStatus();
  return InvalidArgument("a string grows beyond ", kMaxJinjaString, " bytes");
}

absl::StatusOr<JinjaValue> Replace(const std::string& text, const std::string& from,
                                   const std::string& to) {
  if (from.empty())
    return Unimplemented("replace of the empty string is outside the supported subset");
  std::string result;
  size_t done = 0;
  for (size_t at; (at = text.find(from, done)) != std::string::npos; done = at + from.size()) {
    result.append(text, done, at - done).append(to);
    RADLADS_RETURN_IF_ERROR(CheckLength(result.size()));
  }
  return JinjaValue(result.append(text, done, std::string::npos));
}

// At most `most` cuts with a separator.
JinjaValue::List Split(const std::string& text, const std::string* separator, uint64_t most) {
  JinjaValue::List parts;
  if (separator == nullptr) {
    std::string part;
    for (const std::string_view character : Characters(text)) {
      size_t i = 0;
      if (!IsPythonSpace(NextCodePoint(character, &i))) {
        part.append(character);
      } else if (!part.empty()) {
        parts.emplace_back(std::exchange(part, ""));
      }
    }
    if (!part.empty()) parts.emplace_back(std::move(part));
    return parts;
  }
  size_t done = 0;
  for (size_t at; parts.size() < most && (at = text.find(*separator, done)) != std::string::npos;
       done = at + separator->size()) {
    parts.emplace_back(text.substr(done, at - done));
  }
  parts.emplace_back(text.substr(done));
  return parts;
}

JinjaValue::List DictItems(const JinjaValue& dict, bool keys, bool values) {
  JinjaValue::List items;
  for (const auto& [key, value] : dict.as_dict()) {
    if (keys && values) {
      items.emplace_back(JinjaValue::List{JinjaValue(key), value});
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

absl::StatusOr<JinjaValue> Join(const JinjaValue& value, const std::string& separator) {
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(value));
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    RADLADS_ASSIGN_OR_RETURN(const std::string item, items[i].Print());
    text.append(i == 0 ? "" : separator).append(item);
    RADLADS_RETURN_IF_ERROR(CheckLength(text.size()));
  }
  return JinjaValue(std::move(text));
}

absl::StatusOr<JinjaValue> Length(const JinjaValue& value) {
  if (value.is_string())
    return JinjaValue(static_cast<int64_t>(Characters(value.as_string()).size()));
  if (value.is_list()) return JinjaValue(static_cast<int64_t>(value.as_list().size()));
  if (value.is_dict()) return JinjaValue(static_cast<int64_t>(value.as_dict().size()));
  if (value.is_undefined()) return JinjaValue(int64_t{0});
  return InvalidArgument("a ", value.type_name(), " has no length");
}

}  // namespace

absl::StatusOr<JinjaValue::List> JinjaItems(const JinjaValue& value) {
  if (value.is_list()) return value.as_list();
  if (value.is_dict()) return DictItems(value, true, false);
  JinjaValue::List items;
  if (value.is_undefined()) return items;
  if (!value.is_string())
    return InvalidArgument("a ", value.type_name(), " cannot be iterated over");
  for (const std::string_view character : Characters(value.as_string()))
    items.emplace_back(std::string(character));
  return items;
}

absl::StatusOr<JinjaValue> SliceJinja(const JinjaValue& value, const JinjaValue& start,
                                      const JinjaValue& stop, const JinjaValue& step) {
  if (!value.is_list() && !value.is_string())
    return InvalidArgument("a ", value.type_name(), " cannot be sliced");
  for (const JinjaValue* bound : {&start, &stop, &step}) {
    if (!bound->is_none() && !bound->is_number()) {
      return InvalidArgument("a slice is bounded by a ", bound->type_name(), ", expected an int");
    }
  }
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(value));
  const auto size = static_cast<int64_t>(items.size());
  const int64_t stride = step.is_none() ? 1 : step.as_number();
  if (stride == 0) return InvalidArgument("a slice has step 0");
  const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
  const auto bound = [&](const JinjaValue& given, int64_t otherwise) {
    if (given.is_none()) return otherwise;
    const int64_t position = given.as_number() < 0 ? given.as_number() + size : given.as_number();
    return std::clamp(position, low, high);
  };
  const int64_t first = bound(start, stride > 0 ? low : high),
                last = bound(stop, stride > 0 ? high : low);
  JinjaValue::List picked;
  for (int64_t i = first; stride > 0 ? i < last : i > last;
       i += std::clamp<int64_t>(stride, -size - 1, size + 1)) {
    picked.push_back(items[i]);
  }
  if (value.is_list()) return JinjaValue(std::move(picked));
  std::string text;
  for (const JinjaValue& character : picked) text += character.as_string();
  return JinjaValue(std::move(text));
}

absl::StatusOr<JinjaValue> ApplyJinjaFilter(const std::string& name, const JinjaValue& value,
                                            const JinjaArguments& arguments) {
  if (name == "default" || name == "d") {
    if (arguments.empty()) return JinjaValue(std::string());
    const bool replace =
        value.is_undefined() || (arguments.size() > 1 && arguments[1].Truth() && !value.Truth());
    return replace ? arguments[0] : value;
  }
  if (name == "join") {
    RADLADS_RETURN_IF_ERROR(WantStrings("join", arguments, 0, 1));
    return Join(value, arguments.empty() ? "" : arguments[0].as_string());
  }
  if (name == "trim" || name == "upper" || name == "lower") {
    RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 0, name == "trim" ? 1 : 0));
    RADLADS_ASSIGN_OR_RETURN(const std::string text, value.Print());
    if (name != "trim") return ChangeCase(text, name == "upper");
    return JinjaValue(
        Strip(text, arguments.empty() ? nullptr : &arguments[0].as_string(), true, true));
  }
  constexpr std::string_view kPlain[] = {"length", "count",  "first", "last", "string",
                                         "list",   "tojson", "items", "safe"};
  if (std::find(std::begin(kPlain), std::end(kPlain), name) == std::end(kPlain)) {
    return Unimplemented("the filter ", name, " is outside the supported subset");
  }
  if (!arguments.empty())
    return Unimplemented("the filter ", name, " with arguments is outside the supported subset");
  if (name == "length" || name == "count") return Length(value);
  if (name == "items" && value.is_dict()) return JinjaValue(DictItems(value, true, true));
  if (name == "items" && !value.is_undefined())
    return InvalidArgument("a ", value.type_name(), " has no items");
  if (name == "tojson") {
    RADLADS_ASSIGN_OR_RETURN(std::string text, value.ToJson());
    return JinjaValue(std::move(text));
  }
  if (name == "string" || name == "safe") {
    RADLADS_ASSIGN_OR_RETURN(std::string text, value.Print());
    return JinjaValue(std::move(text));
  }
  RADLADS_ASSIGN_OR_RETURN(JinjaValue::List items, JinjaItems(value));
  if (name == "list" || name == "items") return JinjaValue(std::move(items));
  if (items.empty()) return JinjaValue(JinjaValue::Undefined{name + " of nothing"});
  return name == "first" ? items.front() : items.back();
}

absl::StatusOr<bool> ApplyJinjaTest(const std::string& name, const JinjaValue& value,
                                    const JinjaArguments& arguments) {
  if (name == "equalto" || name == "eq") {
    if (arguments.size() != 1)
      return InvalidArgument("the test ", name, " has ", arguments.size(),
                             " arguments, expected 1");
    return value.Equals(arguments[0]);
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
    return value.is_list() || value.is_dict() || value.is_string() || value.is_undefined();
  }
  if (name == "number") return value.is_number();
  if (name == "integer") return value.is_int();
  if (name == "boolean") return value.is_bool();
  if (name == "true") return value.is_bool() && value.as_bool();
  if (name == "false") return value.is_bool() && !value.as_bool();
  return Unimplemented("the test ", name, " is outside the supported subset");
}

absl::StatusOr<JinjaValue> CallJinjaMethod(const std::string& name, const JinjaValue& value,
                                           const JinjaArguments& arguments) {
  if (value.is_undefined()) return InvalidArgument("\"", value.undefined_name(), "\" is undefined");
  if (value.is_dict()) {
    if (name == "get" && (arguments.size() == 1 || arguments.size() == 2) &&
        arguments[0].is_string()) {
      if (const JinjaValue* found = value.Find(arguments[0].as_string())) return *found;
      return arguments.size() == 2 ? arguments[1] : JinjaValue(nullptr);
    }
    if (arguments.empty() && (name == "items" || name == "keys" || name == "values")) {
      return JinjaValue(DictItems(value, name != "values", name != "keys"));
    }
  }
  if (value.is_string()) {
    const std::string& text = value.as_string();
    if (name == "strip" || name == "lstrip" || name == "rstrip") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 0, 1));
      const std::string* set = arguments.empty() ? nullptr : &arguments[0].as_string();
      return JinjaValue(Strip(text, set, name != "rstrip", name != "lstrip"));
    }
    if (name == "startswith" || name == "endswith") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 1, 1));
      const std::string& part = arguments[0].as_string();
      if (part.size() > text.size()) return JinjaValue(false);
      return JinjaValue(text.compare(name == "startswith" ? 0 : text.size() - part.size(),
                                     part.size(), part) == 0);
    }
    if (name == "upper" || name == "lower") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 0, 0));
      return ChangeCase(text, name == "upper");
    }
    if (name == "split") {
      const bool limited = arguments.size() == 2 && arguments[1].is_int();
      const JinjaArguments separator(arguments.begin(), arguments.end() - limited);
      RADLADS_RETURN_IF_ERROR(WantStrings(name, separator, 0, 1));
      if (!separator.empty() && separator[0].as_string().empty())
        return InvalidArgument("split by the empty string");
      // A negative limit is none.
      const uint64_t most = limited ? static_cast<uint64_t>(arguments[1].as_number()) : UINT64_MAX;
      return JinjaValue(Split(text, separator.empty() ? nullptr : &separator[0].as_string(), most));
    }
    if (name == "replace") {
      RADLADS_RETURN_IF_ERROR(WantStrings(name, arguments, 2, 2));
      return Replace(text, arguments[0].as_string(), arguments[1].as_string());
    }
  }
  return Unimplemented("the method ", name, " of a ", value.type_name(),
                       " is outside the supported subset");
}

}  // namespace radlads
