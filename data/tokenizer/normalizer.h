// Unicode normalisation form C as the `tokenizers` library does it.
#ifndef RADLADS_DATA_TOKENIZER_NORMALIZER_H_
#define RADLADS_DATA_TOKENIZER_NORMALIZER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace radlads {

// NFC of `text` (valid UTF-8). The result is `text` itself where nothing changes, else it lies in
// *storage. Linear in the length of the text but for the sort of runs of combining marks.
// `code_points` is scratch memory.
std::string_view NormalizeNfc(std::string_view text, std::string* storage,
                              std::vector<int32_t>* code_points);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_NORMALIZER_H_
