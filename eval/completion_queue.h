// A model that serves the completions of many callers at once.
#ifndef RADLADS_EVAL_COMPLETION_QUEUE_H_
#define RADLADS_EVAL_COMPLETION_QUEUE_H_

#include <memory>

#include "data/tokenizer/tokenizer.h"
#include "eval/completion.h"
#include "model/transformer.h"

namespace radlads {

// What calls of Complete ask for while the model is busy becomes its next batch (token_scores.h, continue_tokens.h). A
// call returns as soon as its own requests are answered; INTERNAL or DATA_LOSS is the fate of a whole batch. The model
// must outlive the result and be used by nobody else; destroy it when no call is under way.
std::unique_ptr<CompletionModel> MakeCompletionQueue(Transformer& model, std::shared_ptr<const Tokenizer> tokenizer,
                                                     int64_t batch_tokens, int64_t max_length);

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPLETION_QUEUE_H_
