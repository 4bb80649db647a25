#include "eval/needle/needle.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <utility>

#include "base/fnv.h"
#include "base/progress.h"
#include "base/status.h"
#include "eval/tasks/metrics.h"

namespace radlads {
namespace {

// Ids that one call of the scorer holds at a time, over all its requests: memory.
constexpr int64_t kTokensAtOnce = 16 << 20;

// A prompt with what is asked about it, and what the journal knows each question by.
struct Question {
  const NeedlePrompt* prompt;
  std::vector<std::vector<int64_t>> choices;  // the hidden value, then the distractors
  std::string generate_key;
  std::vector<std::string> choice_keys;

  // By tokens that are read: the choices together count as one reading of the prompt.
  int64_t Cost(const ResponseJournal& journal) const {
    const bool choices_known = std::all_of(choice_keys.begin(), choice_keys.end(),
                                           [&](const std::string& key) { return journal.Find(key) != nullptr; });
    return ((journal.Find(generate_key) == nullptr) + !choices_known) * prompt->length;
  }
};

Question Ask(const NeedlePrompt& prompt, const Tokenizer& tokenizer) {
  const auto key = [](const std::string& of, const std::vector<int64_t>& ids) {
    Fnv128 hash;
    hash.Add(of);
    for (const int64_t id : ids) hash.AddNumber(id);
    hash.AddNumber(ids.size());
    return hash.Hex();
  };
  const std::string prompt_key = key("", prompt.ids);
  Question question{.prompt = &prompt,
                    .choices = {NeedleAnswerIds(prompt.value, tokenizer)},
                    .generate_key = key("generate_until " + prompt_key, {kNeedleAnswerTokens}),
                    .choice_keys = {}};
  for (const std::string& value : prompt.distractors) question.choices.push_back(NeedleAnswerIds(value, tokenizer));
  for (const auto& choice : question.choices)
    question.choice_keys.push_back(key("loglikelihood " + prompt_key, choice));
  return question;
}

// The two kinds of request, for what the journal does not know yet.
absl::Status Generate(std::span<const Question> questions, Scorer& scorer, ResponseJournal& journal,
                      Progress& progress) {
  std::vector<GenerateRequest> requests;
  std::vector<const Question*> open;
  for (const Question& question : questions) {
    if (journal.Find(question.generate_key) != nullptr) continue;
    open.push_back(&question);
    requests.push_back(
        {.prompt = question.prompt->ids, .until = {"\n"}, .max_new_tokens = kNeedleAnswerTokens, .sampling = {}});
  }
  absl::Status written;
  const auto asked = scorer.GenerateUntil(requests, [&](int64_t i, const std::string& text) {
    const TaskResponse response{.loglikelihood = {}, .text = text};
    if (written.ok()) written = journal.Append(open[i]->generate_key, OutputType::kGenerateUntil, response);
    progress.Advance(open[i]->prompt->length);
  });
  return written.ok() ? asked.status() : written;
}

absl::Status ScoreChoices(std::span<const Question> questions, Scorer& scorer, ResponseJournal& journal,
                          Progress& progress) {
  std::vector<LoglikelihoodRequest> requests;
  struct Open {
    const std::string* key;
    int64_t cost;  // of the first open choice, the prompt's
  };
  std::vector<Open> open;
  for (const Question& question : questions) {
    int64_t cost = question.prompt->length;
    for (size_t i = 0; i < question.choices.size(); ++i) {
      if (journal.Find(question.choice_keys[i]) != nullptr) continue;
      open.push_back({&question.choice_keys[i], std::exchange(cost, 0)});
      requests.push_back({.context = question.prompt->ids, .continuation = question.choices[i]});
    }
  }
  absl::Status written;
  const auto asked = scorer.Loglikelihood(requests, [&](int64_t i, const LoglikelihoodResult& result) {
    const TaskResponse response{.loglikelihood = result, .text = ""};
    if (written.ok()) written = journal.Append(*open[i].key, OutputType::kLoglikelihood, response);
    progress.Advance(open[i].cost);
  });
  return written.ok() ? asked.status() : written;
}

// The journal knows all of the question's answers.
NeedleAnswer Measure(const Question& question, const ResponseJournal& journal) {
  NeedleAnswer answer{.prompt = *question.prompt, .text = journal.Find(question.generate_key)->text, .logprobs = {}};
  answer.prompt.ids.clear();
  for (const std::string& key : question.choice_keys) {
    answer.logprobs.push_back(journal.Find(key)->loglikelihood.logprob);
  }
  const double hidden = answer.logprobs[0];
  answer.values[kNeedleExactMatch] = FirstNumberIs(answer.text, question.prompt->value);
  answer.values[kNeedleAcc] =
      std::all_of(answer.logprobs.begin() + 1, answer.logprobs.end(), [&](double other) { return hidden > other; });
  answer.values[kNeedleLogprob] = hidden / static_cast<double>(question.choices[0].size());
  return answer;
}

}  // namespace

double FirstNumberIs(const std::string& text, const std::string& value) {
  constexpr const char* kDigits = "0123456789";
  const size_t first = text.find_first_of(kDigits);
  if (first == std::string::npos) return 0;
  return text.substr(first, text.find_first_not_of(kDigits, first) - first) == value;
}

NeedleValue NeedleResult::Mean(NeedleMetric metric, std::optional<int64_t> length, std::optional<double> depth) const {
  std::map<int64_t, std::vector<MetricValue>> by_sample;
  for (const NeedleAnswer& answer : answers) {
    if (length.value_or(answer.prompt.length) != answer.prompt.length) continue;
    if (depth.value_or(answer.prompt.depth) != answer.prompt.depth) continue;
    by_sample[answer.prompt.sample].push_back({answer.values[metric]});
  }
  RADLADS_CHECK(!by_sample.empty()) << "no prompt has this length and depth";
  std::vector<MetricValue> means;
  for (const auto& [sample, values] : by_sample) means.push_back({Aggregate(Aggregation::kMean, values)});
  return {Aggregate(Aggregation::kMean, means), StandardError(Aggregation::kMean, means)};
}

double NeedleResult::Chance(NeedleMetric metric) const {
  return metric == kNeedleAcc ? 1.0 / static_cast<double>(choices) : 0;
}

absl::StatusOr<NeedleResult> RunNeedle(const NeedleOptions& options, const Haystack& haystack,
                                       const Tokenizer& tokenizer, Scorer& scorer, ResponseJournal& journal,
                                       const std::function<absl::Status(const NeedleResult&)>& on_length) {
  RADLADS_ASSIGN_OR_RETURN(const std::vector<NeedlePrompt> prompts, MakeNeedlePrompts(options, haystack, tokenizer));
  if (prompts.back().length + kNeedleAnswerTokens > scorer.max_length()) {
    return InvalidArgument("prompts of ", prompts.back().length, " tokens and answers of up to ", kNeedleAnswerTokens,
                           " do not fit the scorer's context of ", scorer.max_length());
  }
  NeedleResult result{.lengths = {},
                      .depths = {},
                      .samples = options.samples,
                      .choices = options.choices,
                      .answers = {},
                      .fingerprints = {}};
  const std::set<double> depths(options.depths.begin(), options.depths.end());
  result.depths.assign(depths.begin(), depths.end());

  std::vector<Question> questions;
  int64_t open = 0;
  for (const NeedlePrompt& prompt : prompts) {
    questions.push_back(Ask(prompt, tokenizer));
    open += questions.back().Cost(journal);
  }
  const int64_t all = std::accumulate(prompts.begin(), prompts.end(), int64_t{0},
                                      [](int64_t sum, const NeedlePrompt& prompt) { return sum + 2 * prompt.length; });
  Progress progress("needle", all, "tokens");
  progress.SkipTo(all - open);

  const size_t cell = options.samples, row = depths.size() * cell;
  for (size_t first = 0; first < questions.size(); first += row) {
    const int64_t length = prompts[first].length;
    const size_t step = std::max<int64_t>(1, kTokensAtOnce / (length * options.choices));
    for (size_t at = first; at < first + row; at += step) {
      const std::span<const Question> some(&questions[at], std::min(step, first + row - at));
      RADLADS_RETURN_IF_ERROR(Generate(some, scorer, journal, progress));
      RADLADS_RETURN_IF_ERROR(ScoreChoices(some, scorer, journal, progress));
    }
    result.lengths.push_back(length);
    for (size_t i = first; i < first + row; i += cell) {
      Fnv128 fingerprint;
      for (const Question& question : std::span(questions).subspan(i, cell)) {
        fingerprint.Add(question.generate_key);
        result.answers.push_back(Measure(question, journal));
      }
      result.fingerprints.push_back(fingerprint.Hex());
    }
    if (on_length) RADLADS_RETURN_IF_ERROR(on_length(result));
  }
  return result;
}

}  // namespace radlads
