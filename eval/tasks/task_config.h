// A task of lm_eval (https://github.com/EleutherAI/lm-evaluation-harness, 0.4.13) that lies in a local YAML file and
// reads local jsonl files: the part of its format that needs no Python code and no network.
//
// Keys that mean nothing to a run here are read over (tag, task_alias, should_decontaminate ...); keys that would
// change the numbers and are not supported (process_docs, filter_list, gen_prefix, ...) are refused.
#ifndef RADLADS_EVAL_TASKS_TASK_CONFIG_H_
#define RADLADS_EVAL_TASKS_TASK_CONFIG_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/jinja_value.h"

namespace radlads {

enum class OutputType { kMultipleChoice, kLoglikelihood, kLoglikelihoodRolling, kGenerateUntil };
const char* OutputTypeName(OutputType type);  // as in the YAML

enum class Aggregation { kMean, kPerplexity, kWeightedPerplexity, kBitsPerByte };

struct MetricConfig {
  std::string name;  // "acc", "acc_norm", ...
  Aggregation aggregation = Aggregation::kMean;
  bool higher_is_better = true;
  // Of exact_match: what is taken out of answer and target before they are compared. The expressions are RE2's, which
  // has no look-around and no back references, and whose $ is the very end of the text.
  std::vector<std::string> regexes_to_ignore;
  bool ignore_case = false, ignore_punctuation = false, ignore_numbers = false;
};

struct GenerationConfig {
  std::vector<std::string> until;
  int64_t max_new_tokens = 256;
};

struct TaskConfig {
  std::string path;  // of the YAML file
  std::string task;
  // Files of each split; relative paths are taken from the working directory, as lm_eval does.
  std::map<std::string, std::vector<std::string>> data_files;
  std::optional<std::string> training_split, validation_split, test_split, fewshot_split;
  OutputType output_type = OutputType::kGenerateUntil;
  // A string is the name of a field or else a Jinja template; an int and a list stand for themselves; None: not given.
  JinjaValue doc_to_text, doc_to_target, doc_to_choice, description;
  std::string target_delimiter = " ", fewshot_delimiter = "\n\n";
  bool fewshot_first_n = false;  // sampler: first_n, else default (random)
  int64_t num_fewshot = 0;
  GenerationConfig generation;
  std::vector<MetricConfig> metrics;
  JinjaValue version{std::string("Yaml")};  // metadata.version

  bool HasMetric(std::string_view name) const;
};

// NOT_FOUND without such a file. INVALID_ARGUMENT (UNIMPLEMENTED for what lm_eval knows and this reader does not) with
// file, line, what was found, what was expected and, for an unknown name, the nearest known one.
absl::StatusOr<TaskConfig> ReadTaskConfig(const std::string& path);
// The same from text; `path` stands for it in messages.
absl::StatusOr<TaskConfig> ParseTaskConfig(const std::string& text, const std::string& path);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_TASK_CONFIG_H_
