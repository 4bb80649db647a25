#include "eval/tasks/yaml_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/nearest_name.h"

namespace radlads {
namespace {

std::string Found(const YAML::Node& node) {
  if (node.Tag().starts_with("!function")) return "Python code (" + node.Tag() + " " + node.Scalar() + ")";
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return node.IsScalar() ? "\"" + node.Scalar() + "\"" : "nothing";
}
}  // namespace

absl::Status YamlReader::Wrong(const YAML::Node& node, std::string_view expected) const {
  return InvalidArgument(At(node), "found ", Found(node), ", expected ", expected);
}

absl::Status YamlReader::Map(const YAML::Node& node, const Keys& keys, const std::vector<std::string>& refused,
                             const std::vector<std::string>& first) const {
  if (!node.IsMap()) return Wrong(node, "a map");
  std::vector<std::string> names;
  for (const auto& [name, rule] : keys) names.push_back(name);
  for (const auto& entry : node) {
    const std::string key = entry.first.Scalar();
    if (std::find(refused.begin(), refused.end(), key) != refused.end()) {
      return Unimplemented(At(entry.first), key, " is outside the supported part of lm_eval's tasks");
    }
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      const std::string nearest = NearestName(key, names);
      return InvalidArgument(At(entry.first), "unknown key ", key,
                             nearest.empty() ? "" : "; did you mean " + nearest + "?");
    }
  }
  for (const bool now : {true, false}) {
    for (const auto& [name, rule] : keys) {
      if ((std::find(first.begin(), first.end(), name) != first.end()) != now) continue;
      if (const YAML::Node value = node[name]; value.IsDefined()) {
        if (value.Tag().starts_with("!function")) {
          return Unimplemented(At(value), name, " is ", Found(value), ", expected a field name or a Jinja template");
        }
        RADLADS_RETURN_IF_ERROR(rule(value));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status YamlReader::Text(const YAML::Node& node, std::string* text) const {
  if (!node.IsScalar()) return Wrong(node, "a string");
  *text = node.Scalar();
  return absl::OkStatus();
}

absl::Status YamlReader::OptionalText(const YAML::Node& node, std::optional<std::string>* text) const {
  if (node.IsNull()) return absl::OkStatus();
  return Text(node, &text->emplace());
}

absl::Status YamlReader::Texts(const YAML::Node& node, std::vector<std::string>* texts) const {
  if (!node.IsSequence()) return Text(node, &texts->emplace_back());
  for (const YAML::Node& text : node) RADLADS_RETURN_IF_ERROR(Text(text, &texts->emplace_back()));
  return absl::OkStatus();
}

absl::Status YamlReader::Integer(const YAML::Node& node, int64_t least, int64_t* number) const {
  const std::string text = node.IsScalar() ? node.Scalar() : "";
  const auto end = std::from_chars(text.data(), text.data() + text.size(), *number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || text.empty() || *number < least) {
    return Wrong(node, Concatenate("an integer of at least ", least));
  }
  return absl::OkStatus();
}

absl::Status YamlReader::Bool(const YAML::Node& node, bool* value) const {
  const std::string text = node.IsScalar() ? node.Scalar() : "";
  *value = text == "true" || text == "True";
  return *value || text == "false" || text == "False" ? absl::OkStatus() : Wrong(node, "true or false");
}

absl::Status YamlReader::Scalar(const YAML::Node& node, JinjaValue* value) const {
  if (!node.IsScalar()) return Wrong(node, "a string");
  const std::string& text = node.Scalar();
  int64_t number;
  if (node.Tag() == "!") {
    *value = JinjaValue(text);
  } else if (Integer(node, INT64_MIN, &number).ok()) {
    *value = JinjaValue(number);
  } else {
    std::string lower = text;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* word : {"yes", "no", "on", "off", "true", "false", "null", "~", ""}) {
      if (lower == word) return Wrong(node, "a string or an integer; put it in quotes, it is another type in YAML");
    }
    double real;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), real);
    if (end.ec == std::errc() && end.ptr == text.data() + text.size()) {
      return Wrong(node, "a string or an integer; put it in quotes, it is another type in YAML");
    }
    *value = JinjaValue(text);
  }
  return absl::OkStatus();
}

absl::Status YamlReader::Value(const YAML::Node& node, JinjaValue* value) const {
  if (node.IsNull()) return absl::OkStatus();
  if (!node.IsSequence()) return Scalar(node, value);
  JinjaValue::List list(node.size());
  for (size_t i = 0; i < list.size(); ++i) RADLADS_RETURN_IF_ERROR(Scalar(node[i], &list[i]));
  *value = JinjaValue(std::move(list));
  return absl::OkStatus();
}

}  // namespace radlads
