// Which tokens a training sample holds: a pure function of the dataset's size, the context length and the sample's
// number, so that a run can be resumed, split over processes and repeated without any state.
#ifndef RADLADS_DATA_SAMPLER_H_
#define RADLADS_DATA_SAMPLER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/binidx.h"

namespace radlads {

// A mini-batch of RADLADS and RWKV-LM, the unit in which their recipes count epochs.
inline constexpr int64_t kSamplesPerMiniBatch = 40320;

// The largest prime p = 2 (mod 3) with p <= floor(tokens / ctx) - 1. INVALID_ARGUMENT when there is none (fewer than
// 3 * ctx tokens), with the longest context that the data allows.
absl::StatusOr<int64_t> MagicPrime(int64_t tokens, int64_t ctx);

// Numbers samples from 0 and says where in the dataset each begins.
class Sampler {
 public:
  virtual ~Sampler() = default;
  // The first token of a sample, which holds ctx + 1 tokens from there (inputs and labels overlap by all but one).
  virtual int64_t Position(int64_t sample) const = 0;
  // After so many samples every place has been visited once.
  virtual int64_t samples_per_pass() const = 0;
};

// The order of RADLADS and RWKV-LM, equal to theirs to the last index:
//   position = ((floor(p * f) * ii^3) mod p) * ctx,  f = (sqrt(5) - 1) / 2,  ii = 1 + sample,  p = MagicPrime(tokens,
//   ctx),
// where the reference's ii = 1 + epoch * samples_per_epoch + idx * world + rank is our ii for
// sample = epoch * samples_per_epoch + idx * world + rank. Because p = 2 (mod 3), cubing permutes the residues: p
// consecutive samples visit each of the p windows exactly once. Sample s + p is sample s again: later passes
// repeat the order of the first, as the reference's do. The tokens after window p (at most a few per cent of a large
// dataset, up to about half of a tiny one) are not visited.
class MagicPrimeSampler final : public Sampler {
 public:
  static absl::StatusOr<std::unique_ptr<MagicPrimeSampler>> Create(int64_t tokens, int64_t ctx);

  int64_t Position(int64_t sample) const override;  // any sample >= 0
  int64_t samples_per_pass() const override { return prime_; }
  int64_t prime() const { return prime_; }
  int64_t factor() const { return factor_; }  // floor(p * f), the product rounded to double

 private:
  MagicPrimeSampler(int64_t prime, int64_t factor, int64_t ctx) : prime_(prime), factor_(factor), ctx_(ctx) {}
  int64_t prime_, factor_, ctx_;
};

// In order, without overlap: sample i holds the tokens [i * (ctx + 1), (i + 1) * (ctx + 1)). For scoring; sample
// numbers from 0 to samples_per_pass() - 1.
class SequentialSampler final : public Sampler {
 public:
  // INVALID_ARGUMENT when not even one sample fits.
  static absl::StatusOr<std::unique_ptr<SequentialSampler>> Create(int64_t tokens, int64_t ctx);

  int64_t Position(int64_t sample) const override;
  int64_t samples_per_pass() const override { return samples_; }

 private:
  SequentialSampler(int64_t samples, int64_t ctx) : samples_(samples), ctx_(ctx) {}
  int64_t samples_, ctx_;
};

// inputs and labels are [B,T], row after row; labels[b][t] is the token after inputs[b][t].
struct Batch {
  int64_t rows = 0, ctx = 0;
  std::vector<int64_t> inputs, labels;
  std::vector<int64_t> positions;  // [B]: where in the dataset each row begins
};

// Samples of a dataset as batches. Immutable and safe to share between threads.
class Batches {
 public:
  // Ids are compared with `vocabulary_size` as they are read.
  Batches(std::shared_ptr<const TokenDataset> dataset, std::shared_ptr<const Sampler> sampler, int64_t ctx,
          int64_t vocabulary_size);

  // Row b is the sample numbered first_sample + b * stride: one process reads with stride 1; process r of w reads rows
  // r, r + w, ... with first_sample = cursor + r and stride w. `batch` is overwritten, its storage reused.
  // INVALID_ARGUMENT when an id lies outside of the vocabulary; the message says where.
  absl::Status Read(int64_t first_sample, int64_t stride, int64_t rows, Batch* batch) const;

  const TokenDataset& dataset() const { return *dataset_; }
  const Sampler& sampler() const { return *sampler_; }
  int64_t ctx() const { return ctx_; }

 private:
  std::shared_ptr<const TokenDataset> dataset_;
  std::shared_ptr<const Sampler> sampler_;
  int64_t ctx_, vocabulary_size_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_SAMPLER_H_
