// Renders templates as tasks do, and reads YAML, for compare_with_lm_eval_templates.py. Standard input: a JSON object a
// line, {"template": text, "document": {...}} or {"yaml": path}. Standard output: a line for each, {"text": ...},
// {"value": ...}, {"error": ...} or, for what the reader does not know, {"outside": ...}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "base/yaml.h"
#include "eval/tasks/document.h"
#include "eval/tasks/task.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;

Json Refused(const absl::Status& status) {
  return {{status.code() == absl::StatusCode::kUnimplemented ? "outside" : "error", status.message()}};
}

Json Rendered(const Json& row) {
  const auto field = DocumentField::Parse(JinjaValue(row.at("template").get<std::string>()));
  if (!field.ok()) return Refused(field.status());
  const auto text = field->Render(JinjaFromJson(row.at("document")).as_dict());
  return text.ok() ? Json{{"text", *text}} : Refused(text.status());
}

// Types that JSON does not have are objects of one member.
Json Value(const YamlNode& node) {
  if (node.IsList()) {
    Json items = Json::array();
    for (const YamlPointer& item : node.items) items.push_back(Value(*item));
    return items;
  }
  if (node.IsMap()) {
    Json entries = Json::object();
    for (const auto& [key, value] : node.entries) entries[key->text] = Value(*value);
    return entries;
  }
  const YamlScalar scalar = ReadYamlScalar(node);
  switch (scalar.type) {
    case YamlScalar::Type::kNull:
      return nullptr;
    case YamlScalar::Type::kBool:
      return scalar.integer != 0;
    case YamlScalar::Type::kInt:
      return scalar.integer;
    case YamlScalar::Type::kFloat:
      return scalar.real;
    case YamlScalar::Type::kString:
      return node.text;
    case YamlScalar::Type::kOther:
      return {{node.tag.empty() ? "!other" : node.tag, node.text}};
  }
  return nullptr;
}

Json Read(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text.ok()) return Refused(text.status());
  const auto root = ParseYaml(*text, path);
  return root.ok() ? Json{{"value", Value(**root)}} : Refused(root.status());
}

int Main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto row = ParseOrderedJson(line, {.python_numbers = true});
    if (!row.ok()) {
      std::cerr << "error: standard input: " << row.status().message() << "\n";
      return 1;
    }
    std::cout << (row->contains("yaml") ? Read(row->at("yaml").get<std::string>()) : Rendered(*row)).dump() << "\n";
  }
  return 0;
}

}  // namespace
}  // namespace radlads

int main() { return radlads::Main(); }
