#include <nlohmann/json.hpp>
#include <optional>

#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/gguf_pre_tokenizer.h"
#include "model/checkpoint/gguf_writer.h"

namespace radlads {
namespace {

using nlohmann::json;

// What a normalizer or pre-tokenizer does, without the keys that change nothing: "NFC", "Digits true", ...
std::string Essence(const json& value) {
  if (!value.is_object()) return "";
  const std::string type = value.value("type", "?");
  if (type == "Sequence") {
    std::string text;
    for (const char* key : {"pretokenizers", "normalizers"}) {
      for (const json& part : value.value(key, json::array())) text += Essence(part) + "; ";
    }
    return text;
  }
  if (type == "Digits") return Concatenate("Digits ", value.value("individual_digits", false));
  if (type == "ByteLevel") return Concatenate("ByteLevel ", value.value("add_prefix_space", true), " ", value.value("use_regex", true));
  if (type == "Split") return Concatenate("Split ", value.value("pattern", json()).dump(), " ", value.value("behavior", ""), " ", value.value("invert", false));
  return value.dump();
}

absl::StatusOr<std::string> PreTokenizerName(const json& tokenizer) {
  auto part = [&](const char* key) { return tokenizer.contains(key) ? Essence(tokenizer[key]) : ""; };
  for (const char* name : gguf::kPreTokenizers) {
    const gguf::PreTokenizer pre = *gguf::FindPreTokenizer(name);
    // A sequence of one is the one.
    const std::string mine = part("pre_tokenizer"), theirs = Essence(json::parse(pre.pre_tokenizer.dump()));
    if ((mine == theirs || mine == theirs + "; ") && part("normalizer") == Essence(json::parse(pre.normalizer.dump()))) return std::string(name);
  }
  return Unimplemented("tokenizer.json splits text by \"", part("pre_tokenizer"), "\" after \"", part("normalizer"),
                       "\", which none of llama.cpp's pre-tokenizers that we know (smollm, gpt-2, qwen2, llama-bpe) does");
}

class Writer {
 public:
  Writer(const std::vector<std::pair<std::string, std::string>>& files, int64_t vocabulary, GgufMetadata& metadata)
      : files_(files), vocabulary_(vocabulary), metadata_(metadata) {}

  absl::Status Write() {
    RADLADS_ASSIGN_OR_RETURN(const json tokenizer, Parse("tokenizer.json"));
    if (tokenizer.is_null()) {
      metadata_.SetString("tokenizer.ggml.model", "none");
      return absl::OkStatus();
    }
    const json model = tokenizer.value("model", json::object());
    if (model.value("type", "") != "BPE" || model.value("byte_fallback", false)) {
      return Unimplemented("tokenizer.json is no byte-level BPE; only these are written to GGUF");
    }
    RADLADS_ASSIGN_OR_RETURN(const std::string pre, PreTokenizerName(tokenizer));
    metadata_.SetString("tokenizer.ggml.model", "gpt2");
    metadata_.SetString("tokenizer.ggml.pre", pre);
    RADLADS_RETURN_IF_ERROR(WriteTokens(tokenizer, model));
    RADLADS_RETURN_IF_ERROR(WriteMerges(model));
    return WriteSpecial(tokenizer);
  }

 private:
  // Null when there is no such file.
  absl::StatusOr<json> Parse(const std::string& name) const {
    for (const auto& [file, contents] : files_) {
      if (file == name) return ParseJson(contents, {.where = name});
    }
    return json();
  }

  absl::Status WriteTokens(const json& tokenizer, const json& model) {
    std::vector<std::string> tokens(vocabulary_);
    std::vector<int32_t> types(vocabulary_, gguf::kUnused);
    auto put = [&](const std::string& token, int64_t id, int32_t type) -> absl::Status {
      if (id < 0 || id >= vocabulary_) {
        return InvalidArgument("tokenizer.json has the token ", id, ", but the embedding has ", vocabulary_, " rows");
      }
      tokens[id] = token;
      types[id] = type;
      id_of_[token] = id;
      return absl::OkStatus();
    };
    const json vocab = model.value("vocab", json::object());
    for (const auto& [token, id] : vocab.items()) {
      RADLADS_RETURN_IF_ERROR(put(token, id.get<int64_t>(), gguf::kNormal));
    }
    for (const json& added : tokenizer.value("added_tokens", json::array())) {
      RADLADS_RETURN_IF_ERROR(put(added.value("content", ""), added.value("id", int64_t{-1}),
                                  added.value("special", false) ? gguf::kControl : gguf::kUserDefined));
    }
    for (int64_t id = 0; id < vocabulary_; ++id) {
      if (types[id] == gguf::kUnused) tokens[id] = Concatenate("[PAD", id, "]");
    }
    metadata_.SetStrings("tokenizer.ggml.tokens", tokens);
    metadata_.SetI32s("tokenizer.ggml.token_type", types);
    return absl::OkStatus();
  }

  absl::Status WriteMerges(const json& model) {
    std::vector<std::string> merges;
    for (const json& merge : model.value("merges", json::array())) {
      if (merge.is_string()) {
        merges.push_back(merge.get<std::string>());
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        merges.push_back(Concatenate(merge[0].get<std::string>(), " ", merge[1].get<std::string>()));
      } else {
        return InvalidArgument("tokenizer.json: merge ", merges.size(), " is neither a text nor two");
      }
    }
    metadata_.SetStrings("tokenizer.ggml.merges", merges);
    return absl::OkStatus();
  }

  absl::Status WriteSpecial(const json& tokenizer) {
    RADLADS_ASSIGN_OR_RETURN(const json config, Parse("tokenizer_config.json"));
    for (const auto& [token, key] : {std::pair{"bos_token", "tokenizer.ggml.bos_token_id"},
                                     {"eos_token", "tokenizer.ggml.eos_token_id"},
                                     {"pad_token", "tokenizer.ggml.padding_token_id"},
                                     {"unk_token", "tokenizer.ggml.unknown_token_id"}}) {
      if (!config.is_object() || !config.contains(token)) continue;
      const json& value = config[token];
      const std::string text = value.is_string() ? value.get<std::string>() : value.is_object() ? value.value("content", "") : "";
      if (const auto id = id_of_.find(text); id != id_of_.end()) metadata_.SetU32(key, id->second);
    }
    const json post = tokenizer.value("post_processor", json());
    const bool adds = post.is_object() && post.value("type", "") == "TemplateProcessing" && post.contains("single") &&
                      !post["single"].empty() && post["single"][0].contains("SpecialToken");
    metadata_.SetBool("tokenizer.ggml.add_bos_token", adds);
    for (const auto& [file, contents] : files_) {
      if (file == "chat_template.jinja") {
        metadata_.SetString("tokenizer.chat_template", contents);
        return absl::OkStatus();
      }
    }
    if (config.is_object() && config.contains("chat_template") && config["chat_template"].is_string()) {
      metadata_.SetString("tokenizer.chat_template", config["chat_template"].get<std::string>());
    }
    return absl::OkStatus();
  }

  const std::vector<std::pair<std::string, std::string>>& files_;
  const int64_t vocabulary_;
  GgufMetadata& metadata_;
  std::map<std::string, int64_t> id_of_;
};

}  // namespace

absl::Status SetTokenizer(const std::vector<std::pair<std::string, std::string>>& files, int64_t vocabulary, GgufMetadata& metadata) {
  try {
    return Writer(files, vocabulary, metadata).Write();
  } catch (const nlohmann::json::exception& error) {  // a value of another type than every tokenizer.json has there
    return InvalidArgument("the tokenizer's files are not as Hugging Face writes them: ", error.what());
  }
}

}  // namespace radlads
