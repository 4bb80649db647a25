// Pre-tokenizers: where text is cut before byte pairs are merged.
//
// The regular expressions of the known families are matched by scanners written for them: linear
// time, no regex engine, and exactly the character classes of the `tokenizers` library.
#ifndef RADLADS_DATA_TOKENIZER_PRE_TOKENIZER_H_
#define RADLADS_DATA_TOKENIZER_PRE_TOKENIZER_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {

enum class SplitPattern {
  kGpt2,    // GPT-2, SmolLM: case-sensitive contractions, runs of numbers
  kQwen2,   // Qwen2, Qwen2.5, Qwen3: single numbers, line ends kept with what is before them
  kLlama3,  // Llama-3: numbers in groups of up to three
};

// The pattern whose regular expression, as tokenizer.json writes it, is `regex`; nothing if it is
// not known.
std::optional<SplitPattern> FindSplitPattern(std::string_view regex);

// End of the piece that starts at `start` (< text.size()). `text` is valid UTF-8; pieces cover it
// without gaps.
size_t NextPieceEnd(SplitPattern pattern, std::string_view text, size_t start);

// One pre-tokenizer; a Sequence is a list of them.
struct PreTokenizerStep {
  enum class Kind {
    kSplit,   // pieces of `pattern`
    kDigits,  // numerics apart from the rest: every one alone, or whole runs
    kPrefix,  // one space put before a piece that does not start with one (ByteLevel's
              // add_prefix_space)
  };
  Kind kind;
  SplitPattern pattern = SplitPattern::kGpt2;
  bool individual_digits = false;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  // kPrefix may stand once in the list.
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // Calls emit(std::string_view) for every piece in order. A piece is valid during the call only.
  // `prefixed` is scratch memory.
  template <typename Emit>
  void Split(std::string_view text, std::string* prefixed, Emit&& emit) const {
    if (!text.empty()) Apply(0, text, prefixed, emit);
  }

 private:
  template <typename Emit>
  void Apply(size_t step, std::string_view text, std::string* prefixed, Emit& emit) const;

  std::vector<PreTokenizerStep> steps_;
};

// End of the run of numerics, or of others, that starts at `start`.
size_t NextDigitsEnd(std::string_view text, size_t start, bool individual);

template <typename Emit>
void PreTokenizer::Apply(size_t step, std::string_view text, std::string* prefixed,
                         Emit& emit) const {
  if (step == steps_.size()) {
    emit(text);
    return;
  }
  const PreTokenizerStep& s = steps_[step];
  if (s.kind == PreTokenizerStep::Kind::kPrefix) {
    if (text.front() != ' ') {
      prefixed->assign(1, ' ').append(text);
      text = *prefixed;
    }
    Apply(step + 1, text, prefixed, emit);
    return;
  }
  for (size_t start = 0; start < text.size();) {
    const size_t end = s.kind == PreTokenizerStep::Kind::kSplit
                           ? NextPieceEnd(s.pattern, text, start)
                           : NextDigitsEnd(text, start, s.individual_digits);
    Apply(step + 1, text.substr(start, end - start), prefixed, emit);
    start = end;
  }
}

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_PRE_TOKENIZER_H_
