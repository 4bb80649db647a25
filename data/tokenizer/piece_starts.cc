// PieceStarts: the classes of 64 bytes become masks, and the alternatives of the regular expressions a few operations
// on them. White space and numbers outside of ASCII end the window.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "data/tokenizer/piece_starts.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

#ifndef RADLADS_DATA_TOKENIZER_PIECE_STARTS_MASKS
#define RADLADS_DATA_TOKENIZER_PIECE_STARTS_MASKS
namespace radlads {
namespace {

// Bit i speaks of byte i.
struct Masks {
  uint64_t letter, number, space;  // every byte of such a character
  uint64_t blank;                  // ' '
  uint64_t line_end;               // '\r', '\n'
  uint64_t apostrophe;
  uint64_t not_ascii, lead;  // bytes from 0x80 and from 0xC0
};

}  // namespace
}  // namespace radlads
#endif  // RADLADS_DATA_TOKENIZER_PIECE_STARTS_MASKS

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The masks of 64 bytes; `letter`, `number` and `space` for ASCII only.
void Classify(const char* text, Masks* masks) {
  const hn::CappedTag<uint8_t, 64> d;
  constexpr size_t kStep = hn::MaxLanes(d);
  static_assert(kStep == 1 || kStep >= 8);
  uint8_t bits[8][8] = {};
  for (size_t i = 0; i < 64; i += kStep) {
    const auto bytes = hn::LoadU(d, reinterpret_cast<const uint8_t*>(text) + i);
    const auto store = [&](int mask, auto value) {
      if constexpr (kStep == 1) {
        bits[mask][i / 8] |= static_cast<uint8_t>(hn::CountTrue(d, value) << i % 8);
      } else {
        hn::StoreMaskBits(d, value, &bits[mask][i / 8]);
      }
    };
    const auto within = [&](auto value, uint8_t first, uint8_t last) {
      const auto offset = hn::Sub(value, hn::Set(d, first));
      return hn::Eq(hn::Min(offset, hn::Set(d, last - first)), offset);
    };
    const auto blank = hn::Eq(bytes, hn::Set(d, ' '));
    store(0, within(hn::Or(bytes, hn::Set(d, 0x20)), 'a', 'z'));
    store(1, within(bytes, '0', '9'));
    store(2, hn::Or(blank, within(bytes, '\t', '\r')));
    store(3, blank);
    store(4, hn::Or(hn::Eq(bytes, hn::Set(d, '\r')), hn::Eq(bytes, hn::Set(d, '\n'))));
    store(5, hn::Eq(bytes, hn::Set(d, '\'')));
    store(6, within(bytes, 0x80, 0xFF));
    store(7, within(bytes, 0xC0, 0xFF));
  }
  static_assert(sizeof(Masks) == sizeof(bits));
  hwy::CopyBytes<sizeof(bits)>(bits, masks);
}

}  // namespace HWY_NAMESPACE
}  // namespace
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace radlads {
namespace {

HWY_EXPORT(Classify);

int Lowest(uint64_t mask) {
  return __builtin_ctzll(mask);
}
int Highest(uint64_t mask) {
  return 63 - __builtin_clzll(mask);
}
// Bits 0 to `last`.
uint64_t UpTo(int last) {
  return (uint64_t{2} << last) - 1;
}
uint64_t RunStarts(uint64_t mask) {
  return mask & ~(mask << 1);
}
// The bits right behind those runs of `mask` that begin at `starts`.
uint64_t RunEnds(uint64_t mask, uint64_t starts) {
  return (mask + starts) & ~mask;
}

// Adds the letters outside of ASCII; what is no letter there is read as other. Returns how many bytes are clear: up to
// a character that is cut, or is white space or a number.
int AddUnicode(const char* text, Masks* masks) {
  const uint8_t* classes = CharacterClasses();
  const std::string_view bytes(text, kPieceWindow);
  for (uint64_t leads = masks->lead; leads != 0; leads &= leads - 1) {
    const int start = Lowest(leads);
    size_t end = start;
    const uint8_t character = classes[NextCodePoint(bytes, &end)];
    if (end > 64 || (character & (kSpace | kNumber | kNumeric))) return start;
    if (character & kLetter) masks->letter |= ((uint64_t{1} << (end - start)) - 1) << start;
  }
  return 64;
}

// ` ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. White space takes its run but the last character, which, if it
// is ' ', goes with what follows. With `digits` every number is cut out first, and what lies between is matched alone.
uint64_t Gpt2Starts(const Masks& m, uint64_t other, bool digits) {
  const uint64_t words = RunStarts(m.letter) | RunStarts(other);
  const uint64_t last_spaces = m.space & ~(m.space >> 1);
  if (!digits) return ((words | RunStarts(m.number)) & ~(m.blank << 1)) | RunStarts(m.space) | last_spaces;
  return (words & ~(m.blank << 1)) | m.number | m.number << 1 | RunStarts(m.space) | (last_spaces & ~(m.number >> 1));
}

// `[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,numbers}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
uint64_t Qwen2Starts(const Masks& m, uint64_t other, int numbers) {
  const uint64_t others = RunStarts(other);
  // Line ends right behind others belong to them.
  const uint64_t taken_starts = m.line_end & ~(m.line_end << 1) & (other << 1);
  const uint64_t taken = m.line_end & ~(m.line_end + taken_starts);
  const uint64_t space = m.space & ~taken;
  // Other white space behind line ends starts a piece, unless more line ends follow.
  const uint64_t gap = m.space & ~m.line_end;
  uint64_t gaps = gap & ((m.line_end & ~taken) << 1);
  for (uint64_t ends = RunEnds(gap, gaps) & m.line_end; ends != 0; ends &= ends - 1)
    gaps &= ~(uint64_t{1} << Highest(gaps & ((ends & -ends) - 1)));
  // The last one before something else starts a piece: alone, or with what follows.
  uint64_t starts = RunStarts(space) | gaps | (gap & ~(m.space >> 1));

  // An only other goes with the letters behind it.
  uint64_t only = others & ~(m.blank << 1);
  const uint64_t continuation = m.not_ascii & ~m.lead;
  for (int i = 0; i < 3 && continuation != 0; ++i) only |= (only << 1) & continuation;
  starts |= RunStarts(m.letter) & ~(gap << 1) & ~(only << 1);
  starts |= others & ~(m.blank << 1);

  if (numbers == 1) return starts | m.number;
  const uint64_t three = m.number & m.number << 1 & m.number << 2;
  for (uint64_t group = RunStarts(m.number); group != 0; group = group << 3 & three) starts |= group;
  return starts;
}

}  // namespace

uint64_t PieceStarts(SplitPattern pattern, const char* text) {
  Masks m;
  HWY_DYNAMIC_DISPATCH(Classify)(text, &m);
  const int size = m.not_ascii == 0 ? 64 : AddUnicode(text, &m);
  if (size == 0) return 1;
  const uint64_t clear = UpTo(size - 1);
  for (uint64_t* mask : {&m.letter, &m.number, &m.space, &m.blank, &m.line_end, &m.apostrophe}) *mask &= clear;
  const uint64_t other = clear & ~(m.letter | m.number | m.space);

  // What a run of white space is cut into depends on what follows it: all is certain up to the last byte that is none.
  const uint64_t certain = clear & ~m.space;
  if (certain == 0) return 1;
  const int last = Highest(certain);
  uint64_t starts = 1;
  switch (pattern) {
    case SplitPattern::kGpt2:
      starts |= Gpt2Starts(m, other, /*digits=*/false);
      break;
    case SplitPattern::kGpt2Digits:
      starts |= Gpt2Starts(m, other, /*digits=*/true);
      break;
    case SplitPattern::kQwen2:
      starts |= Qwen2Starts(m, other, 1);
      break;
    case SplitPattern::kLlama3:
      starts |= Qwen2Starts(m, other, 3);
      break;
  }
  starts &= UpTo(last);
  for (uint64_t quotes = starts & m.apostrophe; quotes != 0; quotes &= quotes - 1) {
    const int start = Lowest(quotes);
    if (start + 3 > last) return starts & UpTo(start);
    const size_t end = ContractionEnd(pattern, std::string_view(text, kPieceWindow), start);
    if (end != 0) starts = (starts & ~(uint64_t{2} << start)) | uint64_t{1} << end;
  }
  return starts;
}

}  // namespace radlads
#endif  // HWY_ONCE
