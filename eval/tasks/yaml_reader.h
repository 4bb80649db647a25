// Reads YAML by rules, with errors that name file and line.
#ifndef RADLADS_EVAL_TASKS_YAML_READER_H_
#define RADLADS_EVAL_TASKS_YAML_READER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "base/yaml.h"
#include "data/tokenizer/jinja_value.h"

namespace radlads {

// All errors are INVALID_ARGUMENT unless it is said otherwise.
class YamlReader {
 public:
  using Rule = std::function<absl::Status(const YamlNode&)>;
  using Keys = std::vector<std::pair<std::string, Rule>>;

  explicit YamlReader(std::string path) : path_(std::move(path)) {}

  // Reads each key of a map by its rule, those in `first` before the others. An unknown key is an error with the
  // nearest name; one in `refused`, or a value that is Python code (!function), is UNIMPLEMENTED.
  absl::Status Map(const YamlNode& node, const Keys& keys, const std::vector<std::string>& refused,
                   const std::vector<std::string>& first = {}) const;
  absl::Status Text(const YamlNode& node, std::string* text) const;
  absl::Status OptionalText(const YamlNode& node, std::optional<std::string>* text) const;  // null: unchanged
  absl::Status Texts(const YamlNode& node, std::vector<std::string>* texts) const;  // one, or a list; appended
  absl::Status Integer(const YamlNode& node, int64_t least, int64_t* number) const;
  absl::Status Bool(const YamlNode& node, bool* value) const;
  template <typename T>
  absl::Status Choice(const YamlNode& node, const std::vector<std::pair<std::string, T>>& choices, T* value) const;
  // A string or an integer; what PyYAML takes for another type must be quoted.
  absl::Status Scalar(const YamlNode& node, JinjaValue* value) const;
  absl::Status Value(const YamlNode& node, JinjaValue* value) const;  // a scalar or a list of them; null: unchanged

  std::string At(const YamlNode& node) const { return Concatenate(path_, ":", node.line, ": "); }
  absl::Status Wrong(const YamlNode& node, std::string_view expected) const;

 private:
  std::string path_;
};

template <typename T>
absl::Status YamlReader::Choice(const YamlNode& node, const std::vector<std::pair<std::string, T>>& choices,
                                T* value) const {
  std::string all;
  for (const auto& [name, choice] : choices) {
    if (node.IsScalar() && node.text == name) {
      *value = choice;
      return absl::OkStatus();
    }
    all += (all.empty() ? "" : ", ") + name;
  }
  return Wrong(node, "one of " + all);
}

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_YAML_READER_H_
