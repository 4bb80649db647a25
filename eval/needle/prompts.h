// Prompts of needle in a haystack: a number hidden in a text, and asked for at its end.
//
// The form is niah_single_2 of RULER (arXiv:2404.06654, github.com/NVIDIA/RULER, scripts/data/synthetic): a sentence
// that gives a "special magic number" of seven digits for a key of two words, in running text, and a prompt that ends
// with the beginning of the answer, so that models answer it that were taught to go on with a text and nothing else.
// What differs, so that cells can be compared: a prompt has exactly the tokens asked for (RULER: no more than that);
// the needle stands at the depths asked for (RULER: at one of 40, at random); and sample i has one key, value and
// beginning in the haystack for all lengths and depths, so that cells of one row or column differ in nothing else.
#ifndef RADLADS_EVAL_NEEDLE_PROMPTS_H_
#define RADLADS_EVAL_NEEDLE_PROMPTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/needle/haystack.h"

namespace radlads {

struct NeedleOptions {
  std::vector<int64_t> lengths = {512, 1024, 2048};      // tokens of the prompt
  std::vector<double> depths = {0, 0.25, 0.5, 0.75, 1};  // 0: before the haystack, 1: after it
  int64_t samples = 10;                                  // prompts for each length and depth
  int64_t choices = 10;                                  // values of which the hidden one is to be the likeliest
  uint64_t seed = 1234;
  int64_t context = 0;  // tokens that the model can read at once; 0: any number
};

struct NeedlePrompt {
  int64_t length = 0;
  double depth = 0;
  int64_t sample = 0;
  std::string key, value;
  std::vector<std::string> distractors;  // values that stand nowhere, choices - 1 of them
  int64_t needle_at = 0;                 // the token of the prompt with which the needle begins
  std::vector<int64_t> ids;              // `length` tokens
};

// By length, depth and sample, lengths and depths rising and each once. A sample depends on the seed, its number and
// the haystack alone; its distractors come after everything else. The needle stands where the sentence begins that
// holds the token at depth * (tokens of haystack), see Haystack::PlaceBefore.
//
// INVALID_ARGUMENT for a length beyond the context, or with no room for anything but instruction, needle and question;
// a depth outside of [0, 1]; no lengths or depths; samples < 1 or choices < 2.
absl::StatusOr<std::vector<NeedlePrompt>> MakeNeedlePrompts(const NeedleOptions& options, const Haystack& haystack,
                                                            const Tokenizer& tokenizer);

// What is to come after a prompt when the answer is `value`.
std::vector<int64_t> NeedleAnswerIds(const std::string& value, const Tokenizer& tokenizer);

}  // namespace radlads

#endif  // RADLADS_EVAL_NEEDLE_PROMPTS_H_
