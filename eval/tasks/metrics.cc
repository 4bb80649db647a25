#include "eval/tasks/metrics.h"

#include <re2/re2.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numbers>

#include "base/parallel_for.h"
#include "base/status.h"
#include "eval/tasks/python_random.h"
#include "eval/tasks/python_text.h"

namespace radlads {
namespace {

using Values = std::vector<MetricValue>;

// The first of the largest, as numpy.argmax.
int64_t ArgMax(const std::vector<double>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

// The indices of the right choices; kNone for one that is not among them. Negative ones count from the last where an
// answer is looked at, and are never the likeliest, as in lm_eval.
constexpr int64_t kNone = INT64_MIN;
absl::StatusOr<std::vector<int64_t>> RightChoices(const Task& task, const Document& document,
                                                  const std::vector<std::string>& choices) {
  const char* const field = task.multiple_input() ? "doc_to_text" : "doc_to_target";
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue gold, task.multiple_input() ? task.Text(document) : task.Target(document));
  std::vector<int64_t> right;
  const auto size = static_cast<int64_t>(choices.size());
  const auto add = [&](const JinjaValue& value) -> absl::Status {
    if (!value.is_number()) {
      return InvalidArgument(field, " gives ", gold.is_list() ? "a list with a " : "a ", value.type_name(),
                             ", expected the index of a choice", gold.is_list() ? "" : " or its text");
    }
    const int64_t index = value.as_number();
    if (index < -size) return InvalidArgument(field, " gives choice ", index, ", but there are ", size);
    right.push_back(index < size ? index : kNone);
    return absl::OkStatus();
  };
  if (gold.is_string()) {
    const auto found = std::find(choices.begin(), choices.end(), gold.as_string());
    right.push_back(found == choices.end() ? kNone : found - choices.begin());
  } else if (gold.is_list()) {
    for (const JinjaValue& value : gold.as_list()) RADLADS_RETURN_IF_ERROR(add(value));
  } else {
    RADLADS_RETURN_IF_ERROR(add(gold));
  }
  return right;
}

absl::StatusOr<Values> MultipleChoice(const Task& task, const Document& document,
                                      const std::vector<TaskResponse>& responses) {
  RADLADS_ASSIGN_OR_RETURN(const std::vector<std::string> choices, task.Choices(document));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> right, RightChoices(task, document, choices));
  RADLADS_CHECK(responses.size() >= choices.size());
  const auto best_is_right = [&](const auto& score) {
    std::vector<double> scores;
    for (size_t i = 0; i < choices.size(); ++i) scores.push_back(score(i, responses[i].loglikelihood.logprob));
    return std::find(right.begin(), right.end(), ArgMax(scores)) != right.end() ? 1.0 : 0.0;
  };
  Values values;
  for (const MetricConfig& metric : task.config().metrics) {
    double value = 0;
    if (metric.name == "acc") {
      value = best_is_right([](size_t, double logprob) { return logprob; });
    } else if (metric.name == "acc_norm") {
      value = best_is_right([&](size_t i, double logprob) { return logprob / Characters(choices[i]); });
    } else if (metric.name == "acc_bytes") {
      value = best_is_right([&](size_t i, double logprob) { return logprob / choices[i].size(); });
    } else if (metric.name == "acc_mutual_info") {
      value = best_is_right(
          [&](size_t i, double logprob) { return logprob - responses[choices.size() + i].loglikelihood.logprob; });
    } else {  // exact_match
      value = std::any_of(right.begin(), right.end(),
                          [&](int64_t i) {
                            return i != kNone && responses[i < 0 ? i + choices.size() : i].loglikelihood.is_greedy;
                          });
    }
    values.push_back({value});
  }
  return values;
}

absl::StatusOr<Values> Generated(const Task& task, const Document& document, const std::string& answer) {
  RADLADS_ASSIGN_OR_RETURN(JinjaValue target, task.Target(document));
  if (!task.config().doc_to_choice.is_none()) {
    RADLADS_ASSIGN_OR_RETURN(const std::vector<std::string> choices, task.Choices(document));
    if (!target.is_number()) {
      return InvalidArgument("doc_to_target gives a ", target.type_name(), ", expected the index of a choice");
    }
    const auto size = static_cast<int64_t>(choices.size());
    const int64_t at = target.as_number() < 0 ? target.as_number() + size : target.as_number();
    if (at < 0 || at >= size) {
      return InvalidArgument("doc_to_target gives choice ", target.as_number(), ", but there are ", size);
    }
    target = JinjaValue(choices[at]);
  }
  const JinjaValue::List targets = task.multiple_target() && target.is_list() ? target.as_list() : JinjaValue::List{target};
  Values values;
  for (const MetricConfig& metric : task.config().metrics) {
    double best = 0;
    for (const JinjaValue& option : targets) {
      RADLADS_ASSIGN_OR_RETURN(const std::string text, option.Print());
      RADLADS_ASSIGN_OR_RETURN(const double match, ExactMatch(metric, answer, text));
      best = std::max(best, match);
    }
    values.push_back({best});
  }
  return values;
}

absl::StatusOr<Values> Rolling(const Task& task, const Document& document, double logprob) {
  RADLADS_ASSIGN_OR_RETURN(const JinjaValue target, task.Target(document));
  RADLADS_ASSIGN_OR_RETURN(const std::string text, target.Print());
  Values values;
  for (const MetricConfig& metric : task.config().metrics) {
    const bool words = metric.name == "word_perplexity";
    values.push_back({logprob, words ? SpaceSeparatedParts(text) : static_cast<int64_t>(text.size())});
  }
  return values;
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double SampleDeviation(const std::vector<double>& values) {
  const double mean = Mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

}  // namespace

absl::StatusOr<bool> HasRightChoice(const Task& task, const Document& document) {
  if (task.config().output_type != OutputType::kMultipleChoice) return true;
  RADLADS_ASSIGN_OR_RETURN(const std::vector<std::string> choices, task.Choices(document));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> right, RightChoices(task, document, choices));
  return std::any_of(right.begin(), right.end(), [](int64_t i) { return i >= 0; });
}

absl::StatusOr<double> ExactMatch(const MetricConfig& metric, const std::string& answer, const std::string& target) {
  std::string texts[] = {answer, target};
  for (std::string& text : texts) {
    for (const std::string& expression : metric.regexes_to_ignore) {
      const RE2 regex(expression, RE2::Quiet);
      if (!regex.ok()) return InvalidArgument("regexes_to_ignore: ", expression, ": ", regex.error());
      RE2::GlobalReplace(&text, regex, "");
    }
    if (metric.ignore_case) text = Lowercase(text);
    std::erase_if(text, [&](char c) {  // ASCII, as string.punctuation and string.digits
      const auto byte = static_cast<unsigned char>(c);
      return byte < 0x80 &&
             ((metric.ignore_punctuation && std::ispunct(byte)) || (metric.ignore_numbers && std::isdigit(byte)));
    });
  }
  return texts[0] == texts[1] ? 1.0 : 0.0;
}

absl::StatusOr<Values> MeasureDocument(const Task& task, const Document& document,
                                       const std::vector<TaskResponse>& responses) {
  RADLADS_CHECK(!responses.empty());
  const LoglikelihoodResult& first = responses.front().loglikelihood;
  switch (task.config().output_type) {
    case OutputType::kMultipleChoice:
      return MultipleChoice(task, document, responses);
    case OutputType::kGenerateUntil:
      return Generated(task, document, responses.front().text);
    case OutputType::kLoglikelihoodRolling:
      return Rolling(task, document, first.logprob);
    case OutputType::kLoglikelihood:
      break;
  }
  Values values;
  for (const MetricConfig& metric : task.config().metrics) {
    values.push_back({metric.name == "acc" ? static_cast<double>(first.is_greedy) : first.logprob});
  }
  return values;
}

double Aggregate(Aggregation aggregation, const Values& values) {
  double sum = 0;
  int64_t weight = 0;
  for (const MetricValue& value : values) {
    sum += value.value;
    weight += value.weight;
  }
  const double mean = sum / static_cast<double>(weight);
  switch (aggregation) {
    case Aggregation::kMean:
      return mean;
    case Aggregation::kPerplexity:
    case Aggregation::kWeightedPerplexity:
      return std::exp(-mean);
    case Aggregation::kBitsPerByte:
      return -mean / std::numbers::ln2;
  }
  return 0;
}

std::optional<double> StandardError(Aggregation aggregation, const Values& values, int64_t bootstrap_iterations) {
  if (values.size() < 2 || bootstrap_iterations < 1) return std::nullopt;
  std::vector<double> plain;
  for (const MetricValue& value : values) plain.push_back(value.value);
  const auto count = static_cast<uint32_t>(plain.size());
  if (aggregation == Aggregation::kMean) return SampleDeviation(plain) / std::sqrt(static_cast<double>(count));
  if (aggregation != Aggregation::kPerplexity) return std::nullopt;
  // Chunks of a thousand, each with a generator of its own, seeded by its index.
  const int64_t chunk = std::min<int64_t>(1000, bootstrap_iterations), chunks = bootstrap_iterations / chunk;
  std::vector<double> resampled(chunk * chunks);
  ParallelForDynamic(chunks, [&](int64_t c) {
    PythonRandom random(c);
    for (int64_t i = 0; i < chunk; ++i) {
      double sum = 0;
      for (uint32_t n = 0; n < count; ++n) sum += plain[random.Choice(count)];
      resampled[c * chunk + i] = std::exp(-(sum / count));
    }
  });
  if (resampled.size() < 2) return std::nullopt;
  return SampleDeviation(resampled);
}

absl::StatusOr<double> Chance(const Task& task, int64_t documents) {
  if (task.config().output_type != OutputType::kMultipleChoice) return 0.0;
  double sum = 0;
  for (int64_t i = 0; i < documents; ++i) {
    RADLADS_ASSIGN_OR_RETURN(const auto choices, task.Choices(task.documents()[i]));
    sum += 1.0 / static_cast<double>(choices.size());
  }
  return documents > 0 ? sum / static_cast<double>(documents) : 0.0;
}

}  // namespace radlads
