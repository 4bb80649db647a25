// Needle in a haystack: does a model find what it read once, by how long the text is and how deep it lies?
//
// Each prompt (prompts.h) is asked twice:
//   exact_match  the model goes on with the prompt, greedily: 1 where the first number that it writes is the hidden
//   one; acc          1 where the hidden number is likelier than each of choices - 1 other ones (chance: 1 / choices),
//   for
//                models that have kept a trace of it but do not write it down;
//   logprob      mean logarithm of the probability of the hidden number, by token.
#ifndef RADLADS_EVAL_NEEDLE_NEEDLE_H_
#define RADLADS_EVAL_NEEDLE_NEEDLE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/needle/prompts.h"
#include "eval/scorer.h"
#include "eval/tasks/response_journal.h"

namespace radlads {

enum NeedleMetric { kNeedleExactMatch, kNeedleAcc, kNeedleLogprob, kNeedleMetrics };
const char* NeedleMetricName(NeedleMetric metric);  // as above

struct NeedleAnswer {
  NeedlePrompt prompt;           // without its ids
  std::string text;              // what the model went on with
  std::vector<double> logprobs;  // of the hidden value and of the distractors, natural logarithms
  std::array<double, kNeedleMetrics> values{};
};

struct NeedleValue {
  double value = 0;
  std::optional<double> standard_error;  // nothing for one sample
};

struct NeedleResult {
  std::vector<int64_t> lengths;  // rising
  std::vector<double> depths;    // rising
  int64_t samples = 0, choices = 0;
  std::vector<NeedleAnswer> answers;      // in the order of the prompts
  std::vector<std::string> fingerprints;  // of the prompts, by length and depth: FNV-1a of their ids

  // The mean over the answers of a length and a depth; without one of them, over all of these. Samples are the same in
  // all cells and so the standard error is that of the means of the samples.
  NeedleValue Mean(NeedleMetric metric, std::optional<int64_t> length, std::optional<double> depth) const;
  double Chance(NeedleMetric metric) const;  // what guessing gives

  // A table for each metric: depths by lengths.
  std::string Table() const;
  // In the layout of lm_eval's results files: the group "needle" and a task "needle_<length>_<depth>" for each cell,
  // with "chance" as //eval:run tasks has it. `settings` (an object) and `model` go under "config".
  nlohmann::ordered_json Json(const std::string& model, const nlohmann::ordered_json& settings) const;
  // One page that needs no network: the tables, coloured.
  std::string Html(const std::string& model, const nlohmann::ordered_json& settings) const;
};

// The file names of lm_eval: results.json, samples_needle.jsonl; and report.html, in the existing `directory`.
absl::Status WriteNeedleResults(const NeedleResult& result, const std::string& directory, const std::string& model,
                                const nlohmann::ordered_json& settings);

// Answers that the journal has are taken from it; others are asked of the scorer, shorter prompts first, and written to
// it as they come, with progress on stderr. `on_length`, if given, sees the result after each length. The scorer's
// context must hold each prompt and kNeedleAnswerTokens more. Errors: those of MakeNeedlePrompts, scorer and journal.
absl::StatusOr<NeedleResult> RunNeedle(const NeedleOptions& options, const Haystack& haystack,
                                       const Tokenizer& tokenizer, Scorer& scorer, ResponseJournal& journal,
                                       const std::function<absl::Status(const NeedleResult&)>& on_length = {});
inline constexpr int64_t kNeedleAnswerTokens = 32;

// 1 where the first number in `text` is `value`, digit by digit, else 0.
double FirstNumberIs(const std::string& text, const std::string& value);

}  // namespace radlads

#endif  // RADLADS_EVAL_NEEDLE_NEEDLE_H_
