#include "data/tokenizer/jinja.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/jinja_functions.h"

namespace radlads {
namespace {

constexpr int64_t kMaxSteps = 2'000'000;  // statements of one rendering
constexpr int kMaxValueDepth = 100;

class Renderer {
 public:
  Renderer(const JinjaValue::Dict& variables, bool strict_undefined)
      : strict_undefined_(strict_undefined), frames_{variables} {}

  absl::Status Run(const std::vector<JinjaStatement>& statements) {
    for (const JinjaStatement& statement : statements) {
      if (++steps_ > kMaxSteps)
        return InvalidArgument("the template runs for more than ", kMaxSteps, " statements");
      RADLADS_RETURN_IF_ERROR(Execute(statement));
      if (output_.size() > kMaxJinjaString)
        return InvalidArgument("the output grows beyond ", kMaxJinjaString, " bytes");
    }
    return absl::OkStatus();
  }

  std::string TakeOutput() { return std::move(output_); }

  absl::StatusOr<JinjaValue> Evaluate(const JinjaExpression& node) {
    absl::StatusOr<JinjaValue> value = EvaluateOptional(node);
    if (strict_undefined_ && value.ok() && value->is_undefined()) {
      return InvalidArgument("line ", node.line, ": \"", value->undefined_name(), "\" is undefined");
    }
    return value;
  }

 private:
  using Kind = JinjaExpression::Kind;
  using Result = absl::StatusOr<JinjaValue>;

  absl::Status Execute(const JinjaStatement& statement) {
    switch (statement.kind) {
      case JinjaStatement::Kind::kText:
        output_ += statement.text;
        return absl::OkStatus();
      case JinjaStatement::Kind::kOutput: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(*statement.expression));
        const auto text = value.Print();
        if (!text.ok()) return At(statement.line, text.status());
        output_ += *text;
        return absl::OkStatus();
      }
      case JinjaStatement::Kind::kIf: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue test, Evaluate(*statement.expression));
        return Run(test.Truth() ? statement.body : statement.else_body);
      }
      case JinjaStatement::Kind::kSet:
        return Set(statement);
      case JinjaStatement::Kind::kFor:
        return For(statement);
    }
    return absl::OkStatus();
  }

  absl::Status Set(const JinjaStatement& statement) {
    RADLADS_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(*statement.expression));
    const std::string& name = statement.names[0];
    if (value.depth() > kMaxValueDepth) {
      return InvalidArgument("line ", statement.line, ": \"", name, "\" is nested more than ",
                             kMaxValueDepth, " deep");
    }
    if (statement.attribute.empty()) {
      const JinjaExpression& made = *statement.expression;
      if (made.kind == Kind::kCall && made.children[0]->kind == Kind::kName &&
          made.children[0]->text == "namespace") {
        namespaces_.push_back(name);
      }
      Assign(&frames_.back(), name, std::move(value));
      return absl::OkStatus();
    }
    JinjaValue target = Lookup(name);
    if (std::find(namespaces_.begin(), namespaces_.end(), name) == namespaces_.end() ||
        !target.is_dict()) {
      return InvalidArgument("line ", statement.line, ": attribute ", statement.attribute, " of \"",
                             name, "\" is set, which is not a namespace");
    }
    // Keeps namespaces free of cycles.
    if (value.depth() > 0) {
      return Unimplemented("line ", statement.line, ": a ", value.type_name(),
                           " as attribute of a namespace is outside the supported subset");
    }
    Assign(target.mutable_dict(), statement.attribute, std::move(value));
    return absl::OkStatus();
  }

  absl::Status For(const JinjaStatement& statement) {
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue over, Evaluate(*statement.expression));
    auto all = JinjaItems(over);
    if (!all.ok()) return At(statement.line, all.status());
    JinjaValue::List items;
    for (JinjaValue& item : *all) {
      if (++steps_ > kMaxSteps)
        return InvalidArgument("the template runs for more than ", kMaxSteps, " statements");
      if (statement.filter == nullptr) {
        items.push_back(std::move(item));
        continue;
      }
      frames_.emplace_back();
      const absl::Status bound = Bind(statement, item);
      const Result keep = bound.ok() ? Evaluate(*statement.filter) : Result(bound);
      frames_.pop_back();
      if (!keep.ok()) return keep.status();
      if (keep->Truth()) items.push_back(std::move(item));
    }
    if (items.empty()) return Run(statement.else_body);
    const auto count = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < count; ++i) {
      frames_.emplace_back();
      absl::Status status = Bind(statement, items[i]);
      if (status.ok()) {
        JinjaValue::Dict loop = {
            {"index", JinjaValue(i + 1)},        {"index0", JinjaValue(i)},
            {"revindex", JinjaValue(count - i)}, {"revindex0", JinjaValue(count - i - 1)},
            {"first", JinjaValue(i == 0)},       {"last", JinjaValue(i == count - 1)},
            {"length", JinjaValue(count)}};
        if (i > 0) loop.emplace_back("previtem", items[i - 1]);
        if (i + 1 < count) loop.emplace_back("nextitem", items[i + 1]);
        Assign(&frames_.back(), "loop", JinjaValue(std::move(loop)));
        status = Run(statement.body);
      }
      frames_.pop_back();
      RADLADS_RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  absl::Status Bind(const JinjaStatement& statement, const JinjaValue& item) {
    const std::vector<std::string>& names = statement.names;
    if (names.size() == 1) {
      Assign(&frames_.back(), names[0], item);
      return absl::OkStatus();
    }
    if (!item.is_list() || item.as_list().size() != names.size()) {
      return InvalidArgument("line ", statement.line, ": an item of the loop is a ",
                             item.type_name(), ", expected ", names.size(), " values for its ",
                             names.size(), " names");
    }
    for (size_t i = 0; i < names.size(); ++i) Assign(&frames_.back(), names[i], item.as_list()[i]);
    return absl::OkStatus();
  }

  static void Assign(JinjaValue::Dict* dict, const std::string& name, JinjaValue value) {
    for (auto& [key, old] : *dict) {
      if (key != name) continue;
      old = std::move(value);
      return;
    }
    dict->emplace_back(name, std::move(value));
  }

  JinjaValue Lookup(const std::string& name) const {
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
      for (const auto& [key, value] : *frame) {
        if (key == name) return value;
      }
    }
    return JinjaValue(JinjaValue::Undefined{name});
  }

  static absl::Status At(int line, const absl::Status& status) {
    if (status.message().substr(0, 5) == "line ") return status;
    return Annotate(status, "line " + std::to_string(line));
  }

  // Undefined where the template asks for that (a test, the default filter).
  Result EvaluateOptional(const JinjaExpression& node) {
    Result value = EvaluateNode(node);
    if (!value.ok()) return At(node.line, value.status());
    return value;
  }

  Result EvaluateNode(const JinjaExpression& node) {
    switch (node.kind) {
      case Kind::kString:
        return JinjaValue(node.text);
      case Kind::kInteger:
        return JinjaValue(node.number);
      case Kind::kName:
        if (node.text == "true" || node.text == "True") return JinjaValue(true);
        if (node.text == "false" || node.text == "False") return JinjaValue(false);
        if (node.text == "none" || node.text == "None") return JinjaValue(nullptr);
        return Lookup(node.text);
      case Kind::kList: {
        RADLADS_ASSIGN_OR_RETURN(JinjaArguments items, EvaluateFrom(node, 0));
        return JinjaValue(std::move(items));
      }
      case Kind::kDict: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments items, EvaluateFrom(node, 0));
        JinjaValue::Dict dict;
        for (size_t i = 0; i < items.size(); i += 2) {
          if (!items[i].is_string())
            return Unimplemented("a dict key of type ", items[i].type_name(),
                                 " is outside the supported subset");
          Assign(&dict, items[i].as_string(), items[i + 1]);
        }
        return JinjaValue(std::move(dict));
      }
      case Kind::kAttribute: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue object, Evaluate(*node.children[0]));
        return Member(object, JinjaValue(node.text));
      }
      case Kind::kIndex: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue object, Evaluate(*node.children[0]));
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue index, Evaluate(*node.children[1]));
        return Member(object, index);
      }
      case Kind::kSlice: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments parts, EvaluateFrom(node, 0));
        return SliceJinja(parts[0], parts[1], parts[2], parts[3]);
      }
      case Kind::kCall:
        return Call(node);
      case Kind::kFilter: {
        RADLADS_RETURN_IF_ERROR(NoKeywords(node));
        const bool optional = node.text == "default" || node.text == "d";
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, optional ? EvaluateOptional(*node.children[0])
                                                                  : Evaluate(*node.children[0]));
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments arguments, EvaluateFrom(node, 1));
        return ApplyJinjaFilter(node.text, value, arguments);
      }
      case Kind::kTest: {
        RADLADS_RETURN_IF_ERROR(NoKeywords(node));
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, EvaluateOptional(*node.children[0]));
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments arguments, EvaluateFrom(node, 1));
        RADLADS_ASSIGN_OR_RETURN(const bool result, ApplyJinjaTest(node.text, value, arguments));
        return JinjaValue(result);
      }
      case Kind::kUnary:
        return Unary(node);
      case Kind::kBinary:
        return Binary(node);
      case Kind::kCondition: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue test, Evaluate(*node.children[0]));
        if (test.Truth()) return Evaluate(*node.children[1]);
        if (node.children[2] != nullptr) return Evaluate(*node.children[2]);
        return JinjaValue();
      }
    }
    return JinjaValue();
  }

  // Children from `first` on; a missing one (the bound of a slice) is None.
  absl::StatusOr<JinjaArguments> EvaluateFrom(const JinjaExpression& node, size_t first) {
    JinjaArguments values;
    for (size_t i = first; i < node.children.size(); ++i) {
      if (node.children[i] == nullptr) {
        values.emplace_back(nullptr);
        continue;
      }
      RADLADS_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(*node.children[i]));
      values.push_back(std::move(value));
    }
    return values;
  }

  static absl::Status NoKeywords(const JinjaExpression& node) {
    if (node.keywords.empty()) return absl::OkStatus();
    return Unimplemented("the keyword argument ", node.keywords[0].first, "= of ",
                         node.text.empty() ? "a call" : node.text,
                         " is outside the supported subset");
  }

  static Result Member(const JinjaValue& object, const JinjaValue& key) {
    if (object.is_undefined())
      return InvalidArgument("\"", object.undefined_name(), "\" is undefined");
    if (object.is_dict() && key.is_string()) {
      if (const JinjaValue* found = object.Find(key.as_string())) return *found;
    }
    if ((object.is_list() || object.is_string()) && key.is_number()) {
      RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(object));
      const auto size = static_cast<int64_t>(items.size());
      const int64_t index = key.as_number() < 0 ? key.as_number() + size : key.as_number();
      if (index >= 0 && index < size) return items[index];
    }
    auto name = key.Print();
    return JinjaValue(
        JinjaValue::Undefined{name.ok() ? *std::move(name) : std::string("a member")});
  }

  Result Call(const JinjaExpression& node) {
    const JinjaExpression& callee = *node.children[0];
    RADLADS_ASSIGN_OR_RETURN(JinjaArguments arguments, EvaluateFrom(node, 1));
    if (callee.kind == Kind::kName && callee.text == "namespace") {
      if (!arguments.empty())
        return Unimplemented(
            "namespace with a positional argument is outside the supported subset");
      JinjaValue::Dict dict;
      for (const auto& [name, expression] : node.keywords) {
        RADLADS_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(*expression));
        Assign(&dict, name, std::move(value));
      }
      return JinjaValue(std::move(dict));
    }
    RADLADS_RETURN_IF_ERROR(NoKeywords(node));
    if (callee.kind == Kind::kAttribute) {
      RADLADS_ASSIGN_OR_RETURN(const JinjaValue object, Evaluate(*callee.children[0]));
      return CallJinjaMethod(callee.text, object, arguments);
    }
    if (callee.kind == Kind::kName && callee.text == "raise_exception") {
      const auto message =
          arguments.empty() ? absl::StatusOr<std::string>("") : arguments[0].Print();
      return InvalidArgument("the template refuses these messages: ",
                             message.ok() ? *message : std::string("(no text)"));
    }
    if (callee.kind == Kind::kName && callee.text == "range") return Range(arguments);
    return Unimplemented("the function ", callee.text.empty() ? "of an expression" : callee.text,
                         " is outside the supported subset");
  }

  static Result Range(const JinjaArguments& arguments) {
    if (arguments.empty() || arguments.size() > 2 || !arguments.front().is_number() ||
        !arguments.back().is_number()) {
      return Unimplemented(
          "range with other arguments than one or two ints is outside the supported subset");
    }
    const int64_t first = arguments.size() == 2 ? arguments[0].as_number() : 0;
    const int64_t last = arguments.back().as_number();
    if (last > first &&
        static_cast<uint64_t>(last) - static_cast<uint64_t>(first) > kMaxJinjaList) {
      return InvalidArgument("a range of more than ", kMaxJinjaList, " numbers");
    }
    JinjaValue::List items;
    for (int64_t i = first; i < last; ++i) items.emplace_back(i);
    return JinjaValue(std::move(items));
  }

  Result Unary(const JinjaExpression& node) {
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(*node.children[0]));
    if (node.text == "not") return JinjaValue(!value.Truth());
    if (!value.is_number())
      return InvalidArgument("the operator ", node.text, " is given a ", value.type_name());
    if (node.text == "+") return JinjaValue(value.as_number());
    return JinjaValue(static_cast<int64_t>(0 - static_cast<uint64_t>(value.as_number())));
  }

  Result Binary(const JinjaExpression& node) {
    const std::string& operation = node.text;
    RADLADS_ASSIGN_OR_RETURN(JinjaValue left, Evaluate(*node.children[0]));
    if (operation == "and" && !left.Truth()) return left;
    if (operation == "or" && left.Truth()) return left;
    RADLADS_ASSIGN_OR_RETURN(JinjaValue right, Evaluate(*node.children[1]));
    if (operation == "and" || operation == "or") return right;
    if (operation == "==") return JinjaValue(left.Equals(right));
    if (operation == "!=") return JinjaValue(!left.Equals(right));
    if (operation == "in" || operation == "not in") {
      RADLADS_ASSIGN_OR_RETURN(const bool found, Contains(right, left));
      return JinjaValue(found == (operation == "in"));
    }
    if (operation == "~") {
      RADLADS_ASSIGN_OR_RETURN(const std::string a, left.Print());
      RADLADS_ASSIGN_OR_RETURN(const std::string b, right.Print());
      return Joined(a, b);
    }
    for (const JinjaValue* operand : {&left, &right}) {
      if (operand->is_undefined())
        return InvalidArgument("\"", operand->undefined_name(), "\" is undefined");
    }
    if (left.is_number() && right.is_number())
      return Arithmetic(operation, left.as_number(), right.as_number());
    if (left.is_string() && right.is_string()) {
      const std::string &a = left.as_string(), &b = right.as_string();
      if (operation == "+") return Joined(a, b);
      if (operation == "<") return JinjaValue(a < b);
      if (operation == ">") return JinjaValue(a > b);
      if (operation == "<=") return JinjaValue(a <= b);
      if (operation == ">=") return JinjaValue(a >= b);
    }
    if (left.is_list() && right.is_list() && operation == "+") {
      JinjaValue::List items = left.as_list();
      items.insert(items.end(), right.as_list().begin(), right.as_list().end());
      if (items.size() > kMaxJinjaList)
        return InvalidArgument("a list grows beyond ", kMaxJinjaList, " items");
      return JinjaValue(std::move(items));
    }
    return InvalidArgument("the operator ", operation, " is given a ", left.type_name(), " and a ",
                           right.type_name());
  }

  static Result Joined(const std::string& a, const std::string& b) {
    if (a.size() + b.size() > kMaxJinjaString)
      return InvalidArgument("a string grows beyond ", kMaxJinjaString, " bytes");
    return JinjaValue(a + b);
  }

  static absl::StatusOr<bool> Contains(const JinjaValue& container, const JinjaValue& item) {
    if (container.is_string()) {
      if (!item.is_string())
        return InvalidArgument("a ", item.type_name(), " is looked for in a str");
      return container.as_string().find(item.as_string()) != std::string::npos;
    }
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue::List items, JinjaItems(container));
    return std::any_of(items.begin(), items.end(),
                       [&](const JinjaValue& other) { return other.Equals(item); });
  }

  static Result Arithmetic(const std::string& operation, int64_t a, int64_t b) {
    if (operation == "<") return JinjaValue(a < b);
    if (operation == ">") return JinjaValue(a > b);
    if (operation == "<=") return JinjaValue(a <= b);
    if (operation == ">=") return JinjaValue(a >= b);
    int64_t result = 0;
    bool overflow = false;
    if (operation == "+") {
      overflow = __builtin_add_overflow(a, b, &result);
    } else if (operation == "-") {
      overflow = __builtin_sub_overflow(a, b, &result);
    } else if (operation == "*") {
      overflow = __builtin_mul_overflow(a, b, &result);
    } else {
      if (b == 0) return InvalidArgument("division by zero");
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

  const bool strict_undefined_;
  std::vector<JinjaValue::Dict> frames_;
  std::vector<std::string> namespaces_;  // names that were set to namespace(...)
  std::string output_;
  int64_t steps_ = 0;
};

}  // namespace

absl::StatusOr<JinjaTemplate> JinjaTemplate::Parse(std::string_view source,
                                                   const JinjaOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(std::vector<JinjaStatement> statements,
                           ParseJinja(source, options.whitespace));
  return JinjaTemplate(std::move(statements), options.strict_undefined);
}

absl::StatusOr<std::string> JinjaTemplate::Render(const JinjaValue::Dict& variables) const {
  Renderer renderer(variables, strict_undefined_);
  RADLADS_RETURN_IF_ERROR(renderer.Run(statements_));
  return renderer.TakeOutput();
}

absl::StatusOr<JinjaValue> JinjaTemplate::Evaluate(const JinjaValue::Dict& variables) const {
  if (statements_.size() == 1 && statements_[0].kind == JinjaStatement::Kind::kOutput) {
    return Renderer(variables, strict_undefined_).Evaluate(*statements_[0].expression);
  }
  RADLADS_ASSIGN_OR_RETURN(std::string text, Render(variables));
  return JinjaValue(std::move(text));
}

}  // namespace radlads
