#include "data/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

// Start of the code point that ends at `end` (> 0).
size_t PreviousStart(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
  return start;
}

bool ClassAt(std::string_view text, size_t position, uint8_t classes) {
  return CharacterClasses()[NextCodePoint(text, &position)] & classes;
}

}  // namespace

void AddedTokenMatcher::Add(std::string_view pattern, const AddedToken& token) {
  RADLADS_CHECK(!pattern.empty());
  const int first = static_cast<uint8_t>(pattern[0]);
  first_byte_ = patterns_.empty() || first_byte_ == first ? first : -1;
  uint32_t node = 0;
  for (const char c : pattern) {
    const auto byte = static_cast<uint8_t>(c);
    uint32_t child = Child(node, byte);
    if (child == 0) {
      child = static_cast<uint32_t>(accepts_.size());
      accepts_.push_back(-1);
      if (node == 0) {
        root_[byte] = child;
      } else {
        children_[static_cast<uint64_t>(node) << 8 | byte] = child;
      }
    }
    node = child;
  }
  accepts_[node] = static_cast<int32_t>(patterns_.size());
  patterns_.push_back(token);
}

uint32_t AddedTokenMatcher::Child(uint32_t node, uint8_t byte) const {
  if (node == 0) return root_[byte];
  const auto it = children_.find(static_cast<uint64_t>(node) << 8 | byte);
  return it == children_.end() ? 0 : it->second;
}

size_t AddedTokenMatcher::FirstByte(std::string_view text, size_t from) const {
  if (first_byte_ >= 0) {
    const void* found = std::memchr(text.data() + from, first_byte_, text.size() - from);
    return found == nullptr ? text.size() : static_cast<const char*>(found) - text.data();
  }
  while (from < text.size() && root_[static_cast<uint8_t>(text[from])] == 0) ++from;
  return from;
}

bool AddedTokenMatcher::Find(std::string_view text, size_t from, size_t done, Match* match) const {
  if (patterns_.empty()) return false;
  for (size_t start = FirstByte(text, from); start < text.size(); start = FirstByte(text, start + 1)) {
    uint32_t node = root_[static_cast<uint8_t>(text[start])];
    int32_t found = -1;
    size_t end = start;
    for (size_t i = start + 1; node != 0; ++i) {
      if (accepts_[node] >= 0) {
        found = accepts_[node];
        end = i;
      }
      if (i == text.size()) break;
      node = Child(node, static_cast<uint8_t>(text[i]));
    }
    if (found < 0) continue;

    const AddedToken& token = patterns_[found];
    *match = {start, end, end, token.id, false};
    if (token.single_word) {
      const bool word_before = start > 0 && ClassAt(text, PreviousStart(text, start), kWord);
      const bool word_after = end < text.size() && ClassAt(text, end, kWord);
      match->discarded = word_before || word_after;
    }
    if (match->discarded) return true;
    if (token.lstrip) {
      while (match->start > done) {
        const size_t previous = PreviousStart(text, match->start);
        if (!ClassAt(text, previous, kSpace)) break;
        match->start = previous;
      }
      match->start = std::max(match->start, done);
    }
    if (token.rstrip) {
      while (match->end < text.size() && ClassAt(text, match->end, kSpace))
        NextCodePoint(text, &match->end);
    }
    return true;
  }
  return false;
}

}  // namespace radlads
