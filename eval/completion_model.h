// The completion API over a model.
#ifndef RADLADS_EVAL_COMPLETION_MODEL_H_
#define RADLADS_EVAL_COMPLETION_MODEL_H_

#include <memory>

#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"
#include "eval/model_queue.h"

namespace radlads {

// Each call of Complete is a caller of `queue`, which must outlive the result.
std::unique_ptr<CompletionModel> MakeCompletionModel(ModelQueue& queue, std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPLETION_MODEL_H_
