#include "data/tokenizer/json_fields.h"

#include "base/json.h"
#include "base/status.h"
#include "data/tokenizer/bpe.h"

namespace radlads::json_fields {

using nlohmann::json;

namespace {

// Larger ids are a damaged file: no vocabulary comes near.
constexpr int64_t kMaxId = Bpe::kMaxId;

}  // namespace

absl::StatusOr<json> ParseObject(std::string_view text) {
  RADLADS_ASSIGN_OR_RETURN(json value, ParseJson(text, {.python_numbers = true}));
  if (!value.is_object())
    return InvalidArgument("holds a JSON ", value.type_name(), ", expected an object");
  return value;
}

std::string Shortened(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 120) text = text.substr(0, 117) + "...";
  return text;
}

const json& Member(const json& object, const char* key) {
  static const json null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

absl::StatusOr<bool> Flag(const json& object, const char* key, std::optional<bool> default_value,
                          const std::string& where) {
  const json& value = Member(object, key);
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_null() && default_value.has_value()) return *default_value;
  return InvalidArgument(where, ": \"", key, "\" is ", Shortened(value),
                         ", expected true or false");
}

absl::StatusOr<std::string> TypeOf(const json& value, const std::string& where) {
  if (!value.is_object())
    return InvalidArgument(where, " is ", Shortened(value), ", expected an object with a \"type\"");
  const json& type = Member(value, "type");
  if (!type.is_string())
    return InvalidArgument(where, " has \"type\" ", Shortened(type), ", expected a string");
  return type.get<std::string>();
}

absl::StatusOr<int32_t> Id(const json& value, const std::string& where) {
  if (!value.is_number_integer())
    return InvalidArgument(where, " has id ", Shortened(value), ", expected an integer");
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() < kMaxId
                        : value.get<int64_t>() >= 0 && value.get<int64_t>() < kMaxId;
  if (!fits)
    return InvalidArgument(where, " has id ", Shortened(value), ", expected 0 to ", kMaxId - 1);
  return value.get<int32_t>();
}

}  // namespace radlads::json_fields
