#include "eval/tasks/yaml_reader.h"

#include <algorithm>

#include "base/nearest_name.h"

namespace radlads {
namespace {

std::string Found(const YamlNode& node) {
  if (node.tag.starts_with("!function")) return "Python code (" + node.tag + " " + node.text + ")";
  if (node.IsMap()) return "a map";
  if (node.IsList()) return "a list";
  return node.IsNull() ? "nothing" : "\"" + node.text + "\"";
}
}  // namespace

absl::Status YamlReader::Wrong(const YamlNode& node, std::string_view expected) const {
  return InvalidArgument(At(node), "found ", Found(node), ", expected ", expected);
}

absl::Status YamlReader::Map(const YamlNode& node, const Keys& keys, const std::vector<std::string>& refused,
                             const std::vector<std::string>& first) const {
  if (!node.IsMap()) return Wrong(node, "a map");
  std::vector<std::string> names;
  for (const auto& [name, rule] : keys) names.push_back(name);
  for (const auto& [name, value] : node.entries) {
    const std::string& key = name->text;
    if (std::find(refused.begin(), refused.end(), key) != refused.end()) {
      return Unimplemented(At(*name), key, " is outside the supported part of lm_eval's tasks");
    }
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      const std::string nearest = NearestName(key, names);
      return InvalidArgument(At(*name), "unknown key ", key, nearest.empty() ? "" : "; did you mean " + nearest + "?");
    }
  }
  for (const bool now : {true, false}) {
    for (const auto& [name, rule] : keys) {
      if ((std::find(first.begin(), first.end(), name) != first.end()) != now) continue;
      if (const YamlNode* value = node.Find(name)) {
        if (value->tag.starts_with("!function")) {
          return Unimplemented(At(*value), name, " is ", Found(*value), ", expected a field name or a Jinja template");
        }
        RADLADS_RETURN_IF_ERROR(rule(*value));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status YamlReader::Text(const YamlNode& node, std::string* text) const {
  if (!node.IsScalar() || node.IsNull()) return Wrong(node, "a string");
  *text = node.text;
  return absl::OkStatus();
}

absl::Status YamlReader::OptionalText(const YamlNode& node, std::optional<std::string>* text) const {
  if (node.IsNull()) return absl::OkStatus();
  return Text(node, &text->emplace());
}

absl::Status YamlReader::Texts(const YamlNode& node, std::vector<std::string>* texts) const {
  if (!node.IsList()) return Text(node, &texts->emplace_back());
  for (const YamlPointer& text : node.items) RADLADS_RETURN_IF_ERROR(Text(*text, &texts->emplace_back()));
  return absl::OkStatus();
}

absl::Status YamlReader::Integer(const YamlNode& node, int64_t least, int64_t* number) const {
  const YamlScalar scalar = node.IsScalar() ? ReadYamlScalar(node) : YamlScalar();
  *number = scalar.integer;
  if (scalar.type == YamlScalar::Type::kInt && scalar.integer >= least) return absl::OkStatus();
  return Wrong(node, Concatenate("an integer of at least ", least));
}

absl::Status YamlReader::Bool(const YamlNode& node, bool* value) const {
  const YamlScalar scalar = node.IsScalar() ? ReadYamlScalar(node) : YamlScalar();
  *value = scalar.integer != 0;
  return scalar.type == YamlScalar::Type::kBool ? absl::OkStatus() : Wrong(node, "true or false");
}

absl::Status YamlReader::Scalar(const YamlNode& node, JinjaValue* value) const {
  if (!node.IsScalar()) return Wrong(node, "a string");
  const YamlScalar scalar = ReadYamlScalar(node);
  switch (scalar.type) {
    case YamlScalar::Type::kString:
      *value = JinjaValue(node.text);
      return absl::OkStatus();
    case YamlScalar::Type::kInt:
      *value = JinjaValue(scalar.integer);
      return absl::OkStatus();
    default:
      return Wrong(node, "a string or an integer; put it in quotes, it is another type in YAML");
  }
}

absl::Status YamlReader::Value(const YamlNode& node, JinjaValue* value) const {
  if (node.IsNull()) return absl::OkStatus();
  if (!node.IsList()) return Scalar(node, value);
  JinjaValue::List list(node.items.size());
  for (size_t i = 0; i < list.size(); ++i) RADLADS_RETURN_IF_ERROR(Scalar(*node.items[i], &list[i]));
  *value = JinjaValue(std::move(list));
  return absl::OkStatus();
}

}  // namespace radlads
