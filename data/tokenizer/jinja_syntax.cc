#include "data/tokenizer/jinja_syntax.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

using Expression = std::unique_ptr<JinjaExpression>;
using Kind = JinjaExpression::Kind;
using TokenKind = JinjaToken::Kind;

constexpr int kMaxDepth = 200;  // of nested expressions and blocks

class Parser {
 public:
  explicit Parser(std::vector<JinjaToken> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<std::vector<JinjaStatement>> Run() {
    std::vector<JinjaStatement> body;
    std::string end;
    RADLADS_RETURN_IF_ERROR(Body({}, &body, &end));
    return body;
  }

  // The expression of one output tag, {{ ... }}, which is all that the tokens are.
  absl::StatusOr<Expression> RunExpression() {
    RADLADS_RETURN_IF_ERROR(Take(TokenKind::kOutputBegin, "{{"));
    RADLADS_ASSIGN_OR_RETURN(Expression expression, Condition());
    RADLADS_RETURN_IF_ERROR(Take(TokenKind::kOutputEnd, "}}"));
    RADLADS_RETURN_IF_ERROR(Take(TokenKind::kEnd, "the end"));
    return expression;
  }

 private:
  const JinjaToken& Now() const { return tokens_[next_]; }
  const JinjaToken& After() const { return tokens_[std::min(next_ + 1, tokens_.size() - 1)]; }
  bool Is(TokenKind kind) const { return Now().kind == kind; }
  bool IsOperator(std::string_view text) const {
    return Is(TokenKind::kOperator) && Now().text == text;
  }
  bool IsName(std::string_view text) const { return Is(TokenKind::kName) && Now().text == text; }
  void Step() {
    if (next_ + 1 < tokens_.size()) ++next_;
  }
  bool TakeOperator(std::string_view text) { return IsOperator(text) && (Step(), true); }
  bool TakeName(std::string_view text) { return IsName(text) && (Step(), true); }

  std::string Found() const {
    switch (Now().kind) {
      case TokenKind::kText:
        return "text";
      case TokenKind::kBlockBegin:
        return "{%";
      case TokenKind::kBlockEnd:
        return "%}";
      case TokenKind::kOutputBegin:
        return "{{";
      case TokenKind::kOutputEnd:
        return "}}";
      case TokenKind::kEnd:
        return "the end of the template";
      default:
        return "\"" + Now().text + "\"";
    }
  }
  absl::Status Expected(std::string_view what) const {
    return InvalidArgument("line ", Now().line, ": found ", Found(), ", expected ", what);
  }
  template <typename... Args>
  absl::Status Outside(const Args&... args) const {
    return Unimplemented("line ", Now().line, ": ", args..., " is outside the supported subset");
  }
  absl::Status Operator(std::string_view text) {
    return TakeOperator(text) ? absl::OkStatus() : Expected("\"" + std::string(text) + "\"");
  }
  absl::Status Take(TokenKind kind, std::string_view what) {
    if (!Is(kind)) return Expected(what);
    Step();
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Name() {
    if (!Is(TokenKind::kName)) return Expected("a name");
    std::string name = Now().text;
    Step();
    return name;
  }
  absl::Status EndBlock() { return Take(TokenKind::kBlockEnd, "%}"); }

  // Counts nesting for as long as it lives.
  class Depth {
   public:
    explicit Depth(int* depth) : depth_(depth) { ++*depth_; }
    ~Depth() { --*depth_; }

   private:
    int* depth_;
  };
  absl::Status CheckDepth() const {
    if (depth_ <= kMaxDepth) return absl::OkStatus();
    return InvalidArgument("line ", Now().line, ": nested more than ", kMaxDepth, " deep");
  }

  // Statements up to a block that starts with one of `ends`, whose name is taken and put into *end;
  // with no `ends`, up to the end of the template.
  absl::Status Body(std::initializer_list<std::string_view> ends, std::vector<JinjaStatement>* body,
                    std::string* end) {
    const Depth depth(&depth_);
    RADLADS_RETURN_IF_ERROR(CheckDepth());
    while (true) {
      JinjaStatement statement;
      statement.line = Now().line;
      if (Is(TokenKind::kEnd)) {
        if (ends.size() == 0) return absl::OkStatus();
        return Expected("{% " + std::string(*(ends.end() - 1)) + " %}");
      }
      if (Is(TokenKind::kText)) {
        statement.kind = JinjaStatement::Kind::kText;
        statement.text = Now().text;
        Step();
      } else if (Is(TokenKind::kOutputBegin)) {
        Step();
        statement.kind = JinjaStatement::Kind::kOutput;
        RADLADS_ASSIGN_OR_RETURN(statement.expression, Condition());
        RADLADS_RETURN_IF_ERROR(Take(TokenKind::kOutputEnd, "}}"));
      } else {
        RADLADS_RETURN_IF_ERROR(Take(TokenKind::kBlockBegin, "a tag"));
        if (std::find(ends.begin(), ends.end(), Now().text) != ends.end() && Is(TokenKind::kName)) {
          RADLADS_ASSIGN_OR_RETURN(*end, Name());
          return absl::OkStatus();
        }
        if (TakeName("generation")) {  // marks what the assistant says; prints its body
          RADLADS_RETURN_IF_ERROR(EndBlock());
          std::string ignored;
          RADLADS_RETURN_IF_ERROR(Body({"endgeneration"}, body, &ignored));
          RADLADS_RETURN_IF_ERROR(EndBlock());
          continue;
        }
        RADLADS_RETURN_IF_ERROR(Block(&statement));
      }
      body->push_back(std::move(statement));
    }
  }

  absl::Status Block(JinjaStatement* statement) {
    if (TakeName("if")) return If(statement);
    if (TakeName("for")) return For(statement);
    if (TakeName("set")) return Set(statement);
    if (!Is(TokenKind::kName)) return Expected("the name of a statement");
    if (Now().text.rfind("end", 0) == 0 || Now().text == "else" || Now().text == "elif")
      return Expected("another statement");
    return Outside("the statement {% ", Now().text, " %}");
  }

  absl::Status If(JinjaStatement* statement) {
    statement->kind = JinjaStatement::Kind::kIf;
    RADLADS_ASSIGN_OR_RETURN(statement->expression, Condition());
    RADLADS_RETURN_IF_ERROR(EndBlock());
    std::string end;
    RADLADS_RETURN_IF_ERROR(Body({"elif", "else", "endif"}, &statement->body, &end));
    if (end == "elif") {
      const Depth depth(&depth_);
      RADLADS_RETURN_IF_ERROR(CheckDepth());
      JinjaStatement other;
      other.line = Now().line;
      RADLADS_RETURN_IF_ERROR(If(&other));
      statement->else_body.push_back(std::move(other));
      return absl::OkStatus();
    }
    if (end == "else") {
      RADLADS_RETURN_IF_ERROR(EndBlock());
      RADLADS_RETURN_IF_ERROR(Body({"endif"}, &statement->else_body, &end));
    }
    return EndBlock();
  }

  absl::Status For(JinjaStatement* statement) {
    statement->kind = JinjaStatement::Kind::kFor;
    do {
      RADLADS_ASSIGN_OR_RETURN(std::string name, Name());
      statement->names.push_back(std::move(name));
    } while (TakeOperator(","));
    if (!TakeName("in")) return Expected("\"in\"");
    RADLADS_ASSIGN_OR_RETURN(statement->expression, Or());
    if (TakeName("if")) {
      RADLADS_ASSIGN_OR_RETURN(statement->filter, Condition());
    }
    if (IsName("recursive")) return Outside("{% for ... recursive %}");
    RADLADS_RETURN_IF_ERROR(EndBlock());
    std::string end;
    RADLADS_RETURN_IF_ERROR(Body({"else", "endfor"}, &statement->body, &end));
    if (end == "else") {
      RADLADS_RETURN_IF_ERROR(EndBlock());
      RADLADS_RETURN_IF_ERROR(Body({"endfor"}, &statement->else_body, &end));
    }
    return EndBlock();
  }

  absl::Status Set(JinjaStatement* statement) {
    statement->kind = JinjaStatement::Kind::kSet;
    RADLADS_ASSIGN_OR_RETURN(std::string name, Name());
    statement->names.push_back(std::move(name));
    if (TakeOperator(".")) {
      RADLADS_ASSIGN_OR_RETURN(statement->attribute, Name());
    }
    if (Is(TokenKind::kBlockEnd)) return Outside("{% set ... %} with a body");
    if (IsOperator(",")) return Outside("{% set %} of more than one name");
    RADLADS_RETURN_IF_ERROR(Operator("="));
    RADLADS_ASSIGN_OR_RETURN(statement->expression, Condition());
    return EndBlock();
  }

  Expression Make(Kind kind, std::string text = "") const {
    auto node = std::make_unique<JinjaExpression>();
    node->kind = kind;
    node->line = Now().line;
    node->text = std::move(text);
    return node;
  }

  static Expression Binary(Expression left, std::string operation, Expression right) {
    auto node = std::make_unique<JinjaExpression>();
    node->kind = Kind::kBinary;
    node->line = left->line;
    node->text = std::move(operation);
    node->children.push_back(std::move(left));
    node->children.push_back(std::move(right));
    return node;
  }

  absl::StatusOr<Expression> Condition() {
    const Depth depth(&depth_);
    RADLADS_RETURN_IF_ERROR(CheckDepth());
    RADLADS_ASSIGN_OR_RETURN(Expression value, Or());
    while (TakeName("if")) {
      Expression node = Make(Kind::kCondition);
      RADLADS_ASSIGN_OR_RETURN(Expression test, Or());
      Expression other;
      if (TakeName("else")) {
        RADLADS_ASSIGN_OR_RETURN(other, Condition());
      }
      node->children.push_back(std::move(test));
      node->children.push_back(std::move(value));
      node->children.push_back(std::move(other));
      value = std::move(node);
    }
    return value;
  }

  absl::StatusOr<Expression> Or() {
    RADLADS_ASSIGN_OR_RETURN(Expression left, And());
    while (TakeName("or")) {
      RADLADS_ASSIGN_OR_RETURN(Expression right, And());
      left = Binary(std::move(left), "or", std::move(right));
    }
    return left;
  }

  absl::StatusOr<Expression> And() {
    RADLADS_ASSIGN_OR_RETURN(Expression left, Not());
    while (TakeName("and")) {
      RADLADS_ASSIGN_OR_RETURN(Expression right, Not());
      left = Binary(std::move(left), "and", std::move(right));
    }
    return left;
  }

  absl::StatusOr<Expression> Not() {
    const Depth depth(&depth_);
    RADLADS_RETURN_IF_ERROR(CheckDepth());
    if (!TakeName("not")) return Comparison();
    Expression node = Make(Kind::kUnary, "not");
    RADLADS_ASSIGN_OR_RETURN(Expression operand, Not());
    node->children.push_back(std::move(operand));
    return node;
  }

  absl::StatusOr<Expression> Comparison() {
    RADLADS_ASSIGN_OR_RETURN(Expression left, Sum());
    bool compared = false;
    while (true) {
      std::string operation;
      if (Is(TokenKind::kOperator)) {
        for (const char* candidate : {"==", "!=", "<", ">", "<=", ">="}) {
          if (Now().text == candidate) operation = candidate;
        }
      } else if (IsName("in")) {
        operation = "in";
      } else if (IsName("not") && After().kind == TokenKind::kName && After().text == "in") {
        Step();
        operation = "not in";
      }
      if (operation.empty()) return left;
      if (compared) return Outside("a chain of comparisons");
      compared = true;
      Step();
      RADLADS_ASSIGN_OR_RETURN(Expression right, Sum());
      left = Binary(std::move(left), operation, std::move(right));
    }
  }

  absl::StatusOr<Expression> Sum() {
    RADLADS_ASSIGN_OR_RETURN(Expression left, Concatenation());
    while (IsOperator("+") || IsOperator("-")) {
      const std::string operation = Now().text;
      Step();
      RADLADS_ASSIGN_OR_RETURN(Expression right, Concatenation());
      left = Binary(std::move(left), operation, std::move(right));
    }
    return left;
  }

  absl::StatusOr<Expression> Concatenation() {
    RADLADS_ASSIGN_OR_RETURN(Expression left, Product());
    while (TakeOperator("~")) {
      RADLADS_ASSIGN_OR_RETURN(Expression right, Product());
      left = Binary(std::move(left), "~", std::move(right));
    }
    return left;
  }

  absl::StatusOr<Expression> Product() {
    RADLADS_ASSIGN_OR_RETURN(Expression left, Unary());
    while (true) {
      if (IsOperator("**")) return Outside("the operator ", Now().text);
      if (!IsOperator("*") && !IsOperator("/") && !IsOperator("//") && !IsOperator("%")) return left;
      const std::string operation = Now().text;
      Step();
      RADLADS_ASSIGN_OR_RETURN(Expression right, Unary());
      left = Binary(std::move(left), operation, std::move(right));
    }
  }

  absl::StatusOr<Expression> Unary() {
    const Depth depth(&depth_);
    RADLADS_RETURN_IF_ERROR(CheckDepth());
    if (IsOperator("-") || IsOperator("+")) {
      Expression node = Make(Kind::kUnary, Now().text);
      Step();
      RADLADS_ASSIGN_OR_RETURN(Expression operand, Unary());
      node->children.push_back(std::move(operand));
      return node;
    }
    RADLADS_ASSIGN_OR_RETURN(Expression value, Primary());
    return Postfix(std::move(value));
  }

  absl::StatusOr<Expression> Primary() {
    if (Is(TokenKind::kString)) {
      Expression node = Make(Kind::kString);
      for (; Is(TokenKind::kString); Step()) node->text += Now().text;
      return node;
    }
    if (Is(TokenKind::kInteger)) {
      Expression node = Make(Kind::kInteger);
      node->number = std::stoll(Now().text);
      Step();
      return node;
    }
    if (Is(TokenKind::kFloat)) {
      Expression node = Make(Kind::kFloat);
      node->real = std::strtod(Now().text.c_str(), nullptr);
      Step();
      return node;
    }
    if (Is(TokenKind::kName)) {
      Expression node = Make(Kind::kName, Now().text);
      Step();
      return node;
    }
    if (TakeOperator("(")) return Parenthesized();
    if (IsOperator("[") || IsOperator("{")) {
      const bool list = IsOperator("[");
      const std::string_view close = list ? "]" : "}";
      Expression node = Make(list ? Kind::kList : Kind::kDict);
      Step();
      while (!IsOperator(close)) {
        RADLADS_ASSIGN_OR_RETURN(Expression item, Condition());
        node->children.push_back(std::move(item));
        if (!list) {
          RADLADS_RETURN_IF_ERROR(Operator(":"));
          RADLADS_ASSIGN_OR_RETURN(Expression value, Condition());
          node->children.push_back(std::move(value));
        }
        if (!TakeOperator(",")) break;
      }
      RADLADS_RETURN_IF_ERROR(Operator(close));
      return node;
    }
    return Expected("an expression");
  }

  // After "(": an expression, or a tuple.
  absl::StatusOr<Expression> Parenthesized() {
    Expression tuple = Make(Kind::kList, "tuple");
    bool comma = false;
    while (!IsOperator(")")) {
      RADLADS_ASSIGN_OR_RETURN(Expression item, Condition());
      tuple->children.push_back(std::move(item));
      comma = TakeOperator(",");
      if (!comma) break;
    }
    RADLADS_RETURN_IF_ERROR(Operator(")"));
    if (tuple->children.size() == 1 && !comma) return std::move(tuple->children[0]);
    return tuple;
  }

  absl::StatusOr<Expression> Postfix(Expression value) {
    for (int links = 0;; ++links) {
      if (links > kMaxDepth)
        return InvalidArgument("line ", Now().line, ": an expression of more than ", kMaxDepth,
                               " links");
      Expression node;
      if (TakeOperator(".")) {
        node = Make(Kind::kAttribute);
        RADLADS_ASSIGN_OR_RETURN(node->text, Name());
        node->children.push_back(std::move(value));
      } else if (TakeOperator("[")) {
        RADLADS_ASSIGN_OR_RETURN(node, Subscript(std::move(value)));
      } else if (IsOperator("(")) {
        node = Make(Kind::kCall);
        node->children.push_back(std::move(value));
        RADLADS_RETURN_IF_ERROR(Arguments(node.get()));
      } else if (TakeOperator("|")) {
        node = Make(Kind::kFilter);
        RADLADS_ASSIGN_OR_RETURN(node->text, Name());
        node->children.push_back(std::move(value));
        if (IsOperator("(")) RADLADS_RETURN_IF_ERROR(Arguments(node.get()));
      } else if (TakeName("is")) {
        const bool negated = TakeName("not");
        node = Make(Kind::kTest);
        RADLADS_ASSIGN_OR_RETURN(node->text, Name());
        node->children.push_back(std::move(value));
        if (IsOperator("(")) {
          RADLADS_RETURN_IF_ERROR(Arguments(node.get()));
        } else if (Is(TokenKind::kString) || Is(TokenKind::kInteger) || Is(TokenKind::kFloat) || IsOperator("[")) {
          RADLADS_ASSIGN_OR_RETURN(Expression argument, Primary());
          node->children.push_back(std::move(argument));
        }
        if (negated) {
          Expression negation = Make(Kind::kUnary, "not");
          negation->children.push_back(std::move(node));
          node = std::move(negation);
        }
      } else {
        return value;
      }
      value = std::move(node);
    }
  }

  // After "[": an index or a slice.
  absl::StatusOr<Expression> Subscript(Expression value) {
    Expression node = Make(Kind::kIndex);
    node->children.push_back(std::move(value));
    for (int part = 0; part < 3; ++part) {
      Expression bound;
      if (!IsOperator(":") && !IsOperator("]")) {
        RADLADS_ASSIGN_OR_RETURN(bound, Condition());
      }
      node->children.push_back(std::move(bound));
      if (!TakeOperator(":")) break;
      node->kind = Kind::kSlice;
    }
    if (node->kind == Kind::kIndex && node->children[1] == nullptr) return Expected("an index");
    if (node->kind == Kind::kSlice) node->children.resize(4);
    RADLADS_RETURN_IF_ERROR(Operator("]"));
    return node;
  }

  absl::Status Arguments(JinjaExpression* call) {
    RADLADS_RETURN_IF_ERROR(Operator("("));
    while (!IsOperator(")")) {
      if (IsOperator("*") || IsOperator("**")) return Outside("an argument with ", Now().text);
      const bool keyword =
          Is(TokenKind::kName) && After().kind == TokenKind::kOperator && After().text == "=";
      std::string name;
      if (keyword) {
        RADLADS_ASSIGN_OR_RETURN(name, Name());
        Step();
      }
      RADLADS_ASSIGN_OR_RETURN(Expression argument, Condition());
      if (keyword) {
        call->keywords.emplace_back(std::move(name), std::move(argument));
      } else {
        call->children.push_back(std::move(argument));
      }
      if (!TakeOperator(",")) break;
    }
    return Operator(")");
  }

  std::vector<JinjaToken> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
};

// Whether `token` may stand behind `before` in a literal of Python: there are no names but three, and no operators but
// signs of numbers.
bool FitsLiteral(const JinjaToken& before, const JinjaToken& token) {
  const auto is = [](const JinjaToken& t, std::string_view operators) {
    return t.kind == TokenKind::kOperator && t.text.size() == 1 && operators.find(t.text[0]) != std::string_view::npos;
  };
  const bool begins = before.kind == TokenKind::kOutputBegin || is(before, "[({,:");
  switch (token.kind) {
    case TokenKind::kString:
      return begins || before.kind == TokenKind::kString;
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return begins || is(before, "+-");
    case TokenKind::kName:
      return begins && (token.text == "True" || token.text == "False" || token.text == "None");
    case TokenKind::kOperator:
      return is(token, "[({+-") ? begins : is(token, "])},:") && !is(before, "+-");
    default:
      return token.kind == TokenKind::kOutputEnd && !begins;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<JinjaExpression>> ParsePythonLiteralSyntax(std::string_view text) {
  const JinjaWhitespace whitespace = {.trim_blocks = false, .lstrip_blocks = false, .keep_trailing_newline = true};
  const std::string source = "{{ " + std::string(text) + "\n}}";
  RADLADS_ASSIGN_OR_RETURN(auto tokens, TokenizeJinja(source, whitespace, /*max_tag_tokens=*/1'000'000));
  for (size_t i = 1; i + 1 < tokens.size(); ++i) {
    if (!FitsLiteral(tokens[i - 1], tokens[i])) {
      return InvalidArgument("found ", tokens[i].text.empty() ? "an end" : tokens[i].text, ", expected a literal of Python");
    }
  }
  return Parser(std::move(tokens)).RunExpression();
}

absl::StatusOr<std::vector<JinjaStatement>> ParseJinja(std::string_view source,
                                                       const JinjaWhitespace& whitespace) {
  RADLADS_ASSIGN_OR_RETURN(auto tokens, TokenizeJinja(source, whitespace));
  return Parser(std::move(tokens)).Run();
}

}  // namespace radlads
