// Reads YAML by rules, with errors that name file and line.
#ifndef RADLADS_EVAL_TASKS_YAML_READER_H_
#define RADLADS_EVAL_TASKS_YAML_READER_H_

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "data/tokenizer/jinja_value.h"

namespace radlads {

// All errors are INVALID_ARGUMENT unless it is said otherwise.
class YamlReader {
 public:
  using Rule = std::function<absl::Status(const YAML::Node&)>;
  using Keys = std::vector<std::pair<std::string, Rule>>;

  explicit YamlReader(std::string path) : path_(std::move(path)) {}

  // Reads each key of a map by its rule, those in `first` before the others. An unknown key is an error with the
  // nearest name; one in `refused`, or a value that is Python code (!function), is UNIMPLEMENTED.
  absl::Status Map(const YAML::Node& node, const Keys& keys, const std::vector<std::string>& refused,
                   const std::vector<std::string>& first = {}) const;
  absl::Status Text(const YAML::Node& node, std::string* text) const;
  absl::Status OptionalText(const YAML::Node& node, std::optional<std::string>* text) const;  // null: unchanged
  absl::Status Texts(const YAML::Node& node, std::vector<std::string>* texts) const;  // one, or a list; appended
  absl::Status Integer(const YAML::Node& node, int64_t least, int64_t* number) const;
  absl::Status Bool(const YAML::Node& node, bool* value) const;
  template <typename T>
  absl::Status Choice(const YAML::Node& node, const std::vector<std::pair<std::string, T>>& choices, T* value) const;
  // A scalar as PyYAML reads it where it is a string or an integer; what it takes for another type must be quoted.
  absl::Status Scalar(const YAML::Node& node, JinjaValue* value) const;
  absl::Status Value(const YAML::Node& node, JinjaValue* value) const;  // a scalar or a list of them; null: unchanged

  std::string At(const YAML::Node& node) const { return Concatenate(path_, ":", node.Mark().line + 1, ": "); }
  absl::Status Wrong(const YAML::Node& node, std::string_view expected) const;

 private:
  std::string path_;
};

template <typename T>
absl::Status YamlReader::Choice(const YAML::Node& node, const std::vector<std::pair<std::string, T>>& choices,
                                T* value) const {
  std::string all;
  for (const auto& [name, choice] : choices) {
    if (node.IsScalar() && node.Scalar() == name) {
      *value = choice;
      return absl::OkStatus();
    }
    all += (all.empty() ? "" : ", ") + name;
  }
  return Wrong(node, "one of " + all);
}

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_YAML_READER_H_
