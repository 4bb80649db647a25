#include "eval/tasks/document.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

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
    const auto json = ParseOrderedJson(row, {.where = Concatenate(path, ":", line), .python_numbers = true});
    if (!json.ok()) return json.status();
    if (!json->is_object()) {
      return InvalidArgument(path, ":", line, ": found ", json->type_name(), ", expected a JSON object on every line");
    }
    documents->push_back(JinjaFromJson(*json).as_dict());
  }
  return absl::OkStatus();
}

// Where a column has ints and floats, all of them are floats, also within lists and dicts: `datasets`, with which lm_eval
// reads, gives a column one type.
void UnifyNumbers(const std::vector<JinjaValue*>& values) {
  const auto all = [&](auto is) {
    return std::all_of(values.begin(), values.end(), [&](const JinjaValue* value) { return is(*value); });
  };
  if (all([](const JinjaValue& value) { return value.is_int() || value.is_float(); })) {
    if (all([](const JinjaValue& value) { return value.is_int(); })) return;
    for (JinjaValue* value : values) *value = JinjaValue(value->as_real());
  } else if (all([](const JinjaValue& value) { return value.is_list(); })) {
    std::vector<JinjaValue*> items;
    for (JinjaValue* value : values) {
      for (JinjaValue& item : *value->mutable_list()) {
        if (!item.is_none()) items.push_back(&item);
      }
    }
    UnifyNumbers(items);
  } else if (all([&](const JinjaValue& value) {
               return value.is_dict() && value.as_dict().size() == values[0]->as_dict().size() &&
                      std::all_of(value.as_dict().begin(), value.as_dict().end(),
                                  [&](const auto& member) { return values[0]->Find(member.first) != nullptr; });
             }) && !values.empty()) {
    for (const auto& [name, first] : values[0]->as_dict()) {
      std::vector<JinjaValue*> members;
      for (JinjaValue* value : values) {
        for (auto& [key, member] : *value->mutable_dict()) {
          if (key == name && !member.is_none()) members.push_back(&member);
        }
      }
      UnifyNumbers(members);
    }
  }
}

}  // namespace

JinjaValue JinjaFromJson(const nlohmann::ordered_json& value) {
  if (value.is_null()) return JinjaValue(nullptr);
  if (value.is_boolean()) return JinjaValue(value.get<bool>());
  // As `datasets` reads numbers: what fits no 64 bits is a float.
  const bool large = value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  if (value.is_number_integer() && !large) return JinjaValue(value.get<int64_t>());
  if (value.is_number()) return JinjaValue(value.get<double>());
  if (value.is_string()) return JinjaValue(value.get<std::string>());
  if (value.is_array()) {
    JinjaValue::List list;
    for (const nlohmann::ordered_json& item : value) list.push_back(JinjaFromJson(item));
    return JinjaValue(std::move(list));
  }
  JinjaValue::Dict dict;
  for (const auto& [key, item] : value.items()) dict.emplace_back(key, JinjaFromJson(item));
  return JinjaValue(std::move(dict));
}

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
  for (const auto& column : columns) {
    std::vector<JinjaValue*> values;
    for (Document& document : documents) {
      for (auto& [name, value] : document) {
        if (name == column.first && !value.is_none()) values.push_back(&value);
      }
    }
    UnifyNumbers(values);
  }
  return documents;
}

}  // namespace radlads
