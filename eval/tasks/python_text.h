// What Python makes of text, where lm_eval's numbers depend on it. Text is valid UTF-8; lengths are in code points.
#ifndef RADLADS_EVAL_TASKS_PYTHON_TEXT_H_
#define RADLADS_EVAL_TASKS_PYTHON_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace radlads {

int64_t Characters(std::string_view text);                     // len(text)
std::string_view WithoutTrailingSpace(std::string_view text);  // text.rstrip()
int64_t SpaceSeparatedParts(std::string_view text);            // len(re.split(r"\s+", text))
bool IsDigits(std::string_view text);                          // text.isdigit(), of ASCII digits
// text.lower() one code point at a time: the same but for the two of them whose lower case depends on what is
// around them or is longer (a final capital sigma, a capital I with dot).
std::string Lowercase(std::string_view text);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_PYTHON_TEXT_H_
