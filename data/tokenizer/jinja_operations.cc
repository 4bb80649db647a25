// Members, slices and operators of the template language.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/jinja_functions.h"
#include "data/tokenizer/python_text.h"

namespace radlads {
namespace {

using Result = absl::StatusOr<JinjaValue>;
using Form = JinjaValue::Form;

Result Joined(const std::string& a, const std::string& b, JinjaBudget* budget) {
  if (!budget->String(a.size() + b.size())) return budget->Error();
  return JinjaValue(a + b);
}

absl::StatusOr<bool> Contains(const JinjaValue& container, const JinjaValue& item, JinjaBudget* budget) {
  if (container.is_string()) {
    if (!item.is_string()) return InvalidArgument("a ", item.type_name(), " is looked for in a str");
    const std::string& text = container.as_string();
    if (!budget->Text(text.size() + item.as_string().size())) return budget->Error();
    return FindText(text, item.as_string()) != std::string::npos;
  }
  if (container.is_dict()) {
    if (!budget->Steps(container.as_dict().size() / 16)) return budget->Error();
    return item.is_string() && container.Find(item.as_string()) != nullptr;
  }
  const auto same = [&](const JinjaValue& other) { return other.Equals(item, budget); };
  if (container.is_list()) return std::any_of(container.as_list().begin(), container.as_list().end(), same);
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(container, budget));
  return std::any_of(items.begin(), items.end(), same);
}

template <typename T>
std::optional<bool> Ordered(const std::string& operation, const T& a, const T& b) {
  if (operation == "<") return a < b;
  if (operation == ">") return a > b;
  if (operation == "<=") return a <= b;
  if (operation == ">=") return a >= b;
  return std::nullopt;
}

Result RealArithmetic(const std::string& operation, double a, double b) {
  if (operation == "+") return JinjaValue(a + b);
  if (operation == "-") return JinjaValue(a - b);
  if (operation == "*") return JinjaValue(a * b);
  if (b == 0) return InvalidArgument("division by zero");
  if (operation == "/") return JinjaValue(a / b);
  // As CPython's float_divmod: the remainder has the sign of the divisor.
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (b < 0) != (remainder < 0)) {
    remainder += b;
    quotient -= 1;
  } else if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  }
  if (operation == "%") return JinjaValue(remainder);
  if (quotient == 0) return JinjaValue(std::copysign(0.0, a / b));
  const double whole = std::floor(quotient);
  return JinjaValue(quotient - whole > 0.5 ? whole + 1 : whole);
}

Result Arithmetic(const std::string& operation, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (operation == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (operation == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (operation == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (b == 0) {
    return InvalidArgument("division by zero");
  } else if (operation == "/") {
    constexpr int64_t kExact = int64_t{1} << 53;  // what a double holds exactly
    overflow = a > kExact || a < -kExact || b > kExact || b < -kExact;
    if (!overflow) return JinjaValue(static_cast<double>(a) / static_cast<double>(b));
  } else {
    overflow = a == INT64_MIN && b == -1;
    if (!overflow) {
      // Python rounds towards minus infinity, and the remainder has the sign of the divisor.
      const int64_t remainder = a % b;
      const bool down = remainder != 0 && (remainder < 0) != (b < 0);
      result = operation == "//" ? a / b - down : remainder + (down ? b : 0);
    }
  }
  if (overflow) return InvalidArgument(a, " ", operation, " ", b, " is too large");
  return JinjaValue(result);
}

// A method of Python's dict, not called: UNIMPLEMENTED.
absl::Status NotAMethod(const JinjaValue& value, const std::string& name) {
  constexpr std::string_view kMethods[] = {"clear", "copy",    "fromkeys",   "get",    "items", "keys",
                                           "pop",   "popitem", "setdefault", "update", "values"};
  if (!value.is_dict() || value.form() != Form::kPlain ||
      std::find(std::begin(kMethods), std::end(kMethods), name) == std::end(kMethods)) {
    return absl::OkStatus();
  }
  return Unimplemented("the attribute ", name, " of a dict is a method of it, which is outside the supported subset where ",
                       "it is not called; a member of that name is [\"", name, "\"]");
}

// text[first:last] in characters; 0 <= first <= last.
std::string Characters(std::string_view text, int64_t first, int64_t last) {
  text.remove_prefix(BytesOfCodePoints(text, static_cast<size_t>(first)));
  return std::string(text.substr(0, BytesOfCodePoints(text, static_cast<size_t>(last - first))));
}

}  // namespace

absl::StatusOr<JinjaValue> JinjaMember(const JinjaValue& value, const JinjaValue& key, JinjaBudget* budget) {
  if (!budget->Steps(1)) return budget->Error();
  if (value.is_undefined()) return InvalidArgument("\"", value.undefined_name(), "\" is undefined");
  if (value.is_dict() && key.is_string()) {
    if (!budget->Steps(value.as_dict().size() / 16)) return budget->Error();
    if (const JinjaValue* found = value.Find(key.as_string())) return *found;
    RADLADS_RETURN_IF_ERROR(NotAMethod(value, key.as_string()));
  }
  const bool indexed = value.form() != Form::kDictView && value.form() != Form::kGenerator;
  if (((value.is_list() && indexed) || value.is_string()) && key.is_number()) {
    if (value.is_string() && !(budget->Text(value.as_string().size()) && budget->String(4))) return budget->Error();
    const auto size = static_cast<int64_t>(value.is_list() ? value.as_list().size() : CodePointCount(value.as_string()));
    const int64_t index = key.as_number() < 0 ? key.as_number() + size : key.as_number();
    if (index >= 0 && index < size) {
      return value.is_list() ? value.as_list()[index] : JinjaValue(Characters(value.as_string(), index, index + 1));
    }
  }
  auto name = key.Print(budget);
  if (budget->spent()) return budget->Error();
  // A longer name would be copied with the value, and no message needs it.
  const bool named = name.ok() && name->size() <= 256;
  return JinjaValue(JinjaValue::Undefined{named ? *std::move(name) : std::string("a member")});
}

absl::StatusOr<JinjaValue> JinjaAttribute(const JinjaValue& value, const std::string& name, JinjaBudget* budget) {
  RADLADS_RETURN_IF_ERROR(NotAMethod(value, name));
  return JinjaMember(value, JinjaValue(name), budget);
}

absl::StatusOr<JinjaValue> SliceJinja(const JinjaValue& value, const JinjaValue& start, const JinjaValue& stop,
                                      const JinjaValue& step, JinjaBudget* budget) {
  const bool sequence = value.is_list() && (value.form() == Form::kPlain || value.form() == Form::kTuple);
  if (!sequence && !value.is_string()) return InvalidArgument("a ", value.type_name(), " cannot be sliced");
  for (const JinjaValue* bound : {&start, &stop, &step}) {
    if (!bound->is_none() && !bound->is_number()) {
      return InvalidArgument("a slice is bounded by a ", bound->type_name(), ", expected an int");
    }
  }
  if (value.is_string() && !budget->Text(value.as_string().size())) return budget->Error();
  const auto size = static_cast<int64_t>(value.is_list() ? value.as_list().size() : CodePointCount(value.as_string()));
  const int64_t stride = step.is_none() ? 1 : step.as_number();
  if (stride == 0) return InvalidArgument("a slice has step 0");
  const int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
  const auto bound = [&](const JinjaValue& given, int64_t otherwise) {
    if (given.is_none()) return otherwise;
    const int64_t position = given.as_number() < 0 ? given.as_number() + size : given.as_number();
    return std::clamp(position, low, high);
  };
  const int64_t first = bound(start, stride > 0 ? low : high), last = bound(stop, stride > 0 ? high : low);
  if (value.is_string() && stride == 1) {
    const size_t most = value.as_string().size();
    const auto longest = static_cast<uint64_t>(4 * std::max<int64_t>(last - first, 0));
    if (!budget->String(std::min<uint64_t>(most, longest))) return budget->Error();
    return JinjaValue(first < last ? Characters(value.as_string(), first, last) : std::string());
  }
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(value, budget));
  if (!ChargeJinjaItems(items.size(), budget)) return budget->Error();  // of which `picked` are some
  JinjaValue::List picked;
  for (int64_t i = first; stride > 0 ? i < last : i > last; i += std::clamp<int64_t>(stride, -size - 1, size + 1)) {
    picked.push_back(items[i]);
  }
  if (value.is_list()) return JinjaValue(std::move(picked), value.form());
  std::string text;
  if (!budget->String(value.as_string().size())) return budget->Error();
  for (const JinjaValue& character : picked) text += character.as_string();
  return JinjaValue(std::move(text));
}

absl::StatusOr<JinjaValue> JinjaOperation(const std::string& operation, const JinjaValue& left, const JinjaValue& right,
                                          JinjaBudget* budget) {
  if (operation == "==") return JinjaValue(left.Equals(right, budget));
  if (operation == "!=") return JinjaValue(!left.Equals(right, budget));
  if (operation == "in" || operation == "not in") {
    RADLADS_ASSIGN_OR_RETURN(const bool found, Contains(right, left, budget));
    return JinjaValue(found == (operation == "in"));
  }
  if (operation == "~") {
    RADLADS_ASSIGN_OR_RETURN(const std::string a, left.Print(budget));
    RADLADS_ASSIGN_OR_RETURN(const std::string b, right.Print(budget));
    return Joined(a, b, budget);
  }
  for (const JinjaValue* operand : {&left, &right}) {
    if (operand->is_undefined()) return InvalidArgument("\"", operand->undefined_name(), "\" is undefined");
  }
  if (left.is_real() && right.is_real()) {
    const bool whole = left.is_number() && right.is_number();
    const auto ordered = whole ? Ordered(operation, left.as_number(), right.as_number())
                               : Ordered(operation, left.as_real(), right.as_real());
    if (ordered) return JinjaValue(*ordered);
    return whole ? Arithmetic(operation, left.as_number(), right.as_number())
                 : RealArithmetic(operation, left.as_real(), right.as_real());
  }
  if (left.is_string() && right.is_string()) {
    if (operation == "+") return Joined(left.as_string(), right.as_string(), budget);
    if (!budget->Text(std::min(left.as_string().size(), right.as_string().size()))) return budget->Error();
    if (const auto ordered = Ordered(operation, left.as_string(), right.as_string())) return JinjaValue(*ordered);
  }
  if (left.is_list() && right.is_list() && operation == "+" && left.form() == right.form() &&
      (left.form() == Form::kPlain || left.form() == Form::kTuple)) {
    if (!ChargeJinjaItems(left.as_list().size() + right.as_list().size(), budget)) return budget->Error();
    JinjaValue::List items;
    items.reserve(left.as_list().size() + right.as_list().size());
    items = left.as_list();
    items.insert(items.end(), right.as_list().begin(), right.as_list().end());
    return JinjaValue(std::move(items), left.form());
  }
  // What Python does and the subset does not: lists in order, text times a number, text by a format.
  const auto repeats = [](const JinjaValue& a, const JinjaValue& b) { return (a.is_string() || a.is_list()) && b.is_number(); };
  if ((left.is_list() && right.is_list() && operation != "+" && Ordered(operation, 0, 0)) ||
      (operation == "*" && (repeats(left, right) || repeats(right, left))) || (operation == "%" && left.is_string())) {
    return Unimplemented("the operator ", operation, " of a ", left.type_name(), " and a ", right.type_name(),
                         " is outside the supported subset");
  }
  return InvalidArgument("the operator ", operation, " is given a ", left.type_name(), " and a ", right.type_name());
}

}  // namespace radlads
