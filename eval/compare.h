// What students keep of their teacher: results of //eval:run tasks, of the same tasks, beside each other.
//
// An accuracy is also given as the share of what the teacher knows beyond guessing, (student - chance) / (teacher -
// chance), as the RADLADS paper (arXiv:2505.03005) reports its conversions; a perplexity as a multiple of the
// teacher's.
#ifndef RADLADS_EVAL_COMPARE_H_
#define RADLADS_EVAL_COMPARE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace radlads {

struct ComparedValue {
  double value = 0;
  std::optional<double> standard_error;
  // Accuracies: share kept beyond chance, 1 for the teacher; nothing where the teacher does not beat chance.
  // Others: the multiple of the teacher's value.
  std::optional<double> relative;
};

struct ComparedMetric {
  std::string task, metric;
  bool higher_is_better = true;
  double chance = 0;
  // The metric that stands for its task in the average: acc_norm, or acc, or exact_match.
  bool headline = false;
  std::vector<ComparedValue> values;  // the teacher's, then the students'
};

struct Comparison {
  std::vector<std::string> models;  // the teacher, then the students: the last part of their paths
  std::vector<ComparedMetric> metrics;
  // Mean of the headline metrics, and of their relative values: by model.
  std::vector<ComparedValue> average;

  std::string Table() const;  // aligned text
  std::string Json() const;
  std::string Html() const;  // one page that needs no network
};

// Directories that //eval:run tasks wrote. Tasks that only some of them have are left out. NOT_FOUND without a
// results.json, INVALID_ARGUMENT where one is malformed or no task is common, FAILED_PRECONDITION where a task was not
// run on the same documents with the same examples.
absl::StatusOr<Comparison> CompareResults(const std::string& teacher, const std::vector<std::string>& students);

}  // namespace radlads

#endif  // RADLADS_EVAL_COMPARE_H_
