// The requests that lm_eval makes of a task: their texts, and their token ids.
#ifndef RADLADS_EVAL_TASKS_REQUESTS_H_
#define RADLADS_EVAL_TASKS_REQUESTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/tasks/task.h"

namespace radlads {

// One question to the model; what is asked of it is the task's output_type (multiple_choice: loglikelihood).
struct TaskRequest {
  int64_t document = 0;      // index in Task::documents()
  std::string context;       // loglikelihood, generate_until
  std::string continuation;  // loglikelihood; of loglikelihood_rolling, the whole text
};

struct RequestOptions {
  int64_t limit = 0;             // documents, the first ones; 0: all
  uint64_t fewshot_seed = 1234;  // lm_eval's
};

// Requests by document, and for a document in the order of its choices (for acc_mutual_info, then the choices again
// without context). Examples are drawn document after document from one random.Random(fewshot_seed), so that a document
// sees the same ones whatever `limit` is. Errors name the document and the field.
absl::StatusOr<std::vector<TaskRequest>> BuildRequests(const Task& task, const RequestOptions& options);

struct TokenPair {
  std::vector<int64_t> context, continuation;
};

// Text to ids as HFLM of lm_eval does it: with the special tokens that the tokenizer puts around a text, but not before
// one that begins with its prefix token.
class RequestEncoder {
 public:
  // `prefix_token`: Scorer::prefix_token(). Keeps the tokenizer alive.
  RequestEncoder(const Tokenizer& tokenizer, int64_t prefix_token);
  std::vector<int64_t> Encode(const std::string& text);
  // TemplateLM._encode_pair: white space at the end of the context goes to the continuation, and context + continuation
  // is encoded as one. An empty context has no ids (the scorer puts the prefix token there).
  TokenPair EncodePair(const std::string& context, const std::string& continuation);

 private:
  std::vector<int64_t> Encode(const std::string& text, bool add_special_tokens);
  Tokenizer::Encoder encoder_;
  std::string prefix_;
  std::vector<int32_t> ids_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_REQUESTS_H_
