// Values of the template language.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_VALUE_H_
#define RADLADS_DATA_TOKENIZER_JINJA_VALUE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_budget.h"

namespace radlads {

// A value as Python has it: undefined, None, bool, int, float, str, list, dict or a function of the language. Strings,
// lists and dicts are shared, not copied.
class JinjaValue {
 public:
  using List = std::vector<JinjaValue>;
  using Dict = std::vector<std::pair<std::string, JinjaValue>>;  // in order of insertion
  struct Undefined {
    std::string name;  // for messages
  };
  struct Function {
    std::string name;
  };
  // What else Python has that is a list or a dict here: it iterates and compares as the type that it is.
  enum class Form : uint8_t { kPlain, kTuple, kRange, kDictView, kGenerator, kNamespace, kLoop };

  JinjaValue() : value_(Undefined{}) {}
  explicit JinjaValue(Undefined undefined) : value_(std::move(undefined)) {}
  explicit JinjaValue(std::nullptr_t) : value_(nullptr) {}
  explicit JinjaValue(bool value) : value_(value) {}
  explicit JinjaValue(int64_t value) : value_(value) {}
  explicit JinjaValue(double value) : value_(value) {}
  explicit JinjaValue(std::string value) : value_(std::make_shared<const std::string>(std::move(value))) {}
  explicit JinjaValue(Function function) : value_(std::move(function)) {}
  explicit JinjaValue(List value, Form form = Form::kPlain);
  explicit JinjaValue(Dict value, Form form = Form::kPlain);

  bool is_undefined() const { return std::holds_alternative<Undefined>(value_); }
  bool is_none() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<int64_t>(value_); }
  bool is_float() const { return std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::shared_ptr<const std::string>>(value_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<List>>(value_); }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<Dict>>(value_); }
  bool is_function() const { return std::holds_alternative<Function>(value_); }
  Form form() const { return form_; }
  bool is_plain_list() const { return is_list() && form_ == Form::kPlain; }

  // The value of that kind; the caller has asked is_...().
  const std::string& undefined_name() const { return std::get<Undefined>(value_).name; }
  bool as_bool() const { return std::get<bool>(value_); }
  const std::string& as_string() const { return *std::get<std::shared_ptr<const std::string>>(value_); }
  const std::string& function_name() const { return std::get<Function>(value_).name; }
  const List& as_list() const { return *std::get<std::shared_ptr<List>>(value_); }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<Dict>>(value_); }
  // Makes an undefined value, or those in a list, an error where it is printed (StrictUndefined).
  void MakeStrict();
  List* mutable_list() { return std::get<std::shared_ptr<List>>(value_).get(); }
  Dict* mutable_dict() { return std::get<std::shared_ptr<Dict>>(value_).get(); }

  // An int, or a bool as 0 or 1.
  bool is_number() const { return is_int() || is_bool(); }
  int64_t as_number() const { return is_bool() ? as_bool() : std::get<int64_t>(value_); }
  // A float, or one of those as a float.
  bool is_real() const { return is_float() || is_number(); }
  double as_real() const { return is_float() ? std::get<double>(value_) : static_cast<double>(as_number()); }

  // Member of a dict, or null.
  const JinjaValue* Find(const std::string& key) const;

  // How deep lists and dicts are nested: 0 for the others.
  int depth() const { return depth_; }

  const char* type_name() const;
  bool Truth() const;
  // Of the functions below, one that is given a budget takes its steps and the bytes of its result from it. Without one there
  // is no bound, which is for values that hold no list or dict twice, such as those of JSON.
  // Equality of Python: 1 == True, lists and dicts by content. False where the budget is spent.
  bool Equals(const JinjaValue& other, JinjaBudget* budget = nullptr) const;

  // As {{ ... }} prints it: str(value). INVALID_ARGUMENT for a strict undefined value, UNIMPLEMENTED for forms of lists and dicts that Python prints by other names, or
  // by their address.
  absl::StatusOr<std::string> Print(JinjaBudget* budget = nullptr) const;
  // repr(value): what Print makes of an item of a list.
  absl::StatusOr<std::string> Repr(JinjaBudget* budget = nullptr) const;
  // json.dumps(value, ensure_ascii=False): the tojson filter of Hugging Face.
  absl::StatusOr<std::string> ToJson(JinjaBudget* budget = nullptr) const;

 private:
  absl::Status AppendRepr(JinjaBudget* budget, std::string* out) const;
  absl::Status AppendJson(JinjaBudget* budget, std::string* out) const;
  std::variant<Undefined, std::nullptr_t, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<List>, std::shared_ptr<Dict>, Function>
      value_;
  Form form_ = Form::kPlain;
  bool strict_ = false;  // of an undefined value
  int depth_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_VALUE_H_
