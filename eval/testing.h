// What the tests of this folder share.
#ifndef RADLADS_EVAL_TESTING_H_
#define RADLADS_EVAL_TESTING_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"

namespace radlads {

// Writes tokenizer.json and tokenizer_config.json of a tokenizer for SmallModel (model/testing.h) into the existing
// `directory`: 97 tokens, 0 is the special "<|end|>" (end of text), 1 to 94 are '!' to '~', 95 the space, 96 the line
// feed. `chat_template`: the Jinja source; none when empty. Aborts the test program when it cannot.
void WriteSmallTokenizer(const std::string& directory, const std::string& chat_template = "");
std::shared_ptr<const Tokenizer> SmallTokenizer(const std::string& chat_template = "");

// Of the size of a model, for what reads requests and never asks one.
class NoModel : public CompletionModel {
 public:
  absl::StatusOr<std::vector<Completion>> Complete(std::vector<CompletionRequest>,
                                                   const std::function<bool()>&) override {
    return absl::InternalError("not asked");
  }
  int64_t vocabulary() const override { return 97; }
  int64_t max_length() const override { return 20; }
};

}  // namespace radlads

#endif  // RADLADS_EVAL_TESTING_H_
