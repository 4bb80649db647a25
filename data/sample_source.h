// One dataset as numbered training samples, wherever its tokens lie: in files here or behind an index service.
#ifndef RADLADS_DATA_SAMPLE_SOURCE_H_
#define RADLADS_DATA_SAMPLE_SOURCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/sampler.h"
#include "data/token_sequence.h"

namespace radlads {

enum class SampleOrder {
  kMagicPrime,  // MagicPrimeSampler: training
  kInOrder,     // SequentialSampler: scoring
};

struct SampleOptions {
  int64_t ctx = 0;
  SampleOrder order = SampleOrder::kMagicPrime;
  // Of kMagicPrime; 0 derives it from the dataset.
  int64_t magic_prime = 0;
};

// A sample to read, and where to put its ctx + 1 tokens.
struct SampleRow {
  int64_t sample;
  int32_t* tokens;
};

// Safe to share between threads.
class SampleSource {
 public:
  virtual ~SampleSource() = default;

  // Any samples, in any order; a source is fastest when they rise. Tokens are as stored, not compared with a
  // vocabulary; int64 tokens that do not fit int32 read as -1. An error says which dataset it is about; then rows are
  // unspecified.
  virtual absl::Status Read(std::span<const SampleRow> rows) const = 0;

  const DatasetDescription& description() const { return description_; }
  const Sampler& sampler() const { return *sampler_; }
  int64_t ctx() const { return options_.ctx; }

 protected:
  SampleSource(DatasetDescription description, SampleOptions options, std::shared_ptr<const Sampler> sampler)
      : description_(std::move(description)), options_(options), sampler_(std::move(sampler)) {}
  const SampleOptions& options() const { return options_; }

 private:
  const DatasetDescription description_;
  const SampleOptions options_;
  const std::shared_ptr<const Sampler> sampler_;
};

// The sampler that `options` asks for. INVALID_ARGUMENT when the tokens are too few for the context.
absl::StatusOr<std::shared_ptr<const Sampler>> CreateSampler(int64_t tokens, const SampleOptions& options);

// From files. Reads on all threads (base/parallel_for.h) when there are many rows.
absl::StatusOr<std::shared_ptr<const SampleSource>> CreateLocalSource(std::shared_ptr<const TokenSequence> sequence,
                                                                      const SampleOptions& options);

}  // namespace radlads

#endif  // RADLADS_DATA_SAMPLE_SOURCE_H_
