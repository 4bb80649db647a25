#include "data/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/status.h"
#include "data/tokenizer/unicode_classes.h"
#include "data/tokenizer/utf8.h"

namespace radlads {
namespace {

int CombiningClass(int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

// NFC of one region; `code_points` holds its code points and is overwritten.
void Compose(std::string_view region, std::vector<int32_t>* code_points, std::string* out) {
  code_points->clear();
  for (size_t i = 0; i < region.size();) {
    const auto c = static_cast<utf8proc_int32_t>(NextCodePoint(region, &i));
    utf8proc_int32_t parts[8];
    int boundary_class = 0;
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    const utf8proc_ssize_t count = utf8proc_decompose_char(c, parts, 8, options, &boundary_class);
    RADLADS_CHECK(count >= 1 && count <= 8) << "canonical decomposition of code point " << c;
    code_points->insert(code_points->end(), parts, parts + count);
  }
  // Canonical ordering. Not utf8proc_decompose, which sorts by exchanging neighbours: quadratic in
  // a run of marks.
  const auto end = code_points->end();
  for (auto first = code_points->begin(); first != end;) {
    if (CombiningClass(*first) == 0) {
      ++first;
      continue;
    }
    const auto last = std::find_if(first, end, [](int32_t c) { return CombiningClass(c) == 0; });
    std::stable_sort(first, last, [](int32_t a, int32_t b) { return CombiningClass(a) < CombiningClass(b); });
    first = last;
  }
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(code_points->data(), static_cast<utf8proc_ssize_t>(code_points->size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  RADLADS_CHECK(count >= 0) << "utf8proc_normalize_utf32 returned " << count;
  for (utf8proc_ssize_t i = 0; i < count; ++i) AppendCodePoint(static_cast<char32_t>((*code_points)[i]), out);
}

}  // namespace

std::string_view NormalizeNfc(std::string_view text, std::string* storage, std::vector<int32_t>* code_points) {
  const uint8_t* classes = CharacterClasses();
  storage->clear();
  size_t copied = 0;  // text[0, copied) is in *storage
  size_t region = 0;  // start of the last code point that is not active: a possible base of what follows
  size_t i = 0;
  while (i < text.size()) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      i += std::max<size_t>(AsciiRun(text, i), 1);
      region = i - 1;
      continue;
    }
    const size_t start = i;
    uint8_t character = classes[NextCodePoint(text, &i)];
    if (!(character & kNfcActive)) {
      region = start;
      continue;
    }
    if (character & kNfcUnknown) {
      region = i;
      continue;
    }
    size_t end = i;
    while (i < text.size()) {
      character = classes[NextCodePoint(text, &i)];
      if (!(character & kNfcActive) || (character & kNfcUnknown)) break;
      end = i;
    }
    storage->append(text, copied, region - copied);
    Compose(text.substr(region, end - region), code_points, storage);
    copied = region = i = end;
  }
  if (copied == 0) return text;
  storage->append(text, copied, std::string_view::npos);
  return *storage;
}

}  // namespace radlads
