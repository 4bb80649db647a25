// Reading fields of the JSON that clients send. Where nothing else is said, errors are INVALID_ARGUMENT, name the field
// and say what it can be.
#ifndef RADLADS_SERVE_TRANSPORT_JSON_FIELDS_H_
#define RADLADS_SERVE_TRANSPORT_JSON_FIELDS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/memory_budget.h"

namespace radlads {

using RequestJson = nlohmann::json;        // fields are found in logarithmic time, however many a body has
using ReplyJson = nlohmann::ordered_json;  // fields are written in the order in which they were put

// Whose reply it is.
struct ReplyHeader {
  std::string id, model;
  int64_t created = 0;  // seconds since 1970
};

// Lists and objects at most 64 deep, 4 million values at most: INVALID_ARGUMENT says what is wrong at which byte. Takes
// of `memory`, if there is one, before it builds anything, what the JSON and texts and token ids made of it may need;
// then errors of MemoryBudget too.
absl::StatusOr<RequestJson> ParseObject(std::string_view body, MemoryBudget::Part* memory = nullptr);
// Bytes that are not UTF-8 become U+FFFD.
std::string Dump(const ReplyJson& json);
// A value in an error message: short, whatever it is.
std::string Shown(const RequestJson& value);

// A field, or null where it is missing.
const RequestJson& Field(const RequestJson& json, const char* name);
// The value of a field, `otherwise` where it is missing or null. 5.0 is an integer too.
absl::StatusOr<int64_t> Integer(const RequestJson& json, const char* name, int64_t otherwise, int64_t low,
                                int64_t high);
absl::StatusOr<double> Number(const RequestJson& json, const char* name, double otherwise, double low, double high);
absl::StatusOr<bool> Boolean(const RequestJson& json, const char* name, bool otherwise);
absl::StatusOr<std::string> String(const RequestJson& json, const char* name, const std::string& otherwise);
// A string that must be there.
absl::StatusOr<std::string> String(const RequestJson& json, const char* name);
// Of a field of the object in the field `object`: an error names both.
template <typename T>
absl::StatusOr<T> InObject(const char* object, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return absl::InvalidArgumentError(std::string(object) + "." + std::string(value.status().message()));
}

// Of `list`, an array in the field `name`: token ids in [0, vocabulary).
absl::StatusOr<std::vector<int64_t>> TokenIds(const RequestJson& list, const char* name, int64_t vocabulary);
// `stop`: a string or a list of strings, at most 64 KiB together.
absl::StatusOr<std::vector<std::string>> Stops(const RequestJson& json);

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_JSON_FIELDS_H_
