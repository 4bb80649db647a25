// A tokenizer that tests read texts of a small model with.
#ifndef RADLADS_DATA_TOKENIZER_TESTING_SMALL_TOKENIZER_H_
#define RADLADS_DATA_TOKENIZER_TESTING_SMALL_TOKENIZER_H_

#include <memory>
#include <string>

#include "data/tokenizer/tokenizer.h"

namespace radlads {

// Writes tokenizer.json and tokenizer_config.json of a tokenizer for SmallModel (model/testing.h) into the existing
// `directory`: 97 tokens, 0 is the special "<|end|>" (end of text), 1 to 94 are '!' to '~', 95 the space, 96 the line
// feed. `chat_template`: the Jinja source; none when empty. Aborts the test program when it cannot.
void WriteSmallTokenizer(const std::string& directory, const std::string& chat_template = "");
std::shared_ptr<const Tokenizer> SmallTokenizer(const std::string& chat_template = "");

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_TESTING_SMALL_TOKENIZER_H_
