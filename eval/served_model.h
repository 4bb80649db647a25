// A small model behind a queue, and its metrics, for the tests of what serves it.
#ifndef RADLADS_EVAL_SERVED_MODEL_H_
#define RADLADS_EVAL_SERVED_MODEL_H_

#include <memory>
#include <string>

#include "eval/model_queue.h"

namespace radlads {

// A SmallModel that is recurrent and to which the end of text is the least likely token: texts go on as long as they may.
std::shared_ptr<Transformer> EndlessModel();

// Of the counter or gauge `name` that has a label of this value, or has no labels if it is empty; 0 if there is none.
double MetricValue(const prometheus::Registry& metrics, const std::string& name, const std::string& label_value);
// Fails the test when it does not become `want`.
void WaitForMetric(const prometheus::Registry& metrics, const std::string& name, const std::string& label_value,
                   double want);

// A small recurrent model that has forgotten the end of text: behind a queue and, as a second copy, for one caller.
class ServedModel {
 public:
  explicit ServedModel(const TokenModelOptions& options);
  ~ServedModel();

  ModelQueue& queue() { return *queue_; }
  prometheus::Registry& metrics() { return *metrics_; }
  std::unique_ptr<TokenModel> Alone();
  // From now on every answer of the queue is DATA_LOSS.
  void Break();
  // As a directory that LoadForInference reads, with the tokenizer.
  void Save(const std::string& directory) const;

 private:
  const TokenModelOptions options_;
  const std::shared_ptr<prometheus::Registry> metrics_;
  const std::shared_ptr<Transformer> model_, copy_;
  std::unique_ptr<ModelQueue> queue_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_SERVED_MODEL_H_
