// Running text as token ids, as much of it as wanted: what a needle is hidden in.
#ifndef RADLADS_EVAL_NEEDLE_HAYSTACK_H_
#define RADLADS_EVAL_NEEDLE_HAYSTACK_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

// A ring: after its last token comes the first again. Immutable.
class Haystack {
 public:
  // More text than this is not read: enough for prompts of millions of tokens.
  static constexpr size_t kMaxBytes = size_t{32} << 20;

  // The documents of a jsonl or text file (plain, gz, xz or zst), in order, with blank lines between. INVALID_ARGUMENT
  // when there is no text in it, and errors of reading it.
  static absl::StatusOr<Haystack> Read(const std::string& path, const Tokenizer& tokenizer);
  // Of one text that is not empty.
  static Haystack FromText(std::string_view text, const Tokenizer& tokenizer);

  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  // Tokens at which a sentence begins, rising; never empty.
  const std::vector<int64_t>& sentences() const { return sentences_; }

  // `count` tokens from token `start` on, 0 <= start < size().
  std::vector<int64_t> Cut(int64_t start, int64_t count) const;
  // Where, in Cut(start, ...), something can be put in without breaking what is there: the last place up to `offset`
  // where a sentence begins or, if no sentence of the last kReach tokens does, a word; else `offset`.
  int64_t PlaceBefore(int64_t start, int64_t offset) const;
  static constexpr int64_t kReach = 64;

 private:
  enum class Break : uint8_t { kNone, kWord, kSentence };  // what begins with a token
  void Append(std::string_view text, Tokenizer::Encoder& encoder, const Tokenizer& tokenizer);
  void FindSentences();

  std::vector<int64_t> ids_;
  std::vector<Break> breaks_;  // by token
  std::vector<int64_t> sentences_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_NEEDLE_HAYSTACK_H_
