// Answers of a model as they come, one JSON object a line, so that a run that was stopped goes on where it was.
//
// The first line says whose answers they are: {"run": text}. Each other line is one answer:
// {"request": key, "logprob": x, "greedy": true} or {"request": key, "text": "..."}. A last line that a crash cut off
// is dropped when the file is opened again.
#ifndef RADLADS_EVAL_TASKS_RESPONSE_JOURNAL_H_
#define RADLADS_EVAL_TASKS_RESPONSE_JOURNAL_H_

#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/log_file.h"
#include "eval/tasks/metrics.h"
#include "eval/tasks/requests.h"

namespace radlads {

// What a request is known by: everything that decides its answer.
std::string RequestKey(const TaskConfig& config, const TaskRequest& request);

// Not thread-safe; one process at a time.
class ResponseJournal {
 public:
  // Opens or makes the file. FAILED_PRECONDITION when it is of another `run` (model, precision, tokenizer ...),
  // DATA_LOSS with the line when it is damaged.
  // `full` is requested to stop when an answer cannot be kept: what the model goes on to answer is in vain then.
  static absl::StatusOr<std::unique_ptr<ResponseJournal>> Open(const std::string& path, const std::string& run,
                                                               std::stop_source full = std::stop_source());

  const TaskResponse* Find(const std::string& key) const;  // null: not answered yet
  // The line has reached the operating system when this returns; on a full disk there is RESOURCE_EXHAUSTED, and the
  // file and what Find knows stay as they are.
  absl::Status Append(const std::string& key, OutputType type, const TaskResponse& response);

 private:
  ResponseJournal(std::unique_ptr<LogFile> file, std::stop_source full)
      : file_(std::move(file)), full_(std::move(full)) {}
  std::unique_ptr<LogFile> file_;
  std::stop_source full_;
  std::unordered_map<std::string, TaskResponse> answers_;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_TASKS_RESPONSE_JOURNAL_H_
