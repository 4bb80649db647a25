// A task with its documents: what it asks about each, and what the right answer is.
#ifndef RADLADS_EVAL_TASKS_TASK_H_
#define RADLADS_EVAL_TASKS_TASK_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja.h"
#include "eval/tasks/document.h"
#include "eval/tasks/task_config.h"

namespace radlads {

// A field of a task (doc_to_text, ...): a constant, a column, or a Jinja template (without trim_blocks and
// lstrip_blocks, with StrictUndefined, as lm_eval renders them).
class DocumentField {
 public:
  // The column `text`, where a document has it, or the template. None gives None.
  static absl::StatusOr<DocumentField> Parse(const JinjaValue& value);
  // The constant, or the column with the type that it has.
  const JinjaValue* Given(const Document& document) const;
  // Of a field that is not given: the text of its template.
  absl::StatusOr<std::string> Render(const Document& document) const;
  bool given() const { return !constant_.is_none(); }

 private:
  JinjaValue constant_{nullptr};
  std::optional<JinjaTemplate> template_;  // of a constant that is a string
};

// Immutable, safe to share between threads.
class Task {
 public:
  // Reads the data files. NOT_FOUND and INVALID_ARGUMENT name the file and line, or the field and document.
  static absl::StatusOr<Task> Load(TaskConfig config);

  const TaskConfig& config() const { return config_; }
  // The test split, or the validation split of a task without one.
  const std::vector<Document>& documents() const { return documents_; }
  // What few-shot examples are drawn from: fewshot_split, or else the first there is of the training, validation and
  // test split. Empty where num_fewshot is 0.
  const std::vector<Document>& fewshot_documents() const { return fewshot_documents_; }

  // What a column or constant holds keeps its type; the text of a template that is a number, where the task has choices,
  // is an int.
  // doc_to_text: a string, or an int, the index of the choice that makes the right sentence (multiple_input).
  absl::StatusOr<JinjaValue> Text(const Document& document) const;
  absl::StatusOr<std::vector<std::string>> Choices(const Document& document) const;
  // doc_to_target: a string, an int (the index of the right choice) or a list of right ones, which a template may spell.
  absl::StatusOr<JinjaValue> Target(const Document& document) const;
  absl::StatusOr<std::string> Description(const Document& document) const;

  // The choices are put before the same continuation, as in Winogrande; decided by the first document.
  bool multiple_input() const { return multiple_input_; }
  // There is more than one right answer; decided by the first document.
  bool multiple_target() const { return multiple_target_; }

 private:
  TaskConfig config_;
  DocumentField text_, choice_, target_, description_;
  std::vector<Document> documents_, fewshot_documents_;
  bool multiple_input_ = false, multiple_target_ = false;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_TASK_H_
