#include "eval/completion_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "base/status.h"
#include "data/tokenizer/stream_decoder.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;

// Of OpenAI's API are the names and the temperature; a client that names no length gets a whole paragraph and not
// OpenAI's 16 tokens, because lm_eval's gguf client never names one.
constexpr int64_t kDefaultMaxTokens = 256;
constexpr int64_t kMaxLogprobs = 100;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Json> ParseObject(std::string_view body) {
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return InvalidArgument("the body is not JSON");
  if (!json.is_object()) return InvalidArgument("the body is a JSON ", json.type_name(), ", expected an object");
  return json;
}

// A field, or null where it is missing.
const Json& Field(const Json& json, const char* name) {
  static const Json kNull;
  const auto found = json.find(name);
  return found == json.end() ? kNull : *found;
}

absl::StatusOr<int64_t> Integer(const Json& json, const char* name, int64_t otherwise, int64_t low, int64_t high) {
  const Json& value = Field(json, name);
  if (value.is_null()) return otherwise;
  const bool fits = value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    return InvalidArgument(name, " must be an integer from ", low, " to ", high, ", found ", Dump(value));
  }
  return value.get<int64_t>();
}

absl::StatusOr<double> Number(const Json& json, const char* name, double otherwise, double low, double high) {
  const Json& value = Field(json, name);
  if (value.is_null()) return otherwise;
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
    return InvalidArgument(name, " must be a number from ", low, " to ", high, ", found ", Dump(value));
  }
  return value.get<double>();
}

absl::StatusOr<bool> Boolean(const Json& json, const char* name, bool otherwise) {
  const Json& value = Field(json, name);
  if (value.is_null()) return otherwise;
  if (!value.is_boolean()) return InvalidArgument(name, " must be true or false, found a JSON ", value.type_name());
  return value.get<bool>();
}

absl::StatusOr<std::string> String(const Json& json, const char* name) {
  const Json& value = Field(json, name);
  if (!value.is_string()) return InvalidArgument(name, " must be a string, found a JSON ", value.type_name());
  return value.get<std::string>();
}

absl::StatusOr<std::vector<std::string>> Stops(const Json& json) {
  const Json& value = Field(json, "stop");
  if (value.is_null()) return std::vector<std::string>();
  if (value.is_string()) return std::vector<std::string>{value.get<std::string>()};
  std::vector<std::string> stops;
  for (const Json& stop : value) {
    if (!value.is_array() || !stop.is_string()) return InvalidArgument("stop must be a string or a list of strings");
    stops.push_back(stop.get<std::string>());
  }
  if (!value.is_array()) return InvalidArgument("stop must be a string or a list of strings");
  return stops;
}

// What would change the answer and is not there.
absl::Status CheckSupported(const Json& json) {
  const auto differs = [&](const char* name, const std::vector<Json>& allowed) {
    const Json& value = Field(json, name);
    return !value.is_null() && std::find(allowed.begin(), allowed.end(), value) == allowed.end();
  };
  if (differs("n", {1}) || differs("best_of", {1}))
    return InvalidArgument("only one completion a prompt (n = 1) is supported");
  if (differs("stream", {false})) return InvalidArgument("stream is not supported here; set it to false");
  if (differs("suffix", {""})) return InvalidArgument("suffix is not supported; leave it out");
  if (differs("logit_bias", {Json::object()})) return InvalidArgument("logit_bias is not supported; leave it out");
  for (const char* name : {"presence_penalty", "frequency_penalty"}) {
    if (differs(name, {0, 0.0})) return InvalidArgument(name, " is not supported; set it to 0");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> Ids(const Json& list, const char* name, int64_t vocabulary) {
  std::vector<int64_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer()) return InvalidArgument(name, ": a token id must be an integer, found ", Dump(id));
    const bool huge = id.is_number_unsigned() && id.get<uint64_t>() > INT64_MAX;
    if (huge || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocabulary) {
      return InvalidArgument(name, ": token id ", Dump(id), " is outside of the vocabulary of ", vocabulary, " tokens");
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

// A string, a list of ids, or a list of either.
absl::StatusOr<std::vector<std::vector<int64_t>>> Prompts(const Json& json, const Tokenizer& tokenizer,
                                                          int64_t vocabulary) {
  const Json& value = Field(json, "prompt");
  const auto from_text = [&](const std::string& text) {
    const std::vector<int32_t> ids = tokenizer.Encode(text);
    return std::vector<int64_t>(ids.begin(), ids.end());
  };
  if (value.is_string()) return std::vector<std::vector<int64_t>>{from_text(value.get<std::string>())};
  if (!value.is_array()) {
    return InvalidArgument("prompt must be a string, a list of token ids, or a list of either, found a JSON ",
                           value.type_name());
  }
  if (value.empty()) return InvalidArgument("prompt is an empty list; give at least one prompt");
  if (value[0].is_number()) {
    RADLADS_ASSIGN_OR_RETURN(std::vector<int64_t> ids, Ids(value, "prompt", vocabulary));
    return std::vector<std::vector<int64_t>>{std::move(ids)};
  }
  std::vector<std::vector<int64_t>> prompts;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i].is_string()) {
      prompts.push_back(from_text(value[i].get<std::string>()));
    } else if (value[i].is_array()) {
      RADLADS_ASSIGN_OR_RETURN(std::vector<int64_t> ids, Ids(value[i], "prompt", vocabulary));
      prompts.push_back(std::move(ids));
    } else {
      return InvalidArgument("prompt[", i, "] must be a string or a list of token ids, found a JSON ",
                             value[i].type_name());
    }
  }
  return prompts;
}

// What a token is called in the arrays: its text; where that is not whole characters, its bytes; else its number.
std::string TokenName(const Tokenizer& tokenizer, int64_t id) {
  const auto bytes = tokenizer.BytesOf(static_cast<int32_t>(id));
  if (!bytes) return Concatenate("token_id:", id);
  const int32_t ids[] = {static_cast<int32_t>(id)};
  const auto text = tokenizer.Decode(ids, /*skip_special_tokens=*/false);
  if (text.ok() && *text == *bytes) return *text;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string name = "bytes:";
  for (const unsigned char byte : *bytes) name += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  return name;
}

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

Json Logprobs(const Completion& completion, const Tokenizer& tokenizer) {
  Json tokens = Json::array(), logprobs = Json::array(), top = Json::array(), offsets = Json::array();
  StreamDecoder decoder(tokenizer.shared_from_this(), /*skip_special_tokens=*/false);
  int64_t offset = 0;
  for (const auto* part : {&completion.prompt, &completion.generated}) {
    for (const CompletionToken& token : *part) {
      tokens.push_back(TokenName(tokenizer, token.id));
      offsets.push_back(offset);
      if (tokenizer.TokenOf(static_cast<int32_t>(token.id))) {
        offset += Characters(*decoder.Push(static_cast<int32_t>(token.id)));
      }
      if (!token.logprob) {
        logprobs.push_back(nullptr);
        top.push_back(nullptr);
        continue;
      }
      logprobs.push_back(*token.logprob);
      Json names = Json::object();
      for (const auto& [id, logprob] : token.top) {
        const std::string name = TokenName(tokenizer, id);
        names[names.contains(name) ? Concatenate("token_id:", id) : name] = logprob;
      }
      top.push_back(std::move(names));
    }
  }
  return {{"tokens", tokens}, {"token_logprobs", logprobs}, {"top_logprobs", top}, {"text_offset", offsets}};
}

Json OptionalToken(const Tokenizer& tokenizer, const std::optional<int32_t>& id) {
  return id ? Json(std::string(tokenizer.TokenOf(*id).value_or(""))) : Json();
}

}  // namespace

absl::StatusOr<std::vector<CompletionRequest>> ParseCompletionRequests(std::string_view body,
                                                                       const Tokenizer& tokenizer,
                                                                       const CompletionModel& model) {
  RADLADS_ASSIGN_OR_RETURN(const Json json, ParseObject(body));
  RADLADS_RETURN_IF_ERROR(CheckSupported(json));
  constexpr double kHuge = std::numeric_limits<double>::max();
  const int64_t context = model.max_length();
  CompletionRequest all;
  RADLADS_ASSIGN_OR_RETURN(all.max_tokens, Integer(json, "max_tokens", kDefaultMaxTokens, 0, context));
  RADLADS_ASSIGN_OR_RETURN(all.echo, Boolean(json, "echo", false));
  if (!Field(json, "logprobs").is_null()) {
    RADLADS_ASSIGN_OR_RETURN(all.logprobs, Integer(json, "logprobs", 0, 0, kMaxLogprobs));
  }
  RADLADS_ASSIGN_OR_RETURN(all.stop, Stops(json));
  RADLADS_ASSIGN_OR_RETURN(all.temperature, Number(json, "temperature", 1, 0, kHuge));
  RADLADS_ASSIGN_OR_RETURN(all.top_p, Number(json, "top_p", 1, 1e-9, 1));
  RADLADS_ASSIGN_OR_RETURN(all.top_k, Integer(json, "top_k", 0, -1, INT64_MAX));
  all.top_k = std::max<int64_t>(all.top_k, 0);  // some clients write -1 for all
  RADLADS_ASSIGN_OR_RETURN(const int64_t seed, Integer(json, "seed", 0, INT64_MIN, INT64_MAX));
  all.seed = static_cast<uint64_t>(seed);
  RADLADS_ASSIGN_OR_RETURN(int64_t keep, Integer(json, "truncate_prompt_tokens", 0, -1, INT64_MAX));
  RADLADS_ASSIGN_OR_RETURN(auto prompts, Prompts(json, tokenizer, model.vocabulary()));

  const bool named = !Field(json, "max_tokens").is_null();
  std::vector<CompletionRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    std::vector<int64_t>& prompt = prompts[i];
    if (prompt.empty()) return InvalidArgument("prompt ", i, " has no token; give at least the begin-of-text token");
    // The last token that is generated is not read.
    const int64_t room = context - std::max<int64_t>(named ? all.max_tokens : 1, 1) + 1;
    const int64_t limit = keep == 0 ? std::numeric_limits<int64_t>::max() : keep < 0 ? room : keep;
    if (static_cast<int64_t>(prompt.size()) > limit) prompt.erase(prompt.begin(), prompt.end() - limit);
    if (static_cast<int64_t>(prompt.size()) > room) {
      return InvalidArgument("prompt ", i, " has ", prompt.size(), " tokens and max_tokens is ", all.max_tokens,
                             ", the context of the model is ", context,
                             " tokens; shorten it, or set truncate_prompt_tokens to -1 to lose its beginning");
    }
    CompletionRequest request = all;
    if (!named) request.max_tokens = std::min<int64_t>(all.max_tokens, context - prompt.size() + 1);
    request.prompt = std::move(prompt);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::string CompletionReply(const ReplyHeader& header, const std::vector<CompletionRequest>& requests,
                            const std::vector<Completion>& completions, const Tokenizer& tokenizer) {
  Json choices = Json::array();
  int64_t prompt_tokens = 0, completion_tokens = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Completion& completion = completions[i];
    std::string text;
    if (requests[i].echo) {
      const std::vector<int32_t> ids(requests[i].prompt.begin(), requests[i].prompt.end());
      StreamDecoder decoder(tokenizer.shared_from_this(), /*skip_special_tokens=*/false);
      for (int32_t id : ids) {
        if (tokenizer.TokenOf(id)) text += *decoder.Push(id);
      }
      text += decoder.Flush();
    }
    choices.push_back({{"text", text + completion.text},
                       {"index", i},
                       {"logprobs", requests[i].logprobs ? Logprobs(completion, tokenizer) : Json()},
                       {"finish_reason", completion.stopped ? "stop" : "length"}});
    prompt_tokens += requests[i].prompt.size();
    completion_tokens += completion.generated.size();
  }
  return Dump({{"id", header.id},
               {"object", "text_completion"},
               {"created", header.created},
               {"model", header.model},
               {"choices", choices},
               {"usage",
                {{"prompt_tokens", prompt_tokens},
                 {"completion_tokens", completion_tokens},
                 {"total_tokens", prompt_tokens + completion_tokens}}}});
}

int HttpStatus(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? 400 : 500;
}

std::string ErrorReply(const absl::Status& status) {
  return Dump({{"error",
                {{"message", std::string(status.message())},
                 {"type", HttpStatus(status) == 400 ? "invalid_request_error" : "server_error"},
                 {"param", nullptr},
                 {"code", HttpStatus(status)}}}});
}

absl::StatusOr<std::string> TokenizeReply(std::string_view body, const Tokenizer& tokenizer, int64_t max_length) {
  RADLADS_ASSIGN_OR_RETURN(const Json json, ParseObject(body));
  RADLADS_ASSIGN_OR_RETURN(const std::string prompt, String(json, "prompt"));
  RADLADS_ASSIGN_OR_RETURN(const bool special, Boolean(json, "add_special_tokens", true));
  const std::vector<int32_t> ids = tokenizer.Encode(prompt, special);
  return Dump({{"tokens", ids}, {"count", ids.size()}, {"max_model_len", max_length}});
}

absl::StatusOr<std::string> DetokenizeReply(std::string_view body, const Tokenizer& tokenizer) {
  RADLADS_ASSIGN_OR_RETURN(const Json json, ParseObject(body));
  const Json& tokens = Field(json, "tokens");
  if (!tokens.is_array())
    return InvalidArgument("tokens must be a list of token ids, found a JSON ", tokens.type_name());
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, Ids(tokens, "tokens", tokenizer.vocab_size()));
  auto text = tokenizer.Decode(std::vector<int32_t>(ids.begin(), ids.end()), /*skip_special_tokens=*/false);
  if (!text.ok()) return InvalidArgument(std::string(text.status().message()));
  return Dump({{"prompt", *text}});
}

std::string TokenizerInfoReply(const Tokenizer& tokenizer, int64_t max_length) {
  return Dump({{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"bos_token", OptionalToken(tokenizer, tokenizer.bos_id())},
               {"eos_token", OptionalToken(tokenizer, tokenizer.eos_id())},
               {"pad_token", OptionalToken(tokenizer, tokenizer.pad_id())},
               {"unk_token", OptionalToken(tokenizer, tokenizer.unk_id())},
               {"chat_template", tokenizer.chat_template() ? Json(*tokenizer.chat_template()) : Json()},
               {"max_model_len", max_length}});
}

}  // namespace radlads
