// The same tokens through several models: what a student keeps of its teacher, in one table.
#ifndef RADLADS_EVAL_PERPLEXITY_H_
#define RADLADS_EVAL_PERPLEXITY_H_

#include <ATen/core/ScalarType.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/score.h"

namespace radlads {

// A model to score: what the table calls it, and where it is (see model/pretrained.h).
struct NamedModel {
  std::string name, path;
};

struct PerplexityOptions {
  std::vector<NamedModel> models;  // the first is what the others are compared with
  // One of the two: PREFIX of a token dataset, or a text file (jsonl or txt, plain, gz, xz or zst) that is tokenised
  // with the first model's tokenizer, each document ended by its end-of-text token.
  std::string data, text;
  int64_t ctx = 512;
  int64_t tokens = 0;  // scored tokens, rounded up to whole windows; 0 means all there are
  int64_t batch = 4;
  at::ScalarType dtype = at::kFloat;
};

struct PerplexityRow {
  NamedModel model;
  Score score;
  double ratio = 1;  // perplexity over that of the first model
  double seconds = 0;
};

struct PerplexityReport {
  std::string data;  // what was read
  int64_t ctx = 0;
  std::vector<PerplexityRow> rows;

  std::string Table() const;  // aligned text
  std::string Json() const;   // what report.html reads, see distill/report.h
  std::string Html() const;   // one page that needs no network
};

// Windows of ctx + 1 tokens, in order and without overlap: [N,ctx+1] int64. INVALID_ARGUMENT when not one fits.
absl::StatusOr<at::Tensor> CutWindows(const std::vector<int64_t>& ids, int64_t ctx, int64_t tokens);

// Scores the models one after another, each freed before the next is loaded, with progress on stderr. INVALID_ARGUMENT
// when models have different tokenizers (their perplexities mean different things), FAILED_PRECONDITION when the data
// was tokenised by another one, and errors of reading them.
absl::StatusOr<PerplexityReport> MeasurePerplexity(const PerplexityOptions& options);

}  // namespace radlads

#endif  // RADLADS_EVAL_PERPLEXITY_H_
