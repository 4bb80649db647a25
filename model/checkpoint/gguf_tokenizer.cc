#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "base/json.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/gguf_pre_tokenizer.h"

namespace radlads {
namespace {

using nlohmann::ordered_json;

using gguf::kByte, gguf::kControl, gguf::kNormal, gguf::kUnknown, gguf::kUnused, gguf::kUserDefined;
using gguf::PreTokenizer;

constexpr char kTakeTheFiles[] = "take the tokenizer's files of the model's Hugging Face repository instead, with --tokenizer DIRECTORY";

absl::StatusOr<PreTokenizer> PreTokenizerOf(const GgufFile& file, const std::string& model) {
  if (model != "gpt2") {
    return Unimplemented(file.path(), ": the tokenizer model is \"", model, "\"; only byte-level BPE (\"gpt2\") can be rebuilt: ", kTakeTheFiles);
  }
  if (!file.HasKey("tokenizer.ggml.pre")) {
    return Unimplemented(file.path(), ": tokenizer.ggml.pre is missing, so that nobody knows how text is split: ", kTakeTheFiles);
  }
  RADLADS_ASSIGN_OR_RETURN(const std::string name, file.String("tokenizer.ggml.pre"));
  const std::optional<PreTokenizer> pre = gguf::FindPreTokenizer(name);
  if (!pre) {
    return Unimplemented(file.path(), ": the pre-tokenizer is \"", name, "\"; known are ", gguf::KnownPreTokenizers(), ": ", kTakeTheFiles);
  }
  return *pre;
}

class Rebuilder {
 public:
  explicit Rebuilder(const GgufFile& file) : file_(file) {}

  absl::StatusOr<TokenizerFiles> Rebuild() {
    if (!file_.HasKey("tokenizer.ggml.model")) {
      return Unimplemented(file_.path(), ": there is no tokenizer (tokenizer.ggml.model): ", kTakeTheFiles);
    }
    RADLADS_ASSIGN_OR_RETURN(const std::string model, file_.String("tokenizer.ggml.model"));
    TokenizerFiles files;
    if (model != "none") {  // what a model without a tokenizer is written with
      RADLADS_ASSIGN_OR_RETURN(pre_, PreTokenizerOf(file_, model));
      RADLADS_RETURN_IF_ERROR(ReadTokens());
      RADLADS_RETURN_IF_ERROR(ReadSpecialIds());
      RADLADS_ASSIGN_OR_RETURN(const std::string merges, MergesText());
      RADLADS_ASSIGN_OR_RETURN(std::string config, TokenizerConfigText());
      files = {{"tokenizer.json", TokenizerText(merges)},
               {"tokenizer_config.json", std::move(config)},
               {"special_tokens_map.json", SpecialTokens().dump(2) + "\n"}};
    }
    RADLADS_ASSIGN_OR_RETURN(const std::vector<int32_t> ends, EndTokenIdsFromGguf(file_));
    ordered_json generation = {{"_from_model_config", true}};
    if (bos_) generation["bos_token_id"] = *bos_;
    if (!ends.empty()) generation["eos_token_id"] = ends.size() == 1 ? ordered_json(ends[0]) : ordered_json(ends);
    if (pad_) generation["pad_token_id"] = *pad_;
    if (model != "none" || !ends.empty()) files.emplace_back("generation_config.json", generation.dump(2) + "\n");
    return files;
  }

 private:
  absl::Status ReadTokens() {
    RADLADS_ASSIGN_OR_RETURN(tokens_, file_.Strings("tokenizer.ggml.tokens"));
    RADLADS_ASSIGN_OR_RETURN(types_, file_.Ints("tokenizer.ggml.token_type"));
    if (tokens_.size() != types_.size()) {
      return InvalidArgument(file_.path(), ": ", tokens_.size(), " tokenizer.ggml.tokens, but ", types_.size(), " token_type; expected one each");
    }
    std::unordered_map<std::string_view, size_t> first;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] < kNormal || types_[id] > kByte) {
        return InvalidArgument(file_.path(), ": token ", id, " is of the unknown type ", types_[id], ", expected 1 to 6");
      }
      if (!IsUtf8(tokens_[id])) return InvalidArgument(file_.path(), ": token ", id, " is not UTF-8");
      if (types_[id] == kUnused) continue;
      if (auto [other, is_new] = first.emplace(tokens_[id], id); !is_new) {
        return InvalidArgument(file_.path(), ": tokens ", other->second, " and ", id, " are both \"", tokens_[id], "\"");
      }
    }
    // Readers of tokenizer.json number added tokens after the vocabulary, in order, whatever ids they are given. Where the
    // file has them elsewhere they have to be in the vocabulary, which then says it.
    int64_t next = std::count(types_.begin(), types_.end(), kNormal) + std::count(types_.begin(), types_.end(), kByte);
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (IsAdded(id) && static_cast<int64_t>(id) != next++) pre_.special_tokens_in_vocab = true;
    }
    return absl::OkStatus();
  }

  absl::Status ReadId(const std::string& name, std::optional<int64_t>& id) {
    if (!file_.HasKey(name)) return absl::OkStatus();
    RADLADS_ASSIGN_OR_RETURN(id, file_.Int(name));
    if (*id < 0 || *id >= static_cast<int64_t>(tokens_.size())) {
      return InvalidArgument(file_.path(), ": ", name, " is ", *id, ", but there are ", tokens_.size(), " tokens");
    }
    return absl::OkStatus();
  }

  absl::Status ReadSpecialIds() {
    RADLADS_RETURN_IF_ERROR(ReadId("tokenizer.ggml.bos_token_id", bos_));
    for (const char* end : gguf::kEndTokens) {
      std::optional<int64_t> id;
      RADLADS_RETURN_IF_ERROR(ReadId(end, id));
      if (!eos_) eos_ = id;
    }
    RADLADS_RETURN_IF_ERROR(ReadId("tokenizer.ggml.padding_token_id", pad_));
    RADLADS_RETURN_IF_ERROR(ReadId("tokenizer.ggml.unknown_token_id", unknown_));
    if (file_.HasKey(gguf::kAddBos)) {
      RADLADS_ASSIGN_OR_RETURN(pre_.add_bos, file_.Bool(gguf::kAddBos));
    }
    if (file_.HasKey(gguf::kAddEos)) {
      RADLADS_ASSIGN_OR_RETURN(add_eos_, file_.Bool(gguf::kAddEos));
    }
    if (pre_.add_bos && !bos_) return InvalidArgument(file_.path(), ": a BOS token is to be added, but tokenizer.ggml.bos_token_id is missing");
    if (add_eos_ && !eos_) return InvalidArgument(file_.path(), ": an EOS token is to be added, but tokenizer.ggml.eos_token_id is missing");
    return absl::OkStatus();
  }

  bool IsAdded(size_t id) const { return types_[id] == kControl || types_[id] == kUserDefined || types_[id] == kUnknown; }
  std::string Token(int64_t id) const { return std::string(tokens_[id]); }

  absl::StatusOr<std::string> MergesText() {
    RADLADS_ASSIGN_OR_RETURN(const auto merges, file_.Strings("tokenizer.ggml.merges"));
    std::string text = "[";
    for (size_t i = 0; i < merges.size(); ++i) {
      const size_t space = merges[i].find(' ');
      if (!IsUtf8(merges[i]) || space == merges[i].npos || space == 0 || space + 1 == merges[i].size() || space != merges[i].rfind(' ')) {
        return InvalidArgument(file_.path(), ": merge ", i, " is not two tokens with a space between them");
      }
      if (i > 0) text += ',';
      text += nlohmann::json(merges[i]).dump();
    }
    text += ']';
    return text;
  }

  ordered_json AddedToken(size_t id) const {
    return {{"content", Token(id)}, {"single_word", false}, {"lstrip", false},
            {"rstrip", false},      {"normalized", false},  {"special", types_[id] != kUserDefined}};
  }

  // [bos] A [eos], and the same of two texts.
  ordered_json PostProcessor() const {
    if (!pre_.add_bos && !add_eos_) return nullptr;
    ordered_json single = ordered_json::array(), pair = ordered_json::array(), tokens = ordered_json::object();
    const auto add_token = [&](int64_t id, int type, ordered_json& to) {
      const std::string token = Token(id);
      to.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
      tokens[token] = {{"id", token}, {"ids", ordered_json::array({id})}, {"tokens", ordered_json::array({token})}};
    };
    const auto add_text = [&](const char* name, int type, ordered_json& to) {
      if (pre_.add_bos) add_token(*bos_, type, to);
      to.push_back({{"Sequence", {{"id", name}, {"type_id", type}}}});
      if (add_eos_) add_token(*eos_, type, to);
    };
    add_text("A", 0, single);
    add_text("A", 0, pair);
    add_text("B", 1, pair);
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
  }

  // Put together by hand: the ordered map of the JSON library would take quadratic time over a vocabulary.
  std::string TokenizerText(const std::string& merges) const {
    std::string added, vocab;
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] == kUnused) continue;
      if (IsAdded(id)) {
        ordered_json entry = {{"id", id}};
        entry.update(AddedToken(id));
        if (!added.empty()) added += ",\n";
        added += entry.dump();
        if (!pre_.special_tokens_in_vocab) continue;
      }
      if (!vocab.empty()) vocab += ",\n";
      vocab += nlohmann::json(tokens_[id]).dump();
      vocab += ':';
      vocab += std::to_string(id);
    }
    return Concatenate("{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n\"added_tokens\":[", added, "],\n\"normalizer\":",
                       pre_.normalizer.dump(), ",\n\"pre_tokenizer\":", pre_.pre_tokenizer.dump(), ",\n\"post_processor\":",
                       PostProcessor().dump(), ",\n\"decoder\":", gguf::ByteLevelDecoder().dump(),
                       ",\n\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,",
                       "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":",
                       pre_.ignore_merges ? "true" : "false", ",\n\"vocab\":{", vocab, "},\n\"merges\":", merges, "}}\n");
  }

  ordered_json SpecialTokens() const {
    ordered_json map = ordered_json::object();
    ordered_json additional = ordered_json::array();
    if (bos_) additional.push_back(Token(*bos_));
    if (eos_ && eos_ != bos_) additional.push_back(Token(*eos_));
    map["additional_special_tokens"] = additional;
    if (bos_) map["bos_token"] = Token(*bos_);
    if (eos_) map["eos_token"] = Token(*eos_);
    if (pad_) map["pad_token"] = Token(*pad_);
    if (unknown_) map["unk_token"] = Token(*unknown_);
    return map;
  }

  // A string, or a list where there are templates with names; null if there is none.
  absl::StatusOr<ordered_json> ChatTemplates() const {
    ordered_json single;
    if (file_.HasKey(gguf::kChatTemplate)) {
      RADLADS_ASSIGN_OR_RETURN(single, file_.String(gguf::kChatTemplate));
    }
    if (!file_.HasKey(gguf::kChatTemplates)) return single;
    ordered_json list = ordered_json::array();
    if (!single.is_null()) list.push_back({{"name", kDefaultChatTemplate}, {"template", single}});
    RADLADS_ASSIGN_OR_RETURN(const auto names, file_.Strings(gguf::kChatTemplates));
    for (const std::string_view name : names) {
      if (!IsUtf8(name)) return InvalidArgument(file_.path(), ": a name in ", gguf::kChatTemplates, " is not UTF-8");
      RADLADS_ASSIGN_OR_RETURN(const std::string source, file_.String(Concatenate(gguf::kNamedChatTemplate, name)));
      if (name != kDefaultChatTemplate) list.push_back({{"name", name}, {"template", source}});
    }
    return list;
  }

  absl::StatusOr<std::string> TokenizerConfigText() const {
    ordered_json config = {{"add_prefix_space", false}, {"added_tokens_decoder", ordered_json::object()}};
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (IsAdded(id)) config["added_tokens_decoder"][std::to_string(id)] = AddedToken(id);
    }
    config.update(SpecialTokens());
    RADLADS_ASSIGN_OR_RETURN(ordered_json templates, ChatTemplates());
    if (!templates.is_null()) config["chat_template"] = std::move(templates);
    config["clean_up_tokenization_spaces"] = false;
    if (file_.HasKey("general.architecture")) {
      RADLADS_ASSIGN_OR_RETURN(const std::string architecture, file_.String("general.architecture"));
      if (const std::string key = architecture + ".context_length"; file_.HasKey(key)) {
        RADLADS_ASSIGN_OR_RETURN(config["model_max_length"], file_.Int(key));
      }
    }
    // Not the class of the family: some readers take it as a licence to rebuild the pre-tokenizer from it.
    config["tokenizer_class"] = "PreTrainedTokenizerFast";
    return config.dump(2) + "\n";
  }

  const GgufFile& file_;
  PreTokenizer pre_;
  std::vector<std::string_view> tokens_;
  std::vector<int64_t> types_;
  std::optional<int64_t> bos_, eos_, pad_, unknown_;
  bool add_eos_ = false;
};

}  // namespace

absl::StatusOr<std::vector<int32_t>> EndTokenIdsFromGguf(const GgufFile& file) {
  std::vector<int32_t> ids;
  const auto add = [&](std::string_view key, int64_t id) -> absl::Status {
    if (id < 0 || id > INT32_MAX) return InvalidArgument(file.path(), ": ", key, " holds ", id, ", which is no token id");
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(static_cast<int32_t>(id));
    return absl::OkStatus();
  };
  for (const char* key : gguf::kEndTokens) {
    if (!file.HasKey(key)) continue;
    RADLADS_ASSIGN_OR_RETURN(const int64_t id, file.Int(key));
    RADLADS_RETURN_IF_ERROR(add(key, id));
  }
  if (file.HasKey(gguf::kAllEndTokens)) {
    RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> all, file.Ints(gguf::kAllEndTokens));
    for (const int64_t id : all) RADLADS_RETURN_IF_ERROR(add(gguf::kAllEndTokens, id));
  }
  return ids;
}

absl::StatusOr<TokenizerFiles> TokenizerFilesFromGguf(const GgufFile& file) { return Rebuilder(file).Rebuild(); }

}  // namespace radlads
