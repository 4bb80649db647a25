#include "serve/transport/json_fields.h"

#include <cmath>
#include <optional>

#include "base/json.h"
#include "base/status.h"
#include "serve/transport/request_work.h"

namespace radlads {
namespace {

// Each prompt of a request has a copy of its stops.
constexpr size_t kMaxStopBytes = 64 << 10;

// The value of an integer, and of a float that is one, as languages write it whose numbers are all floats.
std::optional<int64_t> WholeNumber(const RequestJson& value) {
  constexpr double kExact = int64_t{1} << 53;  // below it, every integer is a double
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!(std::abs(number) <= kExact) || number != std::trunc(number)) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return std::nullopt;
  return value.get<int64_t>();
}

}  // namespace

std::string Dump(const ReplyJson& json) {
  return json.dump(-1, ' ', false, ReplyJson::error_handler_t::replace);
}

std::string Shown(const RequestJson& value) {
  if (value.is_structured()) return Concatenate("a JSON ", value.type_name());  // as deep as the client likes
  constexpr size_t kLongest = 64;
  if (value.is_string() && value.get_ref<const std::string&>().size() > kLongest) {
    return Concatenate("a string of ", value.get_ref<const std::string&>().size(), " bytes");
  }
  return Dump(value);
}

absl::StatusOr<RequestJson> ParseObject(std::string_view body, MemoryBudget::Part* memory) {
  const JsonOptions options{.where = "the body"};
  if (memory != nullptr) {
    RADLADS_ASSIGN_OR_RETURN(const JsonSize size, MeasureJson(body, options));
    RADLADS_RETURN_IF_ERROR(memory->Take(size.memory() + RequestWork::kMemoryPerTextByte * size.string_bytes));
  }
  RADLADS_ASSIGN_OR_RETURN(RequestJson json, ParseJson(body, options));
  if (!json.is_object()) return InvalidArgument("the body is a JSON ", json.type_name(), ", expected an object");
  return json;
}

const RequestJson& Field(const RequestJson& json, const char* name) {
  static const RequestJson kNull;
  const auto found = json.find(name);
  return found == json.end() ? kNull : *found;
}

absl::StatusOr<int64_t> Integer(const RequestJson& json, const char* name, int64_t otherwise, int64_t low,
                                int64_t high) {
  const RequestJson& value = Field(json, name);
  if (value.is_null()) return otherwise;
  const std::optional<int64_t> whole = WholeNumber(value);
  if (!whole || *whole < low || *whole > high) {
    return InvalidArgument(name, " must be an integer from ", low, " to ", high, ", found ", Shown(value));
  }
  return *whole;
}

absl::StatusOr<double> Number(const RequestJson& json, const char* name, double otherwise, double low, double high) {
  const RequestJson& value = Field(json, name);
  if (value.is_null()) return otherwise;
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
    return InvalidArgument(name, " must be a number from ", low, " to ", high, ", found ", Shown(value));
  }
  return value.get<double>();
}

absl::StatusOr<bool> Boolean(const RequestJson& json, const char* name, bool otherwise) {
  const RequestJson& value = Field(json, name);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) return InvalidArgument(name, " must be true or false, found ", Shown(value));
  return value.get<bool>();
}

absl::StatusOr<std::string> String(const RequestJson& json, const char* name, const std::string& otherwise) {
  if (Field(json, name).is_null()) return otherwise;
  return String(json, name);
}

absl::StatusOr<std::string> String(const RequestJson& json, const char* name) {
  const RequestJson& value = Field(json, name);
  if (!value.is_string()) return InvalidArgument(name, " must be a string, found ", Shown(value));
  return value.get<std::string>();
}

absl::StatusOr<std::vector<int64_t>> TokenIds(const RequestJson& list, const char* name, int64_t vocabulary) {
  std::vector<int64_t> ids;
  for (const RequestJson& id : list) {
    const std::optional<int64_t> whole = WholeNumber(id);
    if (!whole && !id.is_number_integer()) {
      return InvalidArgument(name, ": a token id must be an integer, found ", Shown(id));
    }
    if (!whole || *whole < 0 || *whole >= vocabulary) {
      return InvalidArgument(name, ": token id ", Shown(id), " is outside of the vocabulary of ", vocabulary,
                             " tokens");
    }
    ids.push_back(*whole);
  }
  return ids;
}

absl::StatusOr<std::vector<std::string>> Stops(const RequestJson& json) {
  const RequestJson& value = Field(json, "stop");
  std::vector<std::string> stops;
  if (value.is_null()) return stops;
  const auto wrong = [](const RequestJson& found) {
    return InvalidArgument("stop must be a string or a list of strings, found ", Shown(found));
  };
  if (value.is_string()) {
    stops.push_back(value.get<std::string>());
  } else if (value.is_array()) {
    for (const RequestJson& stop : value) {
      if (!stop.is_string()) return wrong(stop);
      stops.push_back(stop.get<std::string>());
    }
  } else {
    return wrong(value);
  }
  size_t bytes = 0;
  for (const std::string& stop : stops) bytes += sizeof(stop) + stop.size();
  if (bytes > kMaxStopBytes) return InvalidArgument("stop: the texts are more than 64 KiB together");
  return stops;
}

}  // namespace radlads
