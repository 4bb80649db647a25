#include "data/tokenizer/jinja.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/time/clock.h"
#include "base/status.h"
#include "data/tokenizer/jinja_functions.h"

namespace radlads {
namespace {

constexpr int kMaxValueDepth = 100;

class Renderer {
 public:
  Renderer(const JinjaValue::Dict& variables, const JinjaOptions& options) : options_(options), frames_{variables} {}

  absl::Status Run(const std::vector<JinjaStatement>& statements) {
    for (const JinjaStatement& statement : statements) {
      if (!budget_.Steps(1)) return At(statement.line, budget_.Error());
      RADLADS_RETURN_IF_ERROR(Execute(statement));
    }
    return absl::OkStatus();
  }

  std::string TakeOutput() { return std::move(output_); }

  absl::StatusOr<JinjaValue> Evaluate(const JinjaExpression& node) {
    absl::StatusOr<JinjaValue> value = EvaluateOptional(node);
    if (options_.strict_undefined && value.ok() && value->is_undefined()) {
      return InvalidArgument("line ", node.line, ": \"", value->undefined_name(), "\" is undefined");
    }
    return value;
  }

 private:
  using Kind = JinjaExpression::Kind;
  using Form = JinjaValue::Form;
  using Result = absl::StatusOr<JinjaValue>;

  absl::Status Execute(const JinjaStatement& statement) {
    switch (statement.kind) {
      case JinjaStatement::Kind::kText:
        return Write(statement.line, statement.text);
      case JinjaStatement::Kind::kOutput: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(*statement.expression));
        const auto text = value.Print(&budget_);
        if (!text.ok()) return At(statement.line, text.status());
        return Write(statement.line, *text);
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

  absl::Status Write(int line, const std::string& text) {
    if (!budget_.Text(text.size()) || !budget_.Bytes(text.size())) return At(line, budget_.Error());
    output_ += text;
    return absl::OkStatus();
  }

  absl::Status Set(const JinjaStatement& statement) {
    RADLADS_ASSIGN_OR_RETURN(JinjaValue value, EvaluateOptional(*statement.expression));
    const std::string& name = statement.names[0];
    if (value.depth() > kMaxValueDepth) {
      return InvalidArgument("line ", statement.line, ": \"", name, "\" is nested more than ",
                             kMaxValueDepth, " deep");
    }
    if (statement.attribute.empty()) {
      Assign(&frames_.back(), name, std::move(value));
      return absl::OkStatus();
    }
    JinjaValue target = Lookup(name);
    if (target.form() != Form::kNamespace) {
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
    auto all = JinjaItems(over, &budget_);
    if (!all.ok()) return At(statement.line, all.status());
    JinjaValue::List items;
    for (JinjaValue& item : *all) {
      if (!budget_.Steps(1)) return At(statement.line, budget_.Error());
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
      if (!budget_.Steps(1)) return At(statement.line, budget_.Error());
      frames_.emplace_back();
      absl::Status status = Bind(statement, items[i]);
      if (status.ok()) {
        JinjaValue::Dict loop = {
            {"index", JinjaValue(i + 1)},        {"index0", JinjaValue(i)},
            {"revindex", JinjaValue(count - i)}, {"revindex0", JinjaValue(count - i - 1)},
            {"first", JinjaValue(i == 0)},       {"last", JinjaValue(i == count - 1)},
            {"length", JinjaValue(count)},       {"depth", JinjaValue(int64_t{1})},
            {"depth0", JinjaValue(int64_t{0})}};
        if (i > 0) loop.emplace_back("previtem", items[i - 1]);
        if (i + 1 < count) loop.emplace_back("nextitem", items[i + 1]);
        Assign(&frames_.back(), "loop", JinjaValue(std::move(loop), Form::kLoop));
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

  JinjaValue Lookup(const std::string& name) {
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
      if (!budget_.Steps(frame->size() / 16)) break;
      for (const auto& [key, value] : *frame) {
        if (key == name) return value;
      }
    }
    return Global(name);
  }

  // What jinja2 defines everywhere, and transformers for chat templates.
  JinjaValue Global(const std::string& name) const {
    for (const char* function : {"range", "dict", "lipsum", "cycler", "joiner", "namespace"}) {
      if (name == function) return JinjaValue(JinjaValue::Function{name});
    }
    if (options_.chat && (name == "raise_exception" || name == "strftime_now")) {
      return JinjaValue(JinjaValue::Function{name});
    }
    return JinjaValue(JinjaValue::Undefined{name});
  }

  static absl::Status At(int line, const absl::Status& status) {
    if (status.message().substr(0, 5) == "line ") return status;
    return Annotate(status, "line " + std::to_string(line));
  }

  // Undefined where the template asks for that (a test, the default filter).
  Result EvaluateOptional(const JinjaExpression& node) {
    Result value = budget_.Steps(1) ? EvaluateNode(node) : Result(budget_.Error());
    if (!value.ok()) return At(node.line, value.status());
    if (options_.strict_undefined) {
      if (value->is_list()) budget_.Steps(value->as_list().size() / 16);
      value->MakeStrict();
    }
    if (budget_.spent()) return At(node.line, budget_.Error());
    return value;
  }

  Result EvaluateNode(const JinjaExpression& node) {
    switch (node.kind) {
      case Kind::kString:
        if (!budget_.String(node.text.size())) return budget_.Error();
        return JinjaValue(node.text);
      case Kind::kInteger:
        return JinjaValue(node.number);
      case Kind::kName:
        if (node.text == "true" || node.text == "True") return JinjaValue(true);
        if (node.text == "false" || node.text == "False") return JinjaValue(false);
        if (node.text == "none" || node.text == "None") return JinjaValue(nullptr);
        return Lookup(node.text);
      case Kind::kFloat:
        return JinjaValue(node.real);
      case Kind::kList: {
        RADLADS_ASSIGN_OR_RETURN(JinjaArguments items, EvaluateFrom(node, 0, /*optional=*/true));
        if (!ChargeJinjaItems(items.size(), &budget_)) return budget_.Error();
        return JinjaValue(std::move(items), node.text == "tuple" ? Form::kTuple : Form::kPlain);
      }
      case Kind::kDict: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments items, EvaluateFrom(node, 0, /*optional=*/true));
        if (!ChargeJinjaItems(2 * items.size(), &budget_) || !budget_.Steps(items.size() * items.size() / 64)) return budget_.Error();
        JinjaValue::Dict dict;
        for (size_t i = 0; i < items.size(); i += 2) {
          if (!items[i].is_string())
            return Unimplemented("a dict key of type ", items[i].type_name(),
                                 " is outside the supported subset");
          if (!budget_.String(items[i].as_string().size())) return budget_.Error();
          Assign(&dict, items[i].as_string(), items[i + 1]);
        }
        return JinjaValue(std::move(dict));
      }
      case Kind::kAttribute: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue object, Evaluate(*node.children[0]));
        return JinjaAttribute(object, node.text, &budget_);
      }
      case Kind::kIndex: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue object, Evaluate(*node.children[0]));
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue index, Evaluate(*node.children[1]));
        return JinjaMember(object, index, &budget_);
      }
      case Kind::kSlice: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments parts, EvaluateFrom(node, 0));
        return SliceJinja(parts[0], parts[1], parts[2], parts[3], &budget_);
      }
      case Kind::kCall:
        return Call(node);
      case Kind::kFilter: {
        const bool optional = node.text == "default" || node.text == "d";
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, optional ? EvaluateOptional(*node.children[0])
                                                                  : Evaluate(*node.children[0]));
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments arguments, EvaluateFrom(node, 1));
        RADLADS_ASSIGN_OR_RETURN(const JinjaKeywords keywords, EvaluateKeywords(node));
        if (node.text == "tojson" && !options_.chat) {
          return Unimplemented("the filter tojson, which escapes HTML here, is outside the supported subset");
        }
        return ApplyJinjaFilter(node.text, value, arguments, keywords, &budget_);
      }
      case Kind::kTest: {
        RADLADS_RETURN_IF_ERROR(NoKeywords(node));
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, EvaluateOptional(*node.children[0]));
        RADLADS_ASSIGN_OR_RETURN(const JinjaArguments arguments, EvaluateFrom(node, 1));
        RADLADS_ASSIGN_OR_RETURN(const bool result, ApplyJinjaTest(node.text, value, arguments, &budget_));
        return JinjaValue(result);
      }
      case Kind::kUnary:
        return Unary(node);
      case Kind::kBinary:
        return Binary(node);
      case Kind::kCondition: {
        RADLADS_ASSIGN_OR_RETURN(const JinjaValue test, Evaluate(*node.children[0]));
        if (test.Truth()) return EvaluateOptional(*node.children[1]);
        if (node.children[2] != nullptr) return EvaluateOptional(*node.children[2]);
        return JinjaValue();
      }
    }
    return JinjaValue();
  }

  // Children from `first` on, undefined ones where they are `optional`; a missing one (the bound of a slice) is None.
  absl::StatusOr<JinjaArguments> EvaluateFrom(const JinjaExpression& node, size_t first, bool optional = false) {
    JinjaArguments values;
    for (size_t i = first; i < node.children.size(); ++i) {
      if (node.children[i] == nullptr) {
        values.emplace_back(nullptr);
        continue;
      }
      Result value = optional ? EvaluateOptional(*node.children[i]) : Evaluate(*node.children[i]);
      if (!value.ok()) return value.status();
      values.push_back(*std::move(value));
    }
    return values;
  }

  static absl::Status NoKeywords(const JinjaExpression& node) {
    if (node.keywords.empty()) return absl::OkStatus();
    return Unimplemented("the keyword argument ", node.keywords[0].first, "= of ",
                         node.text.empty() ? "a call" : node.text,
                         " is outside the supported subset");
  }

  absl::StatusOr<JinjaKeywords> EvaluateKeywords(const JinjaExpression& node) {
    JinjaKeywords keywords;
    for (const auto& [name, expression] : node.keywords) {
      RADLADS_ASSIGN_OR_RETURN(JinjaValue value, Evaluate(*expression));
      Assign(&keywords, name, std::move(value));
    }
    return keywords;
  }

  Result Call(const JinjaExpression& node) {
    const JinjaExpression& callee = *node.children[0];
    if (callee.kind == Kind::kAttribute) {
      RADLADS_ASSIGN_OR_RETURN(const JinjaValue object, Evaluate(*callee.children[0]));
      RADLADS_ASSIGN_OR_RETURN(const JinjaArguments arguments, EvaluateFrom(node, 1));
      RADLADS_RETURN_IF_ERROR(NoKeywords(node));
      return CallJinjaMethod(callee.text, object, arguments, &budget_);
    }
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue function, EvaluateOptional(callee));
    if (function.is_undefined()) return InvalidArgument("\"", function.undefined_name(), "\" is undefined");
    if (!function.is_function()) return InvalidArgument("a ", function.type_name(), " is called");
    RADLADS_ASSIGN_OR_RETURN(const JinjaArguments arguments, EvaluateFrom(node, 1));
    const std::string& name = function.function_name();
    if (name == "namespace" || name == "dict") {
      if (!arguments.empty()) {
        return Unimplemented(name, " with a positional argument is outside the supported subset");
      }
      RADLADS_ASSIGN_OR_RETURN(JinjaKeywords members, EvaluateKeywords(node));
      const size_t count = members.size();
      if (!ChargeJinjaItems(4 * count, &budget_) || !budget_.Steps(count * count / 16)) return budget_.Error();
      return JinjaValue(std::move(members), name == "dict" ? Form::kPlain : Form::kNamespace);
    }
    RADLADS_RETURN_IF_ERROR(NoKeywords(node));
    if (name == "raise_exception") {
      const auto message =
          arguments.empty() ? absl::StatusOr<std::string>("") : arguments[0].Print(&budget_);
      if (budget_.spent()) return budget_.Error();
      return InvalidArgument("the template refuses these messages: ",
                             message.ok() ? *message : std::string("(no text)"));
    }
    if (name == "strftime_now") return StrftimeNow(arguments);
    if (name == "range") return Range(arguments);
    return Unimplemented("the function ", name, " is outside the supported subset");
  }

  // datetime.now().strftime(format): local time that names no zone.
  Result StrftimeNow(const JinjaArguments& arguments) const {
    if (arguments.size() != 1 || !arguments[0].is_string()) return InvalidArgument("strftime_now is given no format");
    const absl::Time now = options_.now.value_or(absl::Now());
    std::string format;
    const std::string& given = arguments[0].as_string();
    if (given.size() > 1024) return InvalidArgument("the format of strftime_now has more than 256 characters");
    for (size_t i = 0; i < given.size(); ++i) {
      const char directive = given[i] == '%' && i + 1 < given.size() ? given[i + 1] : '\0';
      if (directive == 'f') {
        format += absl::FormatTime("%E6f", now, absl::UTCTimeZone());
      } else if (directive == '%') {
        format += "%%";
      } else if (directive != 'z' && directive != 'Z') {
        format += given[i];
        continue;
      }
      ++i;
    }
    const std::time_t seconds = absl::ToTimeT(now);
    std::tm local{};
    localtime_r(&seconds, &local);
    std::string text(1024, '\0');
    if (format.size() > 256) return InvalidArgument("the format of strftime_now has more than 256 characters");
    text.resize(std::strftime(text.data(), text.size(), format.c_str(), &local));
    return JinjaValue(std::move(text));
  }

  Result Range(const JinjaArguments& arguments) {
    if (arguments.empty() || arguments.size() > 2 || !arguments.front().is_number() ||
        !arguments.back().is_number()) {
      return Unimplemented(
          "range with other arguments than one or two ints is outside the supported subset");
    }
    const int64_t first = arguments.size() == 2 ? arguments[0].as_number() : 0;
    const int64_t last = arguments.back().as_number();
    const uint64_t count = last > first ? static_cast<uint64_t>(last) - static_cast<uint64_t>(first) : 0;
    // The first is of any size; the second would overflow with it.
    if (!budget_.Steps(count) || !ChargeJinjaItems(count, &budget_)) return budget_.Error();
    JinjaValue::List items;
    items.reserve(count);
    for (int64_t i = first; i < last; ++i) items.emplace_back(i);
    return JinjaValue(std::move(items), Form::kRange);
  }

  Result Unary(const JinjaExpression& node) {
    RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, Evaluate(*node.children[0]));
    if (node.text == "not") return JinjaValue(!value.Truth());
    if (value.is_float()) return JinjaValue(node.text == "+" ? value.as_real() : -value.as_real());
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
    if (operation == "and" || operation == "or") return EvaluateOptional(*node.children[1]);
    RADLADS_ASSIGN_OR_RETURN(JinjaValue right, Evaluate(*node.children[1]));
    return JinjaOperation(operation, left, right, &budget_);
  }

  const JinjaOptions& options_;
  std::vector<JinjaValue::Dict> frames_;
  std::string output_;
  JinjaBudget budget_;
};

}  // namespace

absl::StatusOr<JinjaTemplate> JinjaTemplate::Parse(std::string_view source,
                                                   const JinjaOptions& options) {
  RADLADS_ASSIGN_OR_RETURN(std::vector<JinjaStatement> statements,
                           ParseJinja(source, options.whitespace));
  return JinjaTemplate(std::move(statements), options);
}

absl::StatusOr<std::string> JinjaTemplate::Render(const JinjaValue::Dict& variables) const {
  Renderer renderer(variables, options_);
  RADLADS_RETURN_IF_ERROR(renderer.Run(statements_));
  return renderer.TakeOutput();
}

absl::StatusOr<JinjaValue> ParsePythonLiteral(const std::string& text) {
  RADLADS_ASSIGN_OR_RETURN(const auto literal, ParsePythonLiteralSyntax(text));
  return Renderer({}, {}).Evaluate(*literal);
}

}  // namespace radlads
