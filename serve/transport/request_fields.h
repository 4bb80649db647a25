// What becomes of every field that clients of OpenAI's API, llama.cpp, vLLM and SGLang are known to send: the only list
// of them, for //serve:server and //eval:server. docs/formats/request_fields.md shows it; a test holds the two
// together.
#ifndef RADLADS_SERVE_TRANSPORT_REQUEST_FIELDS_H_
#define RADLADS_SERVE_TRANSPORT_REQUEST_FIELDS_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "serve/transport/json_fields.h"

namespace radlads {

// Where a body came in.
enum class RequestPath { kServeChat, kServeCompletions, kEvalChat, kEvalCompletions };
inline constexpr int kRequestPaths = 4;

// What a path makes of a field, in the letters of RequestField::uses.
enum class FieldUse : char {
  kHonoured = 'h',  // whoever reads the field says what it can be
  kTemplate = 't',  // the chat template gets it; refused where the template does not read it
  kHarmless = '-',  // changes nothing, whatever it is
  kRefused = 'x',   // unless its value changes nothing
};

struct RequestField {
  // In the body; "place.name" for a part of the object `place`, "messages[].name" of a message. "name*" stands for all
  // fields that begin so and are not in the list themselves.
  std::string_view name;
  const char* uses;  // a FieldUse for each RequestPath
  // Values, as JSON and separated by commas, of a refused field that change nothing; null, "" and [] never do.
  const char* neutral;
  const char* instead;  // what to do about a refusal, besides leaving the field out; "" if nothing
};

// By names.
std::span<const RequestField> RequestFields();

// INVALID_ARGUMENT names the first field of `json`, an object, that the path refuses, and says what it can be. `place`:
// which object it is, with the dot, as the names of RequestField have it; `shown`: in the message, if it has another
// name there. Fields in no list are nobody's business.
absl::Status CheckFields(const RequestJson& json, RequestPath path, std::string_view place = "",
                         std::string_view shown = "");

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_REQUEST_FIELDS_H_
