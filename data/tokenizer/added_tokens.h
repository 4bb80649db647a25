// Added tokens: strings that are found in the text before anything else is done to it.
//
// They are matched in two passes, as the `tokenizers` library does: tokens that are not
// `normalized` in the raw text, then, in what is left and after normalisation, the others. In each
// pass the leftmost match wins and among those the longest; matches do not overlap.
#ifndef RADLADS_DATA_TOKENIZER_ADDED_TOKENS_H_
#define RADLADS_DATA_TOKENIZER_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace radlads {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // swallows white space on its left
  bool rstrip = false;       // and on its right
  bool normalized = false;   // looked for in normalised text, as its own normalisation
  bool special = false;      // left out by Decode(..., skip_special_tokens = true)
};

// The tokens of one pass.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() { root_.fill(0); }

  // `pattern` (not empty) is what is looked for: the content, or its normalisation. A pattern that
  // is there already is replaced.
  void Add(std::string_view pattern, const AddedToken& token);
  bool empty() const { return patterns_.empty(); }

  // Cuts `text` (valid UTF-8): on_text(std::string_view) for what lies between tokens (never empty)
  // and on_token(int32_t id), in order.
  template <typename OnText, typename OnToken>
  void Split(std::string_view text, OnText&& on_text, OnToken&& on_token) const {
    size_t done = 0;  // everything before is emitted
    for (size_t from = 0; from < text.size();) {
      Match match;
      if (!Find(text, from, done, &match)) break;
      from = match.resume;
      if (match.discarded) continue;
      if (done < match.start) on_text(text.substr(done, match.start - done));
      on_token(match.id);
      done = match.end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  struct Match {
    size_t start, end;  // with swallowed white space
    size_t resume;      // where the search goes on: the end of the token itself
    int32_t id;
    bool discarded;  // a single_word token inside a word
  };
  bool Find(std::string_view text, size_t from, size_t done, Match* match) const;
  // The first position from `from` on at which a pattern may start; text.size() if there is none.
  size_t FirstByte(std::string_view text, size_t from) const;
  uint32_t Child(uint32_t node, uint8_t byte) const;

  // A trie over bytes. Node 0 is the root; its children are in root_, those of the others in
  // children_.
  std::array<uint32_t, 256> root_;
  int first_byte_ = -1;  // that of all patterns; -1 if they differ
  absl::flat_hash_map<uint64_t, uint32_t> children_;  // node << 8 | byte
  std::vector<int32_t> accepts_ = {-1};               // by node: index into patterns_, or -1
  std::vector<AddedToken> patterns_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_ADDED_TOKENS_H_
