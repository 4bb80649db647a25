// Training samples of one dataset or a mixture of several, as batches.
#ifndef RADLADS_DATA_BATCHES_H_
#define RADLADS_DATA_BATCHES_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/mixture.h"
#include "data/sample_source.h"

namespace radlads {

// inputs and labels are [B,T], row after row; labels[b][t] is the token after inputs[b][t].
struct Batch {
  int64_t rows = 0, ctx = 0;
  int64_t first_sample = 0, stride = 1;  // row b is sample first_sample + b * stride
  std::vector<int64_t> inputs, labels;
  std::vector<int32_t> tokens;  // [B,T+1]: what both are taken from
};

// What a run takes from one of its datasets.
struct DatasetPlan {
  DatasetDescription description;
  double share = 0;      // of all samples
  int64_t samples = 0;   // that the run takes
  int64_t per_pass = 0;  // that the dataset has: its magic prime
  double passes = 0;     // samples / per_pass: epochs
};

// Immutable and safe to share between threads. Sample i is a pure function of the datasets, their weights, the seed and
// i: it does not matter how many processes read, or where a run was interrupted.
class Batches {
 public:
  // Source d has weight weights[d]; all have the same context. The samples of each are its own order, one after the
  // other. Ids are compared with `vocabulary_size` as they are read.
  static absl::StatusOr<std::shared_ptr<const Batches>> Create(std::vector<std::shared_ptr<const SampleSource>> sources,
                                                               const std::vector<double>& weights, uint64_t seed,
                                                               int64_t vocabulary_size);

  // Row b is the sample numbered first_sample + b * stride: one process reads with stride 1; process r of w reads rows
  // r, r + w, ... with first_sample = cursor + r and stride w. `batch` is overwritten, its storage reused.
  // INVALID_ARGUMENT when an id lies outside of the vocabulary; the message says where. Errors of SampleSource::Read.
  absl::Status Read(int64_t first_sample, int64_t stride, int64_t rows, Batch* batch) const;
  // The same as [rows, ctx + 1] tokens into the caller's memory.
  absl::Status ReadTokens(int64_t first_sample, int64_t stride, int64_t rows, std::span<int32_t> out) const;

  int64_t ctx() const { return sources_.front()->ctx(); }
  // After so many samples one of the datasets has been seen whole, and none twice: for a single dataset its windows.
  int64_t samples_per_pass() const { return samples_per_pass_; }
  // "out/train, token 12345": where a sample begins.
  std::string Where(int64_t sample) const;
  // What the first `samples` samples are made of.
  std::vector<DatasetPlan> Plan(int64_t samples) const;

 private:
  Batches(std::vector<std::shared_ptr<const SampleSource>> sources, Mixture mixture, int64_t vocabulary_size);
  absl::Status CheckVocabulary(int64_t sample, std::span<const int32_t> tokens) const;

  const std::vector<std::shared_ptr<const SampleSource>> sources_;
  const Mixture mixture_;
  const int64_t vocabulary_size_;
  int64_t samples_per_pass_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_DATA_BATCHES_H_
