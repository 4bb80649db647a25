#include "eval/tasks/evaluate.h"

#include <utility>

#include "base/logging.h"
#include "base/progress.h"
#include "base/status.h"

namespace radlads {
namespace {

// Asks what the journal does not know. After this it knows all of `requests`.
absl::Status Answer(const Task& task, const std::vector<TaskRequest>& requests, Scorer& scorer,
                    const Tokenizer& tokenizer, ResponseJournal& journal) {
  const TaskConfig& config = task.config();
  std::vector<const TaskRequest*> open;
  for (const TaskRequest& request : requests) {
    if (journal.Find(RequestKey(config, request)) == nullptr) open.push_back(&request);
  }
  if (open.empty()) return absl::OkStatus();
  Progress progress(config.task, requests.size(), "requests");
  progress.SkipTo(requests.size() - open.size());
  absl::Status written;
  const auto save = [&](int64_t index, const TaskResponse& response) {
    if (written.ok()) written = journal.Append(RequestKey(config, *open[index]), config.output_type, response);
    progress.Advance(1);
  };
  RequestEncoder encoder(tokenizer, scorer.prefix_token());
  absl::Status scored;
  switch (config.output_type) {
    case OutputType::kMultipleChoice:
    case OutputType::kLoglikelihood: {
      std::vector<LoglikelihoodRequest> pairs;
      for (const TaskRequest* request : open) {
        TokenPair pair = encoder.EncodePair(request->context, request->continuation);
        pairs.push_back({std::move(pair.context), std::move(pair.continuation)});
      }
      scored = scorer
                   .Loglikelihood(pairs,
                                  [&](int64_t i, const LoglikelihoodResult& result) {
                                    save(i, {.loglikelihood = result, .text = ""});
                                  })
                   .status();
      break;
    }
    case OutputType::kLoglikelihoodRolling: {
      std::vector<std::vector<int64_t>> texts;
      for (const TaskRequest* request : open) texts.push_back(encoder.Encode(request->continuation));
      scored = scorer
                   .LoglikelihoodRolling(
                       texts,
                       [&](int64_t i, double logprob) { save(i, {.loglikelihood = {.logprob = logprob}, .text = ""}); })
                   .status();
      break;
    }
    case OutputType::kGenerateUntil: {
      std::vector<GenerateRequest> prompts;
      for (const TaskRequest* request : open) {
        prompts.push_back({.prompt = encoder.Encode(request->context),
                           .until = config.generation.until,
                           .max_new_tokens = config.generation.max_new_tokens,
                           .sampling = {}});
      }
      scored =
          scorer
              .GenerateUntil(prompts,
                             [&](int64_t i, const std::string& text) { save(i, {.loglikelihood = {}, .text = text}); })
              .status();
      break;
    }
  }
  RADLADS_RETURN_IF_ERROR(written);
  return scored;
}

absl::StatusOr<TaskResult> Evaluate(const Task& task, Scorer& scorer, const Tokenizer& tokenizer, ResponseJournal& journal,
                                    const EvaluateOptions& options) {
  const TaskConfig& config = task.config();
  RADLADS_ASSIGN_OR_RETURN(std::vector<TaskRequest> requests, BuildRequests(task, options.requests));
  RADLADS_RETURN_IF_ERROR(Answer(task, requests, scorer, tokenizer, journal));
  TaskResult result;
  for (TaskRequest& request : requests) {
    if (result.documents.empty() || result.documents.back().document != request.document) {
      result.documents.emplace_back().document = request.document;
    }
    result.documents.back().responses.push_back(*journal.Find(RequestKey(config, request)));
    result.documents.back().requests.push_back(std::move(request));
  }
  std::vector<std::vector<MetricValue>> values(config.metrics.size());
  int64_t without = 0, first_without = -1;  // documents whose right answer is no choice
  for (DocumentResult& document : result.documents) {
    auto measured = MeasureDocument(task, task.documents()[document.document], document.responses);
    if (!measured.ok()) return Annotate(measured.status(), Concatenate("document ", document.document));
    document.values = *std::move(measured);
    RADLADS_ASSIGN_OR_RETURN(const bool among, HasRightChoice(task, task.documents()[document.document]));
    if (!among && without++ == 0) first_without = document.document;
    for (size_t m = 0; m < values.size(); ++m) values[m].push_back(document.values[m]);
  }
  if (without > 0) {
    Log().warn("task {}: the right answer of {} of {} documents is not among their choices (document {} is the first); they "
               "count as wrong, as in lm_eval", config.task, without, result.documents.size(), first_without);
  }
  RADLADS_ASSIGN_OR_RETURN(const double chance, Chance(task, static_cast<int64_t>(result.documents.size())));
  for (size_t m = 0; m < values.size(); ++m) {
    const MetricConfig& metric = config.metrics[m];
    result.metrics.push_back(
        {.metric = metric,
         .value = Aggregate(metric.aggregation, values[m]),
         .standard_error = StandardError(metric.aggregation, values[m], options.bootstrap_iterations),
         .chance = metric.name.starts_with("acc") ? chance : 0});
  }
  return result;
}

}  // namespace

absl::StatusOr<TaskResult> EvaluateTask(const Task& task, Scorer& scorer, const Tokenizer& tokenizer, ResponseJournal& journal,
                                        const EvaluateOptions& options) {
  absl::StatusOr<TaskResult> result = Evaluate(task, scorer, tokenizer, journal, options);
  if (!result.ok()) return Annotate(result.status(), "task " + task.config().task);
  return result;
}

}  // namespace radlads
