// What a task's metrics say of each document, and of all of them: the numbers of lm_eval 0.4.13.
//
// Equal to lm_eval's, to the last bit where exp and log are equal: acc, acc_norm (log likelihood by characters),
// acc_bytes, acc_mutual_info, exact_match, perplexity, word_perplexity, byte_perplexity, bits_per_byte; the standard
// error of a mean (sample deviation / sqrt(n)); that of perplexity, bootstrapped with lm_eval's seeds and resamples.
// Sums are taken from front to back, as Python up to 3.11 does (3.12 compensates, which moves last bits). lm_eval has
// no standard error of word_perplexity, byte_perplexity and bits_per_byte, and so there is none here.
#ifndef RADLADS_EVAL_TASKS_METRICS_H_
#define RADLADS_EVAL_TASKS_METRICS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eval/scorer.h"
#include "eval/tasks/task.h"

namespace radlads {

// The answer to one TaskRequest.
struct TaskResponse {
  LoglikelihoodResult loglikelihood;  // loglikelihood_rolling: logprob
  std::string text;                   // generate_until
};

// One metric of one document: a value, or a log likelihood with the number of words or bytes it is spread over.
struct MetricValue {
  double value = 0;
  int64_t weight = 1;
};

// In the order of task.config().metrics. `responses` are those to the document's requests, in order. INVALID_ARGUMENT
// where a field of the task gives what the metric cannot use.
absl::StatusOr<std::vector<MetricValue>> MeasureDocument(const Task& task, const Document& document,
                                                         const std::vector<TaskResponse>& responses);

// Whether a right answer of the document is among its choices; true for tasks other than multiple_choice. Where none is,
// accuracies are 0, as in lm_eval.
absl::StatusOr<bool> HasRightChoice(const Task& task, const Document& document);

// 1 where `answer` is `target` after what `metric` ignores is taken out, else 0. INVALID_ARGUMENT for an expression
// that RE2 does not accept.
absl::StatusOr<double> ExactMatch(const MetricConfig& metric, const std::string& answer, const std::string& target);

// Over at least one document.
double Aggregate(Aggregation aggregation, const std::vector<MetricValue>& values);
// Nothing for fewer than two documents, and where lm_eval has none. Bootstraps in parallel.
std::optional<double> StandardError(Aggregation aggregation, const std::vector<MetricValue>& values,
                                    int64_t bootstrap_iterations = 100000);

// What guessing gives on average: 1 / choices for an accuracy of multiple_choice, else 0.
absl::StatusOr<double> Chance(const Task& task, int64_t documents);

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_METRICS_H_
