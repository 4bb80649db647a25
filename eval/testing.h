// What the tests of this folder share.
#ifndef RADLADS_EVAL_TESTING_H_
#define RADLADS_EVAL_TESTING_H_

#include <functional>
#include <vector>

#include "data/tokenizer/testing/small_tokenizer.h"
#include "eval/completion.h"

namespace radlads {

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
