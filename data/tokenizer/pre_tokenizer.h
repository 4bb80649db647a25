// Pre-tokenizers: where text is cut before byte pairs are merged.
//
// The regular expressions of the known families are matched by scanners written for them: linear time, no regex engine,
// and exactly the character classes of the `tokenizers` library.
#ifndef RADLADS_DATA_TOKENIZER_PRE_TOKENIZER_H_
#define RADLADS_DATA_TOKENIZER_PRE_TOKENIZER_H_

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace radlads {

enum class SplitPattern {
  kGpt2,        // GPT-2: case-sensitive contractions, runs of numbers
  kQwen2,       // Qwen2, Qwen2.5, Qwen3: single numbers, line ends kept with what is before them
  kLlama3,      // Llama-3: numbers in groups of up to three
  kGpt2Digits,  // SmolLM: every numeric alone, and kGpt2 on each stretch between them
};

// The pattern whose regular expression, as tokenizer.json writes it, is `regex`; nothing if it is
// not known.
std::optional<SplitPattern> FindSplitPattern(std::string_view regex);

// End of the piece that starts at `start` (< text.size()). `text` is valid UTF-8; pieces cover it without gaps.
size_t NextPieceEnd(SplitPattern pattern, std::string_view text, size_t start);

// End of 's 't 're 've 'm 'll 'd at `start`, where an apostrophe stands; 0 if there is none. But for GPT-2's patterns
// without regard to case, and then LONG S (U+017F) is an s too.
size_t ContractionEnd(SplitPattern pattern, std::string_view text, size_t start);

// Bytes that PieceStarts reads.
inline constexpr size_t kPieceWindow = 64 + 4;

// The same for up to 64 bytes at once: bit i says that a piece starts at text[i]. `text`: kPieceWindow bytes of valid
// UTF-8 (the last character may be cut), of which the first begins a piece, so that bit 0 is set. Higher bits are set
// as far as can be seen: what lies between two set bits is one piece, what begins at the highest one may go on. 1
// therefore says nothing: ask NextPieceEnd, which defines the pieces.
uint64_t PieceStarts(SplitPattern pattern, const char* text);

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
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps);

  // Calls emit(std::string_view piece, const char* limit) for every piece in order, which is valid during the call
  // only; memory from piece.data() to `limit` may be read. `prefixed` is scratch memory.
  template <typename Emit>
  void Split(std::string_view text, std::string* prefixed, Emit&& emit) const {
    if (!text.empty()) Apply(0, text, text.data() + text.size(), prefixed, emit);
  }

 private:
  template <typename Emit>
  void Apply(size_t step, std::string_view text, const char* limit, std::string* prefixed, Emit& emit) const;

  std::vector<PreTokenizerStep> steps_;
};

// End of the run of numerics, or of others, that starts at `start`.
size_t NextDigitsEnd(std::string_view text, size_t start, bool individual);

// Calls emit(std::string_view) for the pieces of `pattern`.
template <typename Emit>
void ForEachPiece(SplitPattern pattern, std::string_view text, Emit&& emit) {
  for (size_t start = 0; start < text.size();) {
    const char* base = text.data() + start;
    uint64_t starts = text.size() - start >= kPieceWindow ? PieceStarts(pattern, base) : 1;
    if (starts == 1) {
      const size_t end = NextPieceEnd(pattern, text, start);
      emit(text.substr(start, end - start));
      start = end;
      continue;
    }
    int begin = 0;
    while ((starts &= starts - 1) != 0) {
      const int end = std::countr_zero(starts);
      emit(std::string_view(base + begin, end - begin));
      begin = end;
    }
    start += begin;
  }
}

template <typename Emit>
void PreTokenizer::Apply(size_t step, std::string_view text, const char* limit, std::string* prefixed,
                         Emit& emit) const {
  if (step == steps_.size()) {
    emit(text, limit);
    return;
  }
  const PreTokenizerStep& s = steps_[step];
  switch (s.kind) {
    case PreTokenizerStep::Kind::kPrefix:
      if (text.front() != ' ') {
        prefixed->assign(1, ' ').append(text);
        text = *prefixed;
        limit = text.data() + text.size();
      }
      Apply(step + 1, text, limit, prefixed, emit);
      return;
    case PreTokenizerStep::Kind::kDigits:
      for (size_t start = 0; start < text.size();) {
        const size_t end = NextDigitsEnd(text, start, s.individual_digits);
        Apply(step + 1, text.substr(start, end - start), limit, prefixed, emit);
        start = end;
      }
      return;
    case PreTokenizerStep::Kind::kSplit:
      if (step + 1 == steps_.size()) {
        ForEachPiece(s.pattern, text, [&](std::string_view piece) { emit(piece, limit); });
      } else {
        ForEachPiece(s.pattern, text, [&](std::string_view piece) { Apply(step + 1, piece, limit, prefixed, emit); });
      }
      return;
  }
}

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_PRE_TOKENIZER_H_
