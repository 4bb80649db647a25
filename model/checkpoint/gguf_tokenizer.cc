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

absl::StatusOr<PreTokenizer> PreTokenizerOf(const GgufFile& file) {
  RADLADS_ASSIGN_OR_RETURN(const std::string model, file.String("tokenizer.ggml.model"));
  if (model != "gpt2") {
    return Unimplemented(file.path(), ": the tokenizer model is \"", model, "\"; only byte-level BPE (\"gpt2\") can be rebuilt");
  }
  RADLADS_ASSIGN_OR_RETURN(const std::string name, file.String("tokenizer.ggml.pre"));
  const std::optional<PreTokenizer> pre = gguf::FindPreTokenizer(name);
  if (!pre) {
    return Unimplemented(file.path(), ": the pre-tokenizer is \"", name, "\"; known are smollm, gpt-2, qwen2, llama-bpe. ",
                         "Take the tokenizer files of the model's Hugging Face repository instead");
  }
  return *pre;
}

class Rebuilder {
 public:
  explicit Rebuilder(const GgufFile& file) : file_(file) {}

  absl::StatusOr<TokenizerFiles> Rebuild() {
    RADLADS_ASSIGN_OR_RETURN(pre_, PreTokenizerOf(file_));
    RADLADS_RETURN_IF_ERROR(ReadTokens());
    RADLADS_RETURN_IF_ERROR(ReadSpecialIds());
    RADLADS_ASSIGN_OR_RETURN(const std::string merges, MergesText());
    TokenizerFiles files;
    RADLADS_ASSIGN_OR_RETURN(files.tokenizer_config_json, TokenizerConfigText());
    files.tokenizer_json = TokenizerText(merges);
    files.special_tokens_map_json = SpecialTokens().dump(2) + "\n";
    ordered_json generation = {{"_from_model_config", true}};
    if (bos_) generation["bos_token_id"] = *bos_;
    if (eos_) generation["eos_token_id"] = *eos_;
    if (pad_) generation["pad_token_id"] = *pad_;
    files.generation_config_json = generation.dump(2) + "\n";
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
    return absl::OkStatus();
  }

  absl::Status ReadId(const char* key, std::optional<int64_t>& id) {
    const std::string name = Concatenate("tokenizer.ggml.", key);
    if (!file_.HasKey(name)) return absl::OkStatus();
    RADLADS_ASSIGN_OR_RETURN(id, file_.Int(name));
    if (*id < 0 || *id >= static_cast<int64_t>(tokens_.size())) {
      return InvalidArgument(file_.path(), ": ", name, " is ", *id, ", but there are ", tokens_.size(), " tokens");
    }
    return absl::OkStatus();
  }

  absl::Status ReadSpecialIds() {
    RADLADS_RETURN_IF_ERROR(ReadId("bos_token_id", bos_));
    RADLADS_RETURN_IF_ERROR(ReadId("eos_token_id", eos_));
    RADLADS_RETURN_IF_ERROR(ReadId("padding_token_id", pad_));
    RADLADS_RETURN_IF_ERROR(ReadId("unknown_token_id", unknown_));
    if (file_.HasKey("tokenizer.ggml.add_bos_token")) {
      RADLADS_ASSIGN_OR_RETURN(pre_.add_bos, file_.Bool("tokenizer.ggml.add_bos_token"));
    }
    if (pre_.add_bos && !bos_) return InvalidArgument(file_.path(), ": a BOS token is to be added, but tokenizer.ggml.bos_token_id is missing");
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

  ordered_json PostProcessor() const {
    if (!pre_.add_bos) return nullptr;
    const std::string bos = Token(*bos_);
    const ordered_json first = {{"SpecialToken", {{"id", bos}, {"type_id", 0}}}}, a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const ordered_json second = {{"SpecialToken", {{"id", bos}, {"type_id", 1}}}}, b = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    return {{"type", "TemplateProcessing"},
            {"single", ordered_json::array({first, a})},
            {"pair", ordered_json::array({first, a, second, b})},
            {"special_tokens",
             {{bos, {{"id", bos}, {"ids", ordered_json::array({*bos_})}, {"tokens", ordered_json::array({bos})}}}}}};
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

  absl::StatusOr<std::string> TokenizerConfigText() const {
    ordered_json config = {{"add_prefix_space", false}, {"added_tokens_decoder", ordered_json::object()}};
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (IsAdded(id)) config["added_tokens_decoder"][std::to_string(id)] = AddedToken(id);
    }
    config.update(SpecialTokens());
    if (file_.HasKey("tokenizer.chat_template")) {
      RADLADS_ASSIGN_OR_RETURN(config["chat_template"], file_.String("tokenizer.chat_template"));
    }
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
};

}  // namespace

absl::StatusOr<TokenizerFiles> TokenizerFilesFromGguf(const GgufFile& file) { return Rebuilder(file).Rebuild(); }

}  // namespace radlads
