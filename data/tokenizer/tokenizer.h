// Byte-level BPE tokenizers in the tokenizer.json format of Hugging Face: GPT-2, SmolLM,
// Qwen2/2.5/3, Llama-3.
//
// Ids are those of the `tokenizers` library (0.23), added tokens, NFC and ill-formed UTF-8
// included.
#ifndef RADLADS_DATA_TOKENIZER_TOKENIZER_H_
#define RADLADS_DATA_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/bpe.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"
#include "data/tokenizer/tokenizer_json.h"
#include "data/tokenizer/word_encoder.h"

namespace radlads {

// Immutable and safe to share between threads.
class Tokenizer : public std::enable_shared_from_this<Tokenizer> {
 public:
  // `path`: a tokenizer.json, or a directory that has one. tokenizer_config.json,
  // special_tokens_map.json, generation_config.json, the model's config.json (its end tokens),
  // chat_template.jinja, additional_chat_templates/*.jinja and chat_template.json beside it are
  // read too where they exist. UNIMPLEMENTED names a normaliser, pre-tokenizer, model, post-processor or
  // decoder that is not supported; INVALID_ARGUMENT says what is wrong with a damaged file.
  // `ends`: ids that end a generation besides, as a model names them that the files do not lie beside.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Load(const std::string& path, const std::vector<int32_t>& ends = {});
  // From the contents of such files; `name` stands for tokenizer.json in messages.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> FromFiles(const TokenizerFiles& files, const std::string& name,
                                                                    const std::vector<int32_t>& ends = {});
  // From the text of a tokenizer.json alone; `name` stands for it in messages.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> FromJson(std::string_view text,
                                                                   const std::string& name);

  // Encodes with scratch memory and a table of words it has met (6 MiB) that live as long as the object: make one
  // per thread and keep it for many texts. Not thread-safe. Keeps its tokenizer alive.
  class Encoder {
   public:
    // Appends the ids of `text` to *ids; see Tokenizer::Encode.
    void EncodeTo(std::string_view text, std::vector<int32_t>* ids,
                  bool add_special_tokens = false);

   private:
    friend class Tokenizer;
    Encoder(const Tokenizer* tokenizer, size_t cached_words)
        : tokenizer_(tokenizer), words_(&tokenizer->bpe_, cached_words) {}
    void EncodeNormalized(std::string_view text);

    const Tokenizer* tokenizer_;
    std::shared_ptr<const Tokenizer> keep_alive_;
    WordEncoder words_;
    std::string well_formed_, normalized_, prefixed_;
    std::vector<int32_t> code_points_;
  };
  Encoder NewEncoder() const;

  // Ids of `text`. Added and special tokens in the text become their ids. Any bytes are accepted:
  // each maximal ill-formed part of the UTF-8 is read as U+FFFD (what Python's errors="replace"
  // hands to the library). A byte for which the vocabulary has no token is dropped, as the library
  // does. add_special_tokens puts what the post-processor asks for (Llama-3's BOS) around the text.
  std::vector<int32_t> Encode(std::string_view text, bool add_special_tokens = false) const;
  // The same, appended; with scratch memory of its own, so prefer an Encoder for many short texts.
  void EncodeTo(std::string_view text, std::vector<int32_t>* ids) const;

  // Text of `ids`, ill-formed UTF-8 replaced by U+FFFD. OUT_OF_RANGE if an id has no token.
  absl::StatusOr<std::string> Decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  // The bytes that `id` stands for in decoded text, not necessarily whole characters; nothing if it
  // has no token.
  std::optional<std::string_view> BytesOf(int32_t id) const;
  bool IsSpecial(int32_t id) const;

  // One more than the largest id. Ids below it may have no token; embeddings may have more rows.
  int32_t vocab_size() const { return static_cast<int32_t>(tokens_.size()); }
  // Tokens are spelled as in tokenizer.json: "Ġthe", "<|im_end|>".
  std::optional<int32_t> IdOf(std::string_view token) const;
  std::optional<std::string_view> TokenOf(int32_t id) const;

  // What tokenizer_config.json or special_tokens_map.json names, or, where they do not speak of it,
  // generation_config.json (the first of its end tokens), and for eos after that config.json.
  std::optional<int32_t> eos_id() const { return eos_id_; }
  std::optional<int32_t> bos_id() const { return bos_id_; }
  std::optional<int32_t> pad_id() const { return pad_id_; }
  std::optional<int32_t> unk_id() const { return unk_id_; }
  // Ids that end a generation: eos_id and all of generation_config.json and config.json, without
  // repetition.
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }

  // 32 hexadecimal digits (FNV-1a, 128 bits) over everything that decides which ids a text gets:
  // equal hashes, equal ids. Does not depend on the order or layout of the file, on settings or on
  // the chat template.
  const std::string& Hash() const { return hash_; }

  // The Jinja source of the chat template; nothing if the files have none, or several of which none
  // is named "default".
  const std::optional<std::string>& chat_template() const { return chat_template_; }
  const std::vector<std::string>& chat_template_names() const { return chat_template_names_; }

 private:
  Tokenizer() = default;
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Create(TokenizerSpec spec,
                                                                 const TokenizerSettings& settings,
                                                                 const std::string& name);
  absl::Status Apply(const TokenizerSettings& settings);

  bool nfc_ = false;
  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  AddedTokenMatcher raw_tokens_, normalized_tokens_;
  std::vector<int32_t> prefix_, suffix_;

  struct Token {
    std::string text;   // as in the file
    std::string bytes;  // as decoded
    bool special = false;
  };
  std::vector<std::optional<Token>> tokens_;             // by id
  absl::flat_hash_map<absl::string_view, int32_t> ids_;  // keys live in tokens_
  std::optional<int32_t> eos_id_, bos_id_, pad_id_, unk_id_;
  std::vector<int32_t> stop_ids_;
  std::optional<std::string> chat_template_;
  std::vector<std::string> chat_template_names_;
  std::string hash_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_TOKENIZER_H_
