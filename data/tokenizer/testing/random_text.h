// Random text that hits what pre-tokenizers, normalisation and byte-pair merging distinguish.
#ifndef RADLADS_DATA_TOKENIZER_TESTING_RANDOM_TEXT_H_
#define RADLADS_DATA_TOKENIZER_TESTING_RANDOM_TEXT_H_

#include <cstddef>
#include <random>
#include <string>
#include <string_view>

namespace radlads {

// About `units` of: words, runs of one character, contractions, and characters of every class, some from anywhere.
std::u32string RandomText(std::mt19937& random, size_t units);

std::string ToUtf8(std::u32string_view text);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_TESTING_RANDOM_TEXT_H_
