#include "data/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/json_fields.h"

namespace radlads {
namespace {

using nlohmann::json;
using namespace json_fields;

// Appends the thing itself, or the members of a Sequence, and of Sequences within it, in order.
absl::Status Flatten(const json& value, const char* list, const std::string& where,
                     std::vector<const json*>* members) {
  if (value.is_null()) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const std::string type, TypeOf(value, where));
  if (type != "Sequence") {
    members->push_back(&value);
    return absl::OkStatus();
  }
  const json& parts = Member(value, list);
  if (!parts.is_array()) {
    return InvalidArgument(where, " of type Sequence has \"", list, "\" ", Shortened(parts),
                           ", expected a list");
  }
  for (const json& part : parts) RADLADS_RETURN_IF_ERROR(Flatten(part, list, where, members));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<const json*>> Flatten(const json& value, const char* list, const std::string& where) {
  std::vector<const json*> members;
  RADLADS_RETURN_IF_ERROR(Flatten(value, list, where, &members));
  return members;
}

absl::Status ReadNormalizer(const json& value, TokenizerSpec* spec) {
  RADLADS_ASSIGN_OR_RETURN(const auto members, Flatten(value, "normalizers", "normalizer"));
  for (const json* member : members) {
    RADLADS_ASSIGN_OR_RETURN(const std::string type, TypeOf(*member, "normalizer"));
    if (type != "NFC") {
      return Unimplemented("normalizer \"", type,
                           "\" is not supported; known are null, NFC and Sequence of these");
    }
    spec->nfc = true;
  }
  return absl::OkStatus();
}

absl::Status ReadSplit(const json& value, TokenizerSpec* spec) {
  const json& pattern = Member(value, "pattern");
  const json& regex = Member(pattern, "Regex");
  if (!regex.is_string()) {
    return Unimplemented("pre_tokenizer Split has pattern ", Shortened(pattern),
                         ", expected {\"Regex\": ...}");
  }
  const auto known = FindSplitPattern(regex.get_ref<const std::string&>());
  if (!known.has_value()) {
    return Unimplemented("pre_tokenizer Split has the unknown regular expression ", regex.dump(),
                         "; known are those of GPT-2, Qwen2 and Llama-3");
  }
  const json& behavior = Member(value, "behavior");
  if (behavior != "Isolated") {
    return Unimplemented("pre_tokenizer Split has behavior ", Shortened(behavior),
                         ", supported is \"Isolated\"");
  }
  RADLADS_ASSIGN_OR_RETURN(const bool invert, Flag(value, "invert", false, "pre_tokenizer Split"));
  // With Isolated, matches and what lies between them are kept alike, and nothing lies between:
  // invert changes nothing in the library either, but no known tokenizer sets it.
  if (invert) return Unimplemented("pre_tokenizer Split has \"invert\" true, supported is false");
  spec->pre_tokenizer.push_back({PreTokenizerStep::Kind::kSplit, *known});
  return absl::OkStatus();
}

absl::Status ReadPreTokenizer(const json& value, TokenizerSpec* spec) {
  if (value.is_null()) {
    return Unimplemented(
        "there is no pre_tokenizer; supported are byte-level BPE tokenizers, which have ByteLevel");
  }
  RADLADS_ASSIGN_OR_RETURN(const auto members, Flatten(value, "pretokenizers", "pre_tokenizer"));
  bool byte_level = false;
  for (const json* part : members) {
    const json& member = *part;
    RADLADS_ASSIGN_OR_RETURN(const std::string type, TypeOf(member, "pre_tokenizer"));
    if (byte_level) {
      return Unimplemented("pre_tokenizer \"", type,
                           "\" stands after ByteLevel; ByteLevel must be the last one");
    }
    if (type == "ByteLevel") {
      byte_level = true;
      RADLADS_ASSIGN_OR_RETURN(const bool prefix, Flag(member, "add_prefix_space", std::nullopt,
                                                       "pre_tokenizer ByteLevel"));
      RADLADS_ASSIGN_OR_RETURN(const bool use_regex,
                               Flag(member, "use_regex", true, "pre_tokenizer ByteLevel"));
      if (prefix) spec->pre_tokenizer.push_back({PreTokenizerStep::Kind::kPrefix});
      if (use_regex)
        spec->pre_tokenizer.push_back({PreTokenizerStep::Kind::kSplit, SplitPattern::kGpt2});
    } else if (type == "Digits") {
      RADLADS_ASSIGN_OR_RETURN(const bool individual,
                               Flag(member, "individual_digits", false, "pre_tokenizer Digits"));
      spec->pre_tokenizer.push_back(
          {PreTokenizerStep::Kind::kDigits, SplitPattern::kGpt2, individual});
    } else if (type == "Split") {
      RADLADS_RETURN_IF_ERROR(ReadSplit(member, spec));
    } else {
      return Unimplemented(
          "pre_tokenizer \"", type,
          "\" is not supported; known are ByteLevel, Digits, Split and Sequence of these");
    }
  }
  if (!byte_level) {
    return Unimplemented(
        "the pre_tokenizer has no ByteLevel; supported are byte-level BPE tokenizers only");
  }
  return absl::OkStatus();
}

// Reads the vocabulary into spec->tokens and returns ids by token.
absl::StatusOr<absl::flat_hash_map<std::string, int32_t>> ReadVocabulary(const json& vocab,
                                                                         TokenizerSpec* spec) {
  if (!vocab.is_object()) {
    return InvalidArgument("model has \"vocab\" ", Shortened(vocab),
                           ", expected an object from token to id");
  }
  absl::flat_hash_map<std::string, int32_t> ids;
  ids.reserve(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    RADLADS_ASSIGN_OR_RETURN(const int32_t id, Id(value, "vocab entry \"" + token + "\""));
    if (static_cast<size_t>(id) >= spec->tokens.size()) spec->tokens.resize(id + 1);
    std::optional<std::string>& place = spec->tokens[id];
    if (place.has_value()) {
      return InvalidArgument("vocab gives id ", id, " to \"", *place, "\" and to \"", token,
                             "\"; ids must be unique");
    }
    place = token;
    ids.emplace(token, id);
  }
  if (ids.empty()) return InvalidArgument("the vocab is empty");
  for (const auto& token : spec->tokens) spec->in_model.push_back(token.has_value());
  return ids;
}

absl::Status ReadMerges(const json& merges, const absl::flat_hash_map<std::string, int32_t>& ids,
                        TokenizerSpec* spec) {
  if (!merges.is_array())
    return InvalidArgument("model has \"merges\" ", Shortened(merges), ", expected a list");
  if (merges.size() > Bpe::kMaxMerges)
    return InvalidArgument("model has ", merges.size(), " merges, expected at most ", Bpe::kMaxMerges);
  spec->merges.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const json& merge = merges[i];
    std::string left, right;
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
        return InvalidArgument("merge ", i, " is ", Shortened(merge),
                               ", expected two tokens with one space between");
      }
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      return InvalidArgument("merge ", i, " is ", Shortened(merge),
                             ", expected \"a b\" or [\"a\", \"b\"]");
    }
    const auto find = [&](const std::string& token, int32_t* id) -> absl::Status {
      const auto it = ids.find(token);
      if (it == ids.end()) {
        return InvalidArgument("merge ", i, " (", Shortened(merge), ") needs the token \"", token,
                               "\", which the vocab does not have");
      }
      *id = it->second;
      return absl::OkStatus();
    };
    BpeMerge entry;
    RADLADS_RETURN_IF_ERROR(find(left, &entry.left));
    RADLADS_RETURN_IF_ERROR(find(right, &entry.right));
    RADLADS_RETURN_IF_ERROR(find(left + right, &entry.result));
    spec->merges.push_back(entry);
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::flat_hash_map<std::string, int32_t>> ReadModel(const json& model,
                                                                    TokenizerSpec* spec) {
  if (model.is_null()) return InvalidArgument("there is no \"model\"");
  if (!model.is_object())
    return InvalidArgument("\"model\" is ", Shortened(model), ", expected an object");
  const json& type = Member(model, "type");  // files of 2020 (GPT-2's) do not say it
  if (!type.is_null() && type != "BPE") {
    return Unimplemented("model type ", Shortened(type), " is not supported; supported is \"BPE\"");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json& value = Member(model, key);
    if (!value.is_null() && value != "")
      return Unimplemented("model has \"", key, "\" ", Shortened(value), ", supported is null");
  }
  for (const char* key : {"fuse_unk", "byte_fallback"}) {
    RADLADS_ASSIGN_OR_RETURN(const bool set, Flag(model, key, false, "model"));
    if (set) return Unimplemented("model has \"", key, "\" true, supported is false");
  }
  const json& dropout = Member(model, "dropout");
  if (!dropout.is_null() && dropout != 0.0) {
    return Unimplemented("model has \"dropout\" ", Shortened(dropout), ", supported is null");
  }
  RADLADS_ASSIGN_OR_RETURN(spec->ignore_merges, Flag(model, "ignore_merges", false, "model"));
  RADLADS_ASSIGN_OR_RETURN(auto ids, ReadVocabulary(Member(model, "vocab"), spec));
  RADLADS_RETURN_IF_ERROR(ReadMerges(Member(model, "merges"), ids, spec));
  const json& unknown = Member(model, "unk_token");
  if (!unknown.is_null() && unknown != "") {
    for (int byte = 0; byte < 256; ++byte) {
      if (!ids.contains(ByteToCharacter(static_cast<uint8_t>(byte)))) {
        return Unimplemented(
            "model has \"unk_token\" ", Shortened(unknown), " and no token for byte ", byte,
            "; unknown tokens are not supported, expected null or a token for every byte");
      }
    }
  }
  return ids;
}

absl::Status ReadAddedTokens(const json& list, absl::flat_hash_map<std::string, int32_t> ids,
                             TokenizerSpec* spec) {
  if (list.is_null()) return absl::OkStatus();
  if (!list.is_array())
    return InvalidArgument("\"added_tokens\" is ", Shortened(list), ", expected a list");
  // The library does not believe the ids here: it gives new tokens the next number, in the order of
  // the list. Where the two differ, the file means one thing to us and another to it.
  const auto model_size = static_cast<int32_t>(ids.size());
  int32_t next = model_size;
  absl::flat_hash_map<std::string, bool> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const json& item = list[i];
    const std::string where = Concatenate("added_tokens[", i, "]");
    if (!item.is_object())
      return InvalidArgument(where, " is ", Shortened(item), ", expected an object");
    AddedToken token;
    const json& content = Member(item, "content");
    if (!content.is_string() || content == "") {
      return InvalidArgument(where, " has content ", Shortened(content),
                             ", expected a string that is not empty");
    }
    token.content = content.get<std::string>();
    RADLADS_ASSIGN_OR_RETURN(token.id, Id(Member(item, "id"), where));
    const std::pair<const char*, bool*> flags[] = {{"single_word", &token.single_word},
                                                   {"lstrip", &token.lstrip},
                                                   {"rstrip", &token.rstrip},
                                                   {"normalized", &token.normalized},
                                                   {"special", &token.special}};
    for (const auto& [key, flag] : flags) {
      RADLADS_ASSIGN_OR_RETURN(*flag, Flag(item, key, std::nullopt, where));
    }
    if (!seen.emplace(token.content, true).second) {
      return InvalidArgument(where, " repeats the token \"", token.content, "\"");
    }
    const auto it = ids.find(token.content);
    if (it != ids.end() && it->second != token.id) {
      return InvalidArgument(where, " gives \"", token.content, "\" id ", token.id,
                             ", but the vocab has it as ", it->second);
    }
    if (it == ids.end()) {
      const std::optional<std::string>* taken =
          static_cast<size_t>(token.id) < spec->tokens.size() ? &spec->tokens[token.id] : nullptr;
      if (taken != nullptr && taken->has_value()) {
        return InvalidArgument(where, " gives \"", token.content, "\" id ", token.id,
                               ", which belongs to \"", **taken, "\"");
      }
      if (token.id != next) {
        return InvalidArgument(where, " gives \"", token.content, "\" id ", token.id, ", expected ",
                               next, ": new tokens are numbered after the vocab (", model_size,
                               " tokens) in the order of the list, without holes");
      }
      spec->tokens.resize(std::max<size_t>(spec->tokens.size(), token.id + 1));
      spec->tokens[token.id] = token.content;
    }
    if (token.id >= model_size) next = std::max(next, token.id + 1);
    spec->added.push_back(std::move(token));
  }
  return absl::OkStatus();
}

absl::Status ReadTemplate(const json& value, TokenizerSpec* spec) {
  const std::string where = "post_processor TemplateProcessing";
  const json& single = Member(value, "single");
  if (!single.is_array())
    return InvalidArgument(where, " has \"single\" ", Shortened(single), ", expected a list");
  bool sequence = false;
  for (const json& item : single) {
    if (item.contains("Sequence")) {
      if (sequence) return Unimplemented(where, " has the sequence twice in \"single\"");
      sequence = true;
      continue;
    }
    const json& id = Member(Member(item, "SpecialToken"), "id");
    if (!id.is_string()) return InvalidArgument(where, " has ", Shortened(item), " in \"single\"");
    const json& token_ids =
        Member(Member(Member(value, "special_tokens"), id.get<std::string>().c_str()), "ids");
    if (!token_ids.is_array()) {
      return InvalidArgument(where, " names ", Shortened(id),
                             ", for which \"special_tokens\" has no list \"ids\"");
    }
    for (const json& token_id : token_ids) {
      RADLADS_ASSIGN_OR_RETURN(const int32_t number,
                               Id(token_id, where + " token " + Shortened(id)));
      if (static_cast<size_t>(number) >= spec->tokens.size() || !spec->tokens[number].has_value()) {
        return InvalidArgument(where, " names ", Shortened(id), " with id ", number,
                               ", which no token has");
      }
      (sequence ? spec->suffix : spec->prefix).push_back(number);
    }
  }
  if (!sequence)
    return InvalidArgument(where, " has no sequence in \"single\": ", Shortened(single));
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const json& value, TokenizerSpec* spec) {
  RADLADS_ASSIGN_OR_RETURN(const auto members, Flatten(value, "processors", "post_processor"));
  bool has_template = false;
  for (const json* part : members) {
    const json& member = *part;
    RADLADS_ASSIGN_OR_RETURN(const std::string type, TypeOf(member, "post_processor"));
    if (type == "ByteLevel") continue;  // changes offsets only
    if (type != "TemplateProcessing") {
      return Unimplemented(
          "post_processor \"", type,
          "\" is not supported; known are ByteLevel, TemplateProcessing and Sequence of these");
    }
    if (has_template)
      return Unimplemented("there is more than one post_processor TemplateProcessing");
    has_template = true;
    RADLADS_RETURN_IF_ERROR(ReadTemplate(member, spec));
  }
  return absl::OkStatus();
}

absl::Status ReadDecoder(const json& value) {
  if (value.is_null()) return Unimplemented("there is no decoder; supported is ByteLevel");
  RADLADS_ASSIGN_OR_RETURN(const auto members, Flatten(value, "decoders", "decoder"));
  if (members.size() != 1)
    return Unimplemented("the decoder is a Sequence of ", members.size(),
                         "; supported is ByteLevel");
  RADLADS_ASSIGN_OR_RETURN(const std::string type, TypeOf(*members[0], "decoder"));
  if (type != "ByteLevel")
    return Unimplemented("decoder \"", type, "\" is not supported; supported is ByteLevel");
  return absl::OkStatus();
}

absl::StatusOr<TokenizerSpec> Read(std::string_view text) {
  RADLADS_ASSIGN_OR_RETURN(const json root, ParseObject(text));
  const json& version = Member(root, "version");
  if (!version.is_null() && version != "1.0")
    return Unimplemented("has version ", Shortened(version), ", supported is \"1.0\"");
  TokenizerSpec spec;
  RADLADS_RETURN_IF_ERROR(ReadNormalizer(Member(root, "normalizer"), &spec));
  RADLADS_ASSIGN_OR_RETURN(auto ids, ReadModel(Member(root, "model"), &spec));
  RADLADS_RETURN_IF_ERROR(ReadPreTokenizer(Member(root, "pre_tokenizer"), &spec));
  RADLADS_RETURN_IF_ERROR(ReadAddedTokens(Member(root, "added_tokens"), std::move(ids), &spec));
  spec.in_model.resize(spec.tokens.size(), false);
  RADLADS_RETURN_IF_ERROR(ReadPostProcessor(Member(root, "post_processor"), &spec));
  RADLADS_RETURN_IF_ERROR(ReadDecoder(Member(root, "decoder")));
  return spec;
}

}  // namespace

absl::StatusOr<TokenizerSpec> ParseTokenizerJson(std::string_view text, const std::string& name) {
  auto spec = Read(text);
  if (!spec.ok()) return Annotate(spec.status(), name);
  return spec;
}

}  // namespace radlads
