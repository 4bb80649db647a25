#include "eval/tasks/task.h"

#include <utility>

#include "base/status.h"
#include "data/tokenizer/python_text.h"
#include "eval/tasks/python_text.h"

namespace radlads {
namespace {

// What lm_eval makes of the text of a template where choices are numbered: digits are a number. One that is too large for
// an int is larger than any index, and so is what it becomes.
absl::StatusOr<JinjaValue> Numbered(std::string text, bool has_choices) {
  if (!has_choices || !IsDigits(text)) return JinjaValue(std::move(text));
  if (text[0] == '0' && text.find_first_not_of('0') != std::string::npos) {
    return InvalidArgument("found ", text, ", expected a number that Python reads (without zeros before it), or other text");
  }
  return JinjaValue(PythonInt(text).value_or(INT64_MAX));
}

}  // namespace

absl::StatusOr<DocumentField> DocumentField::Parse(const JinjaValue& value) {
  DocumentField field;
  field.constant_ = value;
  if (value.is_string()) {
    const JinjaOptions options = {
        .whitespace = {.trim_blocks = false, .lstrip_blocks = false, .keep_trailing_newline = true},
        .strict_undefined = true,
        .chat = false};
    RADLADS_ASSIGN_OR_RETURN(field.template_, JinjaTemplate::Parse(value.as_string(), options));
  }
  return field;
}

const JinjaValue* DocumentField::Given(const Document& document) const {
  if (!template_) return &constant_;
  for (const auto& [name, value] : document) {
    if (name == constant_.as_string()) return &value;
  }
  return nullptr;
}

absl::StatusOr<std::string> DocumentField::Render(const Document& document) const { return template_->Render(document); }

absl::StatusOr<JinjaValue> Task::Text(const Document& document) const {
  if (const JinjaValue* given = text_.Given(document)) return *given;
  RADLADS_ASSIGN_OR_RETURN(std::string text, text_.Render(document));
  return Numbered(std::move(text), choice_.given());
}

absl::StatusOr<JinjaValue> Task::Target(const Document& document) const {
  if (const JinjaValue* given = target_.Given(document)) return *given;
  RADLADS_ASSIGN_OR_RETURN(std::string text, target_.Render(document));
  if (text.size() >= 2 && text.starts_with('[') && text.ends_with(']')) {
    if (auto list = ParsePythonLiteral(text); list.ok()) return list;
  }
  return Numbered(std::move(text), choice_.given());
}

absl::StatusOr<std::vector<std::string>> Task::Choices(const Document& document) const {
  JinjaValue value;
  if (const JinjaValue* given = choice_.Given(document)) {
    value = *given;
  } else {
    RADLADS_ASSIGN_OR_RETURN(const std::string text, choice_.Render(document));
    auto list = ParsePythonLiteral(text);
    if (!list.ok()) return Annotate(list.status(), "doc_to_choice gives no list");
    value = *std::move(list);
  }
  if (!value.is_list()) return InvalidArgument("doc_to_choice gives a ", value.type_name(), ", expected a list of str");
  std::vector<std::string> choices;
  for (const JinjaValue& choice : value.as_list()) {
    if (!choice.is_string() || choice.as_string().empty()) {
      return InvalidArgument("doc_to_choice gives a list with ",
                             choice.is_string() ? "an empty str" : choice.type_name(),
                             ", expected str that are not empty");
    }
    choices.push_back(choice.as_string());
  }
  if (choices.empty()) return InvalidArgument("doc_to_choice gives an empty list");
  return choices;
}

absl::StatusOr<std::string> Task::Description(const Document& document) const {
  const JinjaValue* given = description_.Given(document);
  if (given == nullptr) return description_.Render(document);
  return given->is_none() ? std::string() : given->Print();
}

absl::StatusOr<Task> Task::Load(TaskConfig config) {
  Task task;
  for (const auto& [name, value, field] : {std::tuple{"doc_to_text", &config.doc_to_text, &task.text_},
                                           {"doc_to_choice", &config.doc_to_choice, &task.choice_},
                                           {"doc_to_target", &config.doc_to_target, &task.target_},
                                           {"description", &config.description, &task.description_}}) {
    auto parsed = DocumentField::Parse(*value);
    if (!parsed.ok()) return Annotate(parsed.status(), Concatenate(config.path, ": ", name));
    *field = *std::move(parsed);
  }
  RADLADS_ASSIGN_OR_RETURN(task.documents_,
                           ReadSplit(config, config.test_split ? *config.test_split : *config.validation_split));
  if (config.num_fewshot > 0) {
    const auto& split = config.fewshot_split      ? config.fewshot_split
                        : config.training_split   ? config.training_split
                        : config.validation_split ? config.validation_split
                                                  : config.test_split;
    RADLADS_ASSIGN_OR_RETURN(task.fewshot_documents_, ReadSplit(config, *split));
  }
  task.config_ = std::move(config);
  const auto first = task.Text(task.documents_.front());
  if (!first.ok()) return Annotate(first.status(), task.config_.path + ": doc_to_text of document 0");
  task.multiple_input_ = first->is_number() && task.choice_.given();
  const auto target = task.Target(task.documents_.front());
  if (!target.ok()) return Annotate(target.status(), task.config_.path + ": doc_to_target of document 0");
  task.multiple_target_ = target->is_list() && !target->as_list().empty();
  return task;
}

}  // namespace radlads
