#include "data/tokenizer/testing/random_text.h"

#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

using std::string_view_literals::operator""sv;

// White space, line ends, letters, numbers, marks and others inside and outside of ASCII; a number and a letter newer
// than most tables.
constexpr std::u32string_view kCharacters =
    U"     \n\n\n\r\t\v  abcdeXYZ    0123456789 .,;:!?()[]{}<>\"#$%&*+-/=@\\^_`|~''''''"
    U"\0\x7F\u0085\u00A0\u2003\u2028\u3000\uFEFF\u200D"
    U"\u00E9\u00DF\u017F\u0416\u05D0\u0915\u4E2D\u6587\uAC00\u1100\u1161\u11A8\U00020000\u1C89"
    U"\u00B2\u00BD\u2167\u0663\u0967\U0001D7D9\U00011DE0"
    U"\u0301\u0316\u0327\u093C\u0345\u20DD"
    U"\u2014\u2019\u201C\u201D\u20AC\u2603\uFFFD\U0001F600\U0001F1E6"sv;
constexpr std::u32string_view kWords[] = {U" the", U" of",  U"n't",  U"'s",   U"'RE",        U"'Ve",        U"'\u017F",
                                          U"'ll",  U"\r\n", U" \n ", U"\n\n", U"internet",   U" 1234567",   U"https://",
                                          U"    ", U"...",  U"'",    U" \"",  U"\u201CShe ", U" na\u00EFve"};

char32_t Anywhere(std::mt19937& random) {
  while (true) {
    const char32_t c = random() % (random() % 2 ? 0x110000 : 0x3000);
    if (c < 0xD800 || c >= 0xE000) return c;
  }
}

}  // namespace

std::u32string RandomText(std::mt19937& random, size_t units) {
  std::u32string text;
  for (size_t i = 0; i < units; ++i) {
    const uint32_t kind = random() % 64;
    if (kind < 16) {
      text += kWords[random() % std::size(kWords)];
    } else if (kind == 16) {
      text.append(1 + random() % 80, kCharacters[random() % kCharacters.size()]);
    } else if (kind == 17) {
      text += Anywhere(random);
    } else {
      text += kCharacters[random() % kCharacters.size()];
    }
  }
  return text;
}

std::string ToUtf8(std::u32string_view text) {
  std::string bytes;
  for (const char32_t c : text) AppendCodePoint(c, &bytes);
  return bytes;
}

}  // namespace radlads
