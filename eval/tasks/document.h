// The rows of a task's data files, with the types that `datasets` (with which lm_eval reads) gives them.
#ifndef RADLADS_EVAL_TASKS_DOCUMENT_H_
#define RADLADS_EVAL_TASKS_DOCUMENT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_value.h"
#include "eval/tasks/task_config.h"

namespace radlads {

using Document = JinjaValue::Dict;  // a row of a data file, by column

JinjaValue JinjaFromJson(const nlohmann::ordered_json& value);

// The documents of a split, from all its jsonl files. Each has all columns, None where its row does not name one. A column
// of ints and floats is one of floats. NaN, Infinity and -Infinity are read, and of a repeated key the last value.
// NOT_FOUND for a missing file; INVALID_ARGUMENT names file and line.
absl::StatusOr<std::vector<Document>> ReadSplit(const TaskConfig& config, const std::string& split);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_DOCUMENT_H_
