// Members of the JSON files of a tokenizer, with messages that say what was found and what was expected.
#ifndef RADLADS_DATA_TOKENIZER_JSON_FIELDS_H_
#define RADLADS_DATA_TOKENIZER_JSON_FIELDS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace radlads::json_fields {

// INVALID_ARGUMENT unless `text` is an object of JSON. Of keys that appear twice the last one counts, as in Python.
absl::StatusOr<nlohmann::json> ParseObject(std::string_view text);

// `value` as it stands in messages.
std::string Shortened(const nlohmann::json& value);

// Member `key` of `object`, or null if it is missing or `object` is none.
const nlohmann::json& Member(const nlohmann::json& object, const char* key);

absl::StatusOr<bool> Flag(const nlohmann::json& object, const char* key, std::optional<bool> default_value,
                          const std::string& where);
// The "type" of an object.
absl::StatusOr<std::string> TypeOf(const nlohmann::json& value, const std::string& where);
// An id that a vocabulary may have.
absl::StatusOr<int32_t> Id(const nlohmann::json& value, const std::string& where);

}  // namespace radlads::json_fields

#endif  // RADLADS_DATA_TOKENIZER_JSON_FIELDS_H_
