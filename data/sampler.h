// Which tokens a training sample holds: a pure function of the dataset's size, the context length and the sample's
// number, so that a run can be resumed, split over processes and repeated without any state.
#ifndef RADLADS_DATA_SAMPLER_H_
#define RADLADS_DATA_SAMPLER_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

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
  // With a prime that somebody else chose. INVALID_ARGUMENT unless it is a prime 2 (mod 3), its windows lie within the
  // data, and it covers more than 99% of them (what the reference asserts).
  static absl::StatusOr<std::unique_ptr<MagicPrimeSampler>> CreateWithPrime(int64_t tokens, int64_t ctx, int64_t prime);

  int64_t Position(int64_t sample) const override;  // any sample >= 0
  int64_t samples_per_pass() const override { return prime_; }
  int64_t prime() const { return prime_; }
  int64_t factor() const { return factor_; }  // floor(p * f), the product rounded to double

 private:
  MagicPrimeSampler(int64_t prime, int64_t ctx);
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

}  // namespace radlads

#endif  // RADLADS_DATA_SAMPLER_H_
