// JSON that comes from outside: UTF-8, one value, no duplicate keys, bounded depth.
//
// RFC 8259 leaves duplicate keys to the reader, so two readers of one file may see two different values; here they
// are an error. A raw NUL, an invalid UTF-8 sequence and text after the value are errors as well.
#ifndef RADLADS_MODEL_CHECKPOINT_STRICT_JSON_H_
#define RADLADS_MODEL_CHECKPOINT_STRICT_JSON_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace radlads {

// INVALID_ARGUMENT: "<where>: <what is wrong and at which byte>".
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text, const std::string& where, int max_depth = 64);

// Whether `text` is valid UTF-8 (no surrogates, no overlong forms).
bool IsUtf8(std::string_view text);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_STRICT_JSON_H_
