// The numbers of a training run, as they come: metrics.jsonl for people and scripts, a TensorBoard event file beside
// it.
//
// metrics.jsonl holds one JSON object a line: {"step": 50, "tokens": 51200, "time": 1763718000.5, "loss": 0.31, ...}.
// `step` counts optimizer steps, `tokens` the training tokens up to and including this step, `time` is Unix seconds.
// A value that is not finite is written as null. The names that report.html knows:
//   loss                            what the optimizer descends, mean since the line before
//   kl, ce                          its parts, in nats per token
//   lr, lr2                         learning rates; lr2 is that of the time mixers
//   grad_norm                       before clipping
//   tokens_per_second               of training since the line before
//   validation_loss                 the student's, nats per token
//   validation_perplexity           exp(validation_loss)
//   teacher_validation_loss, teacher_validation_perplexity   on the same tokens
// Others may be added freely; TensorBoard shows them all.
#ifndef RADLADS_DISTILL_METRICS_LOG_H_
#define RADLADS_DISTILL_METRICS_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/log_file.h"
#include "distill/tensorboard.h"

namespace radlads {

// Not thread-safe; one process of a run writes.
class MetricsLog {
 public:
  // Opens the log in the existing `run_directory`. A run that continues from the checkpoint of `resume_step` drops
  // what was logged after that step (and a last line that was cut off by a crash), so that the curve reads as if
  // nothing had happened; resume_step = 0 begins anew and removes the log of an earlier run.
  static absl::StatusOr<std::unique_ptr<MetricsLog>> Open(const std::string& run_directory, int64_t resume_step);

  // Appends a line and an event; both have reached the operating system when this returns. On a full disk there is
  // RESOURCE_EXHAUSTED and the files end with whole lines and events: the run ends, and goes on from its checkpoint.
  absl::Status Write(int64_t step, int64_t tokens, const std::vector<std::pair<std::string, double>>& values);

 private:
  MetricsLog(std::unique_ptr<LogFile> file, std::unique_ptr<EventFile> events)
      : file_(std::move(file)), events_(std::move(events)) {}
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventFile> events_;
};

// A line of metrics.jsonl. `values` has every number but step, tokens and time; null reads as not-a-number.
struct MetricsLine {
  int64_t step = 0;
  int64_t tokens = 0;
  double time = 0;
  std::map<std::string, double> values;
};

// All lines of <run_directory>/metrics.jsonl. NOT_FOUND if there is none; DATA_LOSS names the line that is not
// JSON. A last line without its newline is being written, or was cut off, and is left out.
absl::StatusOr<std::vector<MetricsLine>> ReadMetrics(const std::string& run_directory);

}  // namespace radlads

#endif  // RADLADS_DISTILL_METRICS_LOG_H_
