#include <algorithm>
#include <cctype>
#include <map>
#include <optional>

#include "base/logging.h"
#include "base/status.h"
#include "model/checkpoint/gguf_pre_tokenizer.h"
#include "model/checkpoint/gguf_writer.h"

namespace radlads {
namespace {

class Writer {
 public:
  Writer(const TokenizerFiles& files, const ModelConfig& config, GgufMetadata& metadata)
      : files_(files), config_(config), vocabulary_(config.vocab_size()), metadata_(metadata) {}

  absl::Status Write() {
    RADLADS_ASSIGN_OR_RETURN(settings_, ParseTokenizerSettings(files_, ""));
    const std::string* text = FindTokenizerFile(files_, "tokenizer.json");
    if (text == nullptr) {
      metadata_.SetString("tokenizer.ggml.model", "none");
    } else {
      RADLADS_ASSIGN_OR_RETURN(spec_, ParseTokenizerJson(*text, "tokenizer.json"));
      const std::optional<std::string_view> pre = gguf::PreTokenizerName(spec_);
      if (!pre) {
        return Unimplemented("tokenizer.json splits or merges text in a way that none of llama.cpp's pre-tokenizers that we know (",
                             gguf::KnownPreTokenizers(), ") does");
      }
      metadata_.SetString("tokenizer.ggml.model", "gpt2");
      metadata_.SetString("tokenizer.ggml.pre", *pre);
      RADLADS_RETURN_IF_ERROR(WriteTokens());
      WriteMerges();
    }
    RADLADS_RETURN_IF_ERROR(WriteSpecialTokens());
    return WriteChatTemplates();
  }

 private:
  absl::Status WriteTokens() {
    std::vector<std::string> tokens(vocabulary_);
    std::vector<int32_t> types(vocabulary_, gguf::kUnused);
    std::vector<std::string> beyond, stripping;
    std::map<int32_t, const AddedToken*> added;
    for (const AddedToken& token : spec_.added) {
      added[token.id] = &token;
      if (token.lstrip || token.rstrip || token.single_word) stripping.push_back(token.content);
    }
    for (size_t id = 0; id < spec_.tokens.size(); ++id) {
      if (!spec_.tokens[id]) continue;
      const auto found = added.find(static_cast<int32_t>(id));
      if (static_cast<int64_t>(id) >= vocabulary_) {
        if (found == added.end()) {
          return InvalidArgument("tokenizer.json has the token ", id, ", but the embedding has ", vocabulary_, " rows");
        }
        beyond.push_back(*spec_.tokens[id]);
        continue;
      }
      tokens[id] = *spec_.tokens[id];
      types[id] = found == added.end() ? gguf::kNormal : found->second->special ? gguf::kControl : gguf::kUserDefined;
      id_of_[tokens[id]] = static_cast<int32_t>(id);
    }
    for (int64_t id = 0; id < vocabulary_; ++id) {
      if (types[id] == gguf::kUnused) tokens[id] = Concatenate("[PAD", id, "]");
    }
    metadata_.SetStrings("tokenizer.ggml.tokens", tokens);
    metadata_.SetI32s("tokenizer.ggml.token_type", types);
    Warn(beyond, Concatenate("left out, as the embedding has ", vocabulary_, " rows and none for them"));
    Warn(stripping, "written without lstrip, rstrip and single_word, which GGUF cannot say");
    return absl::OkStatus();
  }

  // Says what became of some added tokens.
  static void Warn(const std::vector<std::string>& tokens, const std::string& what) {
    constexpr size_t kShown = 8;
    std::string names;
    for (size_t i = 0; i < std::min(tokens.size(), kShown); ++i) names += (i == 0 ? "" : ", ") + tokens[i];
    if (!tokens.empty()) Log().warn("added tokens {}: {}{}", what, names, tokens.size() > kShown ? ", ..." : "");
  }

  void WriteMerges() {
    std::vector<std::string> merges;
    merges.reserve(spec_.merges.size());
    for (const BpeMerge& merge : spec_.merges) merges.push_back(Concatenate(*spec_.tokens[merge.left], " ", *spec_.tokens[merge.right]));
    metadata_.SetStrings("tokenizer.ggml.merges", merges);
  }

  std::optional<int32_t> IdOf(const std::optional<std::string>& token) const {
    const auto found = token ? id_of_.find(*token) : id_of_.end();
    if (found == id_of_.end()) return std::nullopt;
    return found->second;
  }

  bool HasRow(int64_t id) const { return id >= 0 && id < vocabulary_; }

  // All that end a text, the EOS of the tokenizer first.
  std::vector<int32_t> EndTokens() const {
    std::vector<int32_t> all;
    const auto add = [&](int64_t id) {
      if (HasRow(id) && std::find(all.begin(), all.end(), id) == all.end()) all.push_back(static_cast<int32_t>(id));
    };
    if (const auto id = IdOf(settings_.eos_token)) add(*id);
    for (const int32_t id : settings_.generation_eos_ids) add(id);
    if (config_.has_eos_token_id()) add(config_.eos_token_id());
    return all;
  }

  absl::Status WriteSpecialTokens() {
    std::optional<int32_t> bos = IdOf(settings_.bos_token);
    if (!settings_.bos_token && settings_.generation_bos_id && HasRow(*settings_.generation_bos_id)) bos = settings_.generation_bos_id;
    if (!settings_.bos_token && !bos && config_.has_bos_token_id() && HasRow(config_.bos_token_id())) bos = config_.bos_token_id();
    std::vector<int32_t> ends = EndTokens();

    // What is put around a text has to be the BOS and the EOS, of which there is one each.
    const std::vector<int32_t>&prefix = spec_.prefix, &suffix = spec_.suffix;
    if (!prefix.empty() && !bos) bos = prefix[0];
    if (!suffix.empty()) {
      ends.erase(std::remove(ends.begin(), ends.end(), suffix[0]), ends.end());
      ends.insert(ends.begin(), suffix[0]);
    }
    if (prefix.size() > 1 || suffix.size() > 1 || (!prefix.empty() && prefix[0] != *bos)) {
      return Unimplemented("the post-processor of tokenizer.json puts more around a text than its BOS before and an EOS behind, "
                           "which is all that GGUF can say");
    }
    if (bos) metadata_.SetU32("tokenizer.ggml.bos_token_id", *bos);
    WriteEndTokens(ends);
    if (const auto pad = IdOf(settings_.pad_token)) metadata_.SetU32("tokenizer.ggml.padding_token_id", *pad);
    if (const auto unknown = IdOf(settings_.unk_token)) metadata_.SetU32("tokenizer.ggml.unknown_token_id", *unknown);
    if (spec_.tokens.empty()) return absl::OkStatus();
    metadata_.SetBool(gguf::kAddBos, !prefix.empty());
    if (!suffix.empty()) metadata_.SetBool(gguf::kAddEos, true);
    return absl::OkStatus();
  }

  void WriteEndTokens(const std::vector<int32_t>& ends) {
    if (ends.empty()) return;
    const char* const eot = gguf::kEndTokens[1];
    const char* const eom = gguf::kEndTokens[2];
    std::vector<int32_t> others(ends.begin() + 1, ends.end());
    const auto message_end = std::find_if(others.begin(), others.end(), [&](int32_t id) {
      const auto token = id_of_.find("<|eom_id|>");
      return token != id_of_.end() && token->second == id;
    });
    std::optional<int32_t> last;
    if (message_end != others.end()) {
      last = *message_end;
      others.erase(message_end);
    }
    metadata_.SetU32(gguf::kEndTokens[0], ends[0]);
    if (!others.empty()) metadata_.SetU32(eot, others[0]);
    if (!last && others.size() > 1) last = others[1];
    if (last) metadata_.SetU32(eom, *last);
    if (ends.size() > std::size(gguf::kEndTokens)) metadata_.SetI32s(gguf::kAllEndTokens, ends);
  }

  absl::Status WriteChatTemplates() {
    std::vector<std::string> names;
    for (const ChatTemplateSource& named : settings_.chat_templates) {
      if (named.name == kDefaultChatTemplate) {
        metadata_.SetString(gguf::kChatTemplate, named.source);
        continue;
      }
      std::string name = named.name;  // as gguf-py spells it
      std::replace_if(name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c) || c >= 0x80; }, '_');
      if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) {
        return InvalidArgument("the chat template named \"", named.name, "\" has no name, or that of another one, in the letters, digits and _ that GGUF has");
      }
      metadata_.SetString(gguf::kNamedChatTemplate + name, named.source);
      names.push_back(std::move(name));
    }
    if (!names.empty()) metadata_.SetStrings(gguf::kChatTemplates, names);
    return absl::OkStatus();
  }

  const TokenizerFiles& files_;
  const ModelConfig& config_;
  const int64_t vocabulary_;
  GgufMetadata& metadata_;
  TokenizerSettings settings_;
  TokenizerSpec spec_;
  std::map<std::string, int32_t> id_of_;
};

}  // namespace

absl::Status SetTokenizer(const TokenizerFiles& files, const ModelConfig& config, GgufMetadata& metadata) {
  return Writer(files, config, metadata).Write();
}

}  // namespace radlads
