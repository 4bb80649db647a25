#include "data/sample_source.h"

#include "base/parallel_for.h"
#include "base/status.h"

namespace radlads {
namespace {

// Less than this is not worth waking a thread.
constexpr int64_t kTokensPerThread = 1 << 16;

class LocalSource final : public SampleSource {
 public:
  LocalSource(std::shared_ptr<const TokenSequence> sequence, const SampleOptions& options,
              std::shared_ptr<const Sampler> sampler)
      : SampleSource(sequence->description(), options, std::move(sampler)), sequence_(std::move(sequence)) {}

  absl::Status Read(std::span<const SampleRow> rows) const override {
    const int64_t length = ctx() + 1;
    ParallelFor(static_cast<int64_t>(rows.size()), kTokensPerThread / length + 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const absl::Status status =
            sequence_->Read(sampler().Position(rows[i].sample), {rows[i].tokens, static_cast<size_t>(length)});
        RADLADS_CHECK(status.ok()) << status;  // samplers stay within the sequence
      }
    });
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<const TokenSequence> sequence_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Sampler>> CreateSampler(int64_t tokens, const SampleOptions& options) {
  if (options.order == SampleOrder::kInOrder) return SequentialSampler::Create(tokens, options.ctx);
  if (options.magic_prime == 0) return MagicPrimeSampler::Create(tokens, options.ctx);
  return MagicPrimeSampler::CreateWithPrime(tokens, options.ctx, options.magic_prime);
}

absl::StatusOr<std::shared_ptr<const SampleSource>> CreateLocalSource(std::shared_ptr<const TokenSequence> sequence,
                                                                      const SampleOptions& options) {
  auto sampler = CreateSampler(sequence->tokens(), options);
  if (!sampler.ok()) return Annotate(sampler.status(), sequence->description().name);
  return std::make_shared<const LocalSource>(std::move(sequence), options, *std::move(sampler));
}

}  // namespace radlads
