// What the tests of this folder share.
#ifndef RADLADS_EVAL_TESTING_H_
#define RADLADS_EVAL_TESTING_H_

#include <memory>
#include <string>

#include "data/tokenizer/tokenizer.h"

namespace radlads {

// Writes tokenizer.json and tokenizer_config.json of a tokenizer for SmallModel (model/testing.h) into the existing
// `directory`: 97 tokens, 0 is the special "<|end|>" (end of text), 1 to 94 are '!' to '~', 95 the space, 96 the line
// feed. Aborts the test program when it cannot.
void WriteSmallTokenizer(const std::string& directory);
std::shared_ptr<const Tokenizer> SmallTokenizer();

}  // namespace radlads

#endif  // RADLADS_EVAL_TESTING_H_
