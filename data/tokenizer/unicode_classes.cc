#include "data/tokenizer/unicode_classes.h"

#include <utf8proc.h>

#include <vector>

namespace radlads {
namespace {

struct Range {
  uint32_t first, last;
};

constexpr Range kWhiteSpace[] = {
    {0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

// What Unicode 15.1 and 16 added; utf8proc 2.8 has the tables of 15.0. A newer utf8proc makes these
// redundant.
constexpr Range kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
    {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
    {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
    {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
    {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr Range kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
                                 {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9},
                                 {0x1E5F1, 0x1E5FA}};
// Unicode 17, which the Rust standard library already knows.
constexpr Range kNewNumerics[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};
// New marks (word characters that are neither letters nor numbers).
constexpr Range kNewMarks[] = {{0x897, 0x897},     {0x10D69, 0x10D6D}, {0x10EFC, 0x10EFC},
                               {0x113B8, 0x113C0}, {0x113C2, 0x113C2}, {0x113C5, 0x113C5},
                               {0x113C7, 0x113CA}, {0x113CC, 0x113D0}, {0x113D2, 0x113D2},
                               {0x113E1, 0x113E2}, {0x11F5A, 0x11F5A}, {0x1611E, 0x1612F},
                               {0x1E5EE, 0x1E5EF}};
// Alphabetic symbols: circled and squared Latin letters.
constexpr Range kAlphabeticSymbols[] = {
    {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};

// Characters with a combining class or a composition that the NFC of the library does not have,
// found by comparing every code point with it.
constexpr Range kUnknownToNfc[] = {
    {0x7FD, 0x7FD},     {0x897, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}};

uint8_t FromCategory(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter | kWord;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      return kNumber | kNumeric | kWord;
    case UTF8PROC_CATEGORY_NO:
      return kNumber | kNumeric;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
      return kWord;
    default:
      return 0;
  }
}

template <size_t kCount>
void Mark(std::vector<uint8_t>* table, const Range (&ranges)[kCount], uint8_t classes) {
  for (const Range& range : ranges) {
    for (uint32_t c = range.first; c <= range.last; ++c) (*table)[c] |= classes;
  }
}

// Blocks without canonical decompositions, skipped for speed.
bool HasNoDecomposition(uint32_t c) {
  return (c >= 0x3400 && c < 0xA000) || (c >= 0xAC00 && c < 0xF900) ||
         (c >= 0x20000 && c < 0x2F800) || c >= 0x2FA20;
}

void MarkNfcActive(std::vector<uint8_t>* table) {
  for (uint32_t c = 0x300; c < 0x110000; ++c) {
    if (HasNoDecomposition(c)) continue;
    const auto code_point = static_cast<utf8proc_int32_t>(c);
    if (utf8proc_get_property(code_point)->combining_class != 0) (*table)[c] |= kNfcActive;
    utf8proc_int32_t parts[8];
    int boundary_class = 0;
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(code_point, parts, 8, options, &boundary_class);
    if (count < 1 || (count == 1 && parts[0] == code_point)) continue;
    for (utf8proc_ssize_t i = 1; i < count; ++i) (*table)[parts[i]] |= kNfcActive;
    const utf8proc_ssize_t composed = utf8proc_normalize_utf32(
        parts, count, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (composed != 1 || parts[0] != code_point) (*table)[c] |= kNfcActive;
  }
  constexpr Range kHangulVowelsAndFinals[] = {{0x1161, 0x1175}, {0x11A8, 0x11C2}};
  Mark(table, kHangulVowelsAndFinals, kNfcActive);
  for (const Range& range : kUnknownToNfc) {
    for (uint32_t c = range.first; c <= range.last; ++c) (*table)[c] |= kNfcActive | kNfcUnknown;
  }
}

std::vector<uint8_t> MakeTable() {
  std::vector<uint8_t> table(0x110000);
  for (uint32_t c = 0; c < table.size(); ++c) {
    table[c] = FromCategory(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
  }
  Mark(&table, kWhiteSpace, kSpace);
  Mark(&table, kNewLetters, kLetter | kWord);
  Mark(&table, kNewNumbers, kNumber | kNumeric | kWord);
  Mark(&table, kNewNumerics, kNumeric);
  Mark(&table, kNewMarks, kWord);
  Mark(&table, kAlphabeticSymbols, kWord);
  table[0x200C] |= kWord;
  table[0x200D] |= kWord;
  MarkNfcActive(&table);
  return table;
}

}  // namespace

const uint8_t* CharacterClasses() {
  static const std::vector<uint8_t>* const table = new std::vector<uint8_t>(MakeTable());
  return table->data();
}

}  // namespace radlads
