// JSON as a value of the template language.
#ifndef RADLADS_DATA_TOKENIZER_JINJA_FROM_JSON_H_
#define RADLADS_DATA_TOKENIZER_JINJA_FROM_JSON_H_

#include <cstdint>
#include <string>
#include <utility>

#include "data/tokenizer/jinja_value.h"

namespace radlads {

// As Python's json.loads gives it. `Json` is nlohmann::json or ordered_json, as deep as its parser lets it be. Integers
// that need more than 64 bits become floats.
template <typename Json>
JinjaValue JinjaFromJson(const Json& value) {
  if (value.is_null()) return JinjaValue(nullptr);
  if (value.is_boolean()) return JinjaValue(value.template get<bool>());
  if (value.is_number_unsigned() && value.template get<uint64_t>() > INT64_MAX) {
    return JinjaValue(value.template get<double>());
  }
  if (value.is_number_integer()) return JinjaValue(value.template get<int64_t>());
  if (value.is_number_float()) return JinjaValue(value.template get<double>());
  if (value.is_string()) return JinjaValue(value.template get<std::string>());
  if (value.is_array()) {
    JinjaValue::List list;
    for (const Json& item : value) list.push_back(JinjaFromJson(item));
    return JinjaValue(std::move(list));
  }
  JinjaValue::Dict dict;
  for (const auto& [key, item] : value.items()) dict.emplace_back(key, JinjaFromJson(item));
  return JinjaValue(std::move(dict));
}

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_JINJA_FROM_JSON_H_
