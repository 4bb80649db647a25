#include "data/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "base/fnv.h"
#include "base/status.h"
#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/normalizer.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

constexpr char kTokenizerJson[] = "tokenizer.json";
constexpr size_t kCachedWords = 1 << 17;     // of an encoder that is kept: 6 MiB
constexpr size_t kKeptScratch = 1 << 20;     // what a huge text needs beyond is given back
constexpr size_t kCachedWordsOnce = 1 << 9;  // of one that lives for one text

std::string HashOf(const TokenizerSpec& spec) {
  Fnv128 hash;
  hash.Add("radlads tokenizer 1");
  hash.AddNumber(spec.nfc);
  hash.AddNumber(spec.pre_tokenizer.size());
  for (const PreTokenizerStep& step : spec.pre_tokenizer) {
    hash.AddNumber(static_cast<uint64_t>(step.kind));
    hash.AddNumber(static_cast<uint64_t>(step.pattern));
    hash.AddNumber(step.individual_digits);
  }
  hash.AddNumber(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    hash.AddNumber(spec.tokens[id].has_value() + spec.in_model[id]);
    if (spec.tokens[id].has_value()) hash.Add(*spec.tokens[id]);
  }
  hash.AddNumber(spec.ignore_merges);
  hash.AddNumber(spec.merges.size());
  for (const BpeMerge& merge : spec.merges) {
    hash.AddNumber(merge.left);
    hash.AddNumber(merge.right);
  }
  std::vector<const AddedToken*> added;
  for (const AddedToken& token : spec.added) added.push_back(&token);
  std::sort(added.begin(), added.end(), [](auto* a, auto* b) { return a->id < b->id; });
  hash.AddNumber(added.size());
  for (const AddedToken* token : added) {
    hash.AddNumber(token->id);
    hash.AddNumber(token->single_word | token->lstrip << 1 | token->rstrip << 2 | token->normalized << 3);
  }
  for (const auto* ids : {&spec.prefix, &spec.suffix}) {
    hash.AddNumber(ids->size());
    for (const int32_t id : *ids) hash.AddNumber(id);
  }
  return hash.Hex();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Load(const std::string& path, const std::vector<int32_t>& ends) {
  const std::string file = IsDirectory(path) ? JoinPath(path, kTokenizerJson) : path;
  if (!FileExists(file)) {
    return NotFound(file, " does not exist; expected a tokenizer.json or a directory that has one",
                    " (a checkpoint in the Hugging Face layout)");
  }
  const std::string parent = std::filesystem::path(file).parent_path().string();
  const std::string directory = parent.empty() ? "." : parent;
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  RADLADS_ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerJson(text, file));
  RADLADS_ASSIGN_OR_RETURN(const TokenizerFiles beside, ReadTokenizerFiles(directory));
  RADLADS_ASSIGN_OR_RETURN(TokenizerSettings settings, ParseTokenizerSettings(beside, directory));
  RADLADS_ASSIGN_OR_RETURN(const TokenizerSettings model, EndsOfModel(directory));
  settings.model_eos_ids = model.model_eos_ids;
  settings.model_eos_ids.insert(settings.model_eos_ids.end(), ends.begin(), ends.end());
  return Create(std::move(spec), settings, file);
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromFiles(const TokenizerFiles& files, const std::string& name,
                                                                      const std::vector<int32_t>& ends) {
  const std::string* text = FindTokenizerFile(files, kTokenizerJson);
  if (text == nullptr) return NotFound(name, " has no tokenizer");
  RADLADS_ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerJson(*text, name));
  auto settings = ParseTokenizerSettings(files, "");
  if (!settings.ok()) return Annotate(settings.status(), name);
  settings->model_eos_ids = ends;
  return Create(std::move(spec), *settings, name);
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view text, const std::string& name) {
  RADLADS_ASSIGN_OR_RETURN(TokenizerSpec spec, ParseTokenizerJson(text, name));
  return Create(std::move(spec), TokenizerSettings(), name);
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Create(TokenizerSpec spec,
                                                                   const TokenizerSettings& settings,
                                                                   const std::string& name) {
  const std::shared_ptr<Tokenizer> tokenizer(new Tokenizer);
  tokenizer->hash_ = HashOf(spec);
  tokenizer->nfc_ = spec.nfc;
  tokenizer->pre_tokenizer_ = PreTokenizer(spec.pre_tokenizer);
  tokenizer->prefix_ = spec.prefix;
  tokenizer->suffix_ = spec.suffix;

  std::array<int32_t, 256> byte_ids;
  byte_ids.fill(-1);
  absl::flat_hash_map<std::string, int32_t> whole_pieces;
  tokenizer->tokens_.resize(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!spec.tokens[id].has_value()) continue;
    const std::string& text = *spec.tokens[id];
    const auto bytes = TokenToBytes(text);
    // The library's decoder maps the text of added tokens too, so a letter of theirs may be read as
    // a byte.
    tokenizer->tokens_[id] = Token{text, bytes.value_or(text)};
    if (!bytes.has_value() || !spec.in_model[id]) continue;
    if (bytes->size() == 1) byte_ids[static_cast<uint8_t>((*bytes)[0])] = static_cast<int32_t>(id);
    if (spec.ignore_merges && !bytes->empty()) whole_pieces.emplace(*bytes, static_cast<int32_t>(id));
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (tokenizer->tokens_[id].has_value())
      tokenizer->ids_.emplace(tokenizer->tokens_[id]->text, static_cast<int32_t>(id));
  }
  tokenizer->bpe_ = Bpe(byte_ids, spec.merges, std::move(whole_pieces));

  std::string normalized;
  std::vector<int32_t> code_points;
  for (const AddedToken& token : spec.added) {
    tokenizer->tokens_[token.id]->special = token.special;
    if (!token.normalized) {
      tokenizer->raw_tokens_.Add(token.content, token);
    } else {
      const std::string_view pattern =
          spec.nfc ? NormalizeNfc(token.content, &normalized, &code_points) : std::string_view(token.content);
      tokenizer->normalized_tokens_.Add(pattern, token);
    }
  }
  RADLADS_RETURN_IF_ERROR(Annotate(tokenizer->Apply(settings), name));
  return std::shared_ptr<const Tokenizer>(tokenizer);
}

absl::Status Tokenizer::Apply(const TokenizerSettings& settings) {
  for (const TokenizerSettings::Token& token : settings.added_tokens) {
    const auto id = IdOf(token.content);
    if (id != token.id) {
      return InvalidArgument("tokenizer_config.json has the added token \"", token.content, "\" with id ", token.id,
                             ", but here it ", id.has_value() ? Concatenate("has id ", *id) : "is missing",
                             "; the two files must come from the same tokenizer");
    }
  }
  const auto named = [this](const char* what, const std::optional<std::string>& token,
                            std::optional<int32_t>* id) -> absl::Status {
    if (!token.has_value() || token->empty()) return absl::OkStatus();
    *id = IdOf(*token);
    if (id->has_value()) return absl::OkStatus();
    return InvalidArgument("the files beside it name \"", *token, "\" as ", what, ", which is not a token here");
  };
  RADLADS_RETURN_IF_ERROR(named("bos_token", settings.bos_token, &bos_id_));
  RADLADS_RETURN_IF_ERROR(named("eos_token", settings.eos_token, &eos_id_));
  RADLADS_RETURN_IF_ERROR(named("pad_token", settings.pad_token, &pad_id_));
  RADLADS_RETURN_IF_ERROR(named("unk_token", settings.unk_token, &unk_id_));
  if (!settings.bos_token.has_value()) bos_id_ = settings.generation_bos_id;
  if (!settings.eos_token.has_value() && !settings.generation_eos_ids.empty()) eos_id_ = settings.generation_eos_ids[0];
  // Models that are published without their tokenizer's settings say it in config.json alone.
  for (const int32_t id : settings.model_eos_ids) {
    if (!settings.eos_token.has_value() && !eos_id_.has_value() && TokenOf(id).has_value()) eos_id_ = id;
  }
  if (eos_id_.has_value()) stop_ids_.push_back(*eos_id_);
  for (const auto* ids : {&settings.generation_eos_ids, &settings.model_eos_ids}) {
    for (const int32_t id : *ids) {
      if (std::find(stop_ids_.begin(), stop_ids_.end(), id) == stop_ids_.end()) stop_ids_.push_back(id);
    }
  }
  for (const auto& id : {bos_id_, eos_id_}) {
    if (id.has_value() && !TokenOf(*id).has_value()) {
      return InvalidArgument("generation_config.json names id ", *id, ", which has no token here (vocabulary of ",
                             vocab_size(), ")");
    }
  }
  for (const ChatTemplateSource& named : settings.chat_templates) {
    chat_template_names_.push_back(named.name);
    if (named.name == kDefaultChatTemplate) chat_template_ = named.source;
  }
  return absl::OkStatus();
}

void Tokenizer::Encoder::EncodeNormalized(std::string_view text) {
  const Tokenizer& t = *tokenizer_;
  const auto encode = [&](std::string_view part) {
    t.pre_tokenizer_.Split(part, &prefixed_,
                           [&](std::string_view piece, const char* limit) { words_.Encode(piece, limit); });
  };
  t.normalized_tokens_.Split(text, encode, [&](int32_t id) { words_.Append(id); });
}

void Tokenizer::Encoder::EncodeTo(std::string_view text, std::vector<int32_t>* ids, bool add_special_tokens) {
  const Tokenizer& t = *tokenizer_;
  if (!IsValidUtf8(text)) {
    well_formed_.clear();
    AppendUtf8Lossy(text, /*final=*/true, &well_formed_);
    text = well_formed_;
  }
  if (add_special_tokens) ids->insert(ids->end(), t.prefix_.begin(), t.prefix_.end());
  words_.Begin(ids);
  const auto encode = [&](std::string_view part) {
    EncodeNormalized(t.nfc_ ? NormalizeNfc(part, &normalized_, &code_points_) : part);
  };
  t.raw_tokens_.Split(text, encode, [&](int32_t id) { words_.Append(id); });
  words_.End();
  if (add_special_tokens) ids->insert(ids->end(), t.suffix_.begin(), t.suffix_.end());
  for (std::string* scratch : {&well_formed_, &normalized_, &prefixed_}) {
    if (scratch->capacity() > kKeptScratch) std::string().swap(*scratch);
  }
  if (code_points_.capacity() > kKeptScratch) std::vector<int32_t>().swap(code_points_);
}

Tokenizer::Encoder Tokenizer::NewEncoder() const {
  Encoder encoder(this, kCachedWords);
  encoder.keep_alive_ = shared_from_this();
  return encoder;
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, bool add_special_tokens) const {
  std::vector<int32_t> ids;
  Encoder(this, kCachedWordsOnce).EncodeTo(text, &ids, add_special_tokens);
  return ids;
}

void Tokenizer::EncodeTo(std::string_view text, std::vector<int32_t>* ids) const {
  Encoder(this, kCachedWordsOnce).EncodeTo(text, ids);
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const int32_t id : ids) {
    const auto token = BytesOf(id);
    if (!token.has_value()) {
      return absl::OutOfRangeError(
          Concatenate("token id ", id, " has no token; the vocabulary has ids 0 to ", vocab_size() - 1));
    }
    if (!skip_special_tokens || !IsSpecial(id)) bytes.append(*token);
  }
  if (IsValidUtf8(bytes)) return bytes;
  std::string text;
  AppendUtf8Lossy(bytes, /*final=*/true, &text);
  return text;
}

std::optional<std::string_view> Tokenizer::BytesOf(int32_t id) const {
  if (id < 0 || id >= vocab_size() || !tokens_[id].has_value()) return std::nullopt;
  return tokens_[id]->bytes;
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && id < vocab_size() && tokens_[id].has_value() && tokens_[id]->special;
}

std::optional<int32_t> Tokenizer::IdOf(std::string_view token) const {
  const auto it = ids_.find(absl::string_view(token.data(), token.size()));
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

std::optional<std::string_view> Tokenizer::TokenOf(int32_t id) const {
  if (id < 0 || id >= vocab_size() || !tokens_[id].has_value()) return std::nullopt;
  return tokens_[id]->text;
}

}  // namespace radlads
