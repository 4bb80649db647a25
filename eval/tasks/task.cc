#include "eval/tasks/task.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "eval/tasks/python_text.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;

JinjaValue FromJson(const Json& value) {
  if (value.is_null()) return JinjaValue(nullptr);
  if (value.is_boolean()) return JinjaValue(value.get<bool>());
  if (value.is_number_integer()) return JinjaValue(value.get<int64_t>());
  if (value.is_number_float()) return JinjaValue(value.get<double>());
  if (value.is_string()) return JinjaValue(value.get<std::string>());
  if (value.is_array()) {
    JinjaValue::List list;
    for (const Json& item : value) list.push_back(FromJson(item));
    return JinjaValue(std::move(list));
  }
  JinjaValue::Dict dict;
  for (const auto& [key, item] : value.items()) dict.emplace_back(key, FromJson(item));
  return JinjaValue(std::move(dict));
}

bool HasColumn(const Document& document, const std::string& name) {
  for (const auto& [key, value] : document) {
    if (key == name) return true;
  }
  return false;
}

absl::Status ReadDocuments(const std::string& path, std::vector<Document>* documents) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return Annotate(text.status(), "data file of the task (relative to the working directory)");
  size_t line = 1;
  for (size_t begin = 0; begin < text->size(); ++line) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string_view row = std::string_view(*text).substr(begin, end - begin);
    begin = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json json = Json::parse(row, nullptr, false);
    if (!json.is_object()) {
      return InvalidArgument(path, ":", line, ": found ", json.is_discarded() ? "no valid JSON" : json.type_name(),
                             ", expected a JSON object on every line");
    }
    documents->push_back(FromJson(json).as_dict());
  }
  return absl::OkStatus();
}

// All documents of a split have all its columns; None where a row did not name one.
absl::StatusOr<std::vector<Document>> ReadSplit(const TaskConfig& config, const std::string& split) {
  std::vector<Document> documents;
  for (const std::string& path : config.data_files.at(split)) RADLADS_RETURN_IF_ERROR(ReadDocuments(path, &documents));
  if (documents.empty()) return InvalidArgument(config.path, ": the split ", split, " has no documents");
  Document columns;
  for (const Document& document : documents) {
    for (const auto& [name, value] : document) {
      if (!HasColumn(columns, name)) columns.emplace_back(name, JinjaValue(nullptr));
    }
  }
  for (Document& document : documents) {
    for (const auto& [name, none] : columns) {
      if (!HasColumn(document, name)) document.emplace_back(name, none);
    }
  }
  return documents;
}

// What lm_eval makes of the text of a template where choices are numbered: digits are a number.
absl::StatusOr<JinjaValue> Numbered(JinjaValue value, bool has_choices) {
  if (value.is_list()) return value;
  RADLADS_ASSIGN_OR_RETURN(std::string text, value.Print());
  if (has_choices && text.size() < 19 && IsDigits(text)) return JinjaValue(int64_t{std::stoll(text)});
  return JinjaValue(std::move(text));
}

}  // namespace

absl::StatusOr<DocumentField> DocumentField::Parse(const JinjaValue& value) {
  DocumentField field;
  field.constant_ = value;
  if (value.is_string()) {
    const JinjaOptions options = {
        .whitespace = {.trim_blocks = false, .lstrip_blocks = false, .keep_trailing_newline = true},
        .strict_undefined = true};
    RADLADS_ASSIGN_OR_RETURN(field.template_, JinjaTemplate::Parse(value.as_string(), options));
  }
  return field;
}

absl::StatusOr<JinjaValue> DocumentField::Of(const Document& document) const {
  if (!template_) return constant_;
  for (const auto& [name, value] : document) {
    if (name == constant_.as_string()) return value;
  }
  return template_->Evaluate(document);
}

absl::StatusOr<JinjaValue> Task::Text(const Document& document) const {
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, text_.Of(document));
  if (value.is_number()) return value;
  return Numbered(value, choice_.given());
}

absl::StatusOr<JinjaValue> Task::Target(const Document& document) const {
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, target_.Of(document));
  if (value.is_number()) return value;
  return Numbered(value, choice_.given());
}

absl::StatusOr<std::vector<std::string>> Task::Choices(const Document& document) const {
  RADLADS_ASSIGN_OR_RETURN(JinjaValue value, choice_.Of(document));
  if (value.is_string()) {
    // The text of a template, which spells a list.
    RADLADS_ASSIGN_OR_RETURN(const JinjaTemplate literal, JinjaTemplate::Parse("{{" + value.as_string() + "}}"));
    RADLADS_ASSIGN_OR_RETURN(value, literal.Evaluate({}));
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
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue value, description_.Of(document));
  return value.is_none() ? std::string() : value.Print();
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
  return task;
}

}  // namespace radlads
