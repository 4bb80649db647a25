#include "data/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace radlads {
namespace {

uint64_t MultiplyModulo(uint64_t a, uint64_t b, uint64_t modulus) {
  return static_cast<unsigned __int128>(a) * b % modulus;
}

uint64_t PowerModulo(uint64_t base, uint64_t exponent, uint64_t modulus) {
  uint64_t result = 1;
  for (base %= modulus; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = MultiplyModulo(result, base, modulus);
    base = MultiplyModulo(base, base, modulus);
  }
  return result;
}

// Miller-Rabin; these twelve bases decide every 64-bit number (Sorenson and Webster, 2015).
bool IsPrime(uint64_t n) {
  constexpr uint64_t kBases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
  if (n < 2) return false;
  for (uint64_t base : kBases) {
    if (n % base == 0) return n == base;
  }
  uint64_t odd = n - 1;
  int twos = 0;
  for (; odd % 2 == 0; odd /= 2) ++twos;
  for (uint64_t base : kBases) {
    uint64_t x = PowerModulo(base, odd, n);
    if (x == 1 || x == n - 1) continue;
    bool composite = true;
    for (int i = 1; i < twos && composite; ++i) {
      x = MultiplyModulo(x, x, n);
      composite = x != n - 1;
    }
    if (composite) return false;
  }
  return true;
}

absl::Status CheckContext(int64_t ctx) {
  if (ctx < 1) return InvalidArgument("a context of ", ctx, " tokens was asked for; expected at least 1");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> MagicPrime(int64_t tokens, int64_t ctx) {
  RADLADS_RETURN_IF_ERROR(CheckContext(ctx));
  const int64_t limit = tokens / ctx - 1;
  if (limit < 2) {
    return InvalidArgument("the data has ", tokens, " tokens, too few for a context of ", ctx,
                           ": at least 3 * ctx = ", 3 * static_cast<double>(ctx), " are needed; ",
                           tokens >= 3 ? Concatenate("the longest context this data allows is ", tokens / 3)
                                       : "no context is short enough",
                           ". Use a shorter context or more data");
  }
  int64_t candidate = limit - (limit + 1) % 3;  // 2 modulo 3
  while (!IsPrime(candidate)) candidate -= 3;   // ends at 2 at the latest
  return candidate;
}

absl::StatusOr<std::unique_ptr<MagicPrimeSampler>> MagicPrimeSampler::Create(int64_t tokens, int64_t ctx) {
  RADLADS_ASSIGN_OR_RETURN(const int64_t prime, MagicPrime(tokens, ctx));
  // The roundings of the reference: (sqrt(5) - 1) / 2 in double, p to double, their product to double, then down.
  const double golden = (std::sqrt(5.0) - 1.0) / 2.0;
  const int64_t factor = static_cast<int64_t>(static_cast<double>(prime) * golden);
  return std::unique_ptr<MagicPrimeSampler>(new MagicPrimeSampler(prime, factor, ctx));
}

int64_t MagicPrimeSampler::Position(int64_t sample) const {
  RADLADS_CHECK(sample >= 0) << "sample " << sample;
  const uint64_t p = prime_;
  const uint64_t ii = (static_cast<uint64_t>(sample) + 1) % p;
  const uint64_t cube = MultiplyModulo(MultiplyModulo(ii, ii, p), ii, p);
  return static_cast<int64_t>(MultiplyModulo(factor_, cube, p)) * ctx_;
}

absl::StatusOr<std::unique_ptr<SequentialSampler>> SequentialSampler::Create(int64_t tokens, int64_t ctx) {
  RADLADS_RETURN_IF_ERROR(CheckContext(ctx));
  const int64_t samples = ctx < tokens ? tokens / (ctx + 1) : 0;
  if (samples == 0) {
    return InvalidArgument("the data has ", tokens, " tokens, too few for one sample of ctx + 1 with a context of ",
                           ctx, "; ",
                           tokens >= 2 ? Concatenate("the longest context this data allows is ", tokens - 1)
                                       : "no context is short enough",
                           ". Use a shorter context or more data");
  }
  return std::unique_ptr<SequentialSampler>(new SequentialSampler(samples, ctx));
}

int64_t SequentialSampler::Position(int64_t sample) const {
  RADLADS_CHECK(sample >= 0 && sample < samples_) << "sample " << sample << " of " << samples_;
  return sample * (ctx_ + 1);
}

Batches::Batches(std::shared_ptr<const TokenDataset> dataset, std::shared_ptr<const Sampler> sampler, int64_t ctx,
                 int64_t vocabulary_size)
    : dataset_(std::move(dataset)), sampler_(std::move(sampler)), ctx_(ctx), vocabulary_size_(vocabulary_size) {
  RADLADS_CHECK(ctx_ >= 1 && vocabulary_size_ >= 1) << "ctx " << ctx_ << ", vocabulary " << vocabulary_size_;
}

absl::Status Batches::Read(int64_t first_sample, int64_t stride, int64_t rows, Batch* batch) const {
  batch->rows = rows;
  batch->ctx = ctx_;
  batch->inputs.resize(rows * ctx_);
  batch->labels.resize(rows * ctx_);
  batch->positions.resize(rows);
  std::vector<int64_t> sample(ctx_ + 1);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t number = first_sample + row * stride;
    const int64_t position = batch->positions[row] = sampler_->Position(number);
    RADLADS_RETURN_IF_ERROR(dataset_->Read(position, std::span<int64_t>(sample)));
    for (int64_t t = 0; t <= ctx_; ++t) {
      if (sample[t] >= 0 && sample[t] < vocabulary_size_) continue;
      return InvalidArgument(
          TokensPath(dataset_->prefix()), ": token ", position + t, " (in sample ", number, ") is ", sample[t],
          ", outside of the model's vocabulary of ", vocabulary_size_,
          " ids; the data was made with another tokenizer. `make_binidx check` lists all such tokens");
    }
    std::copy(sample.begin(), sample.end() - 1, batch->inputs.begin() + row * ctx_);
    std::copy(sample.begin() + 1, sample.end(), batch->labels.begin() + row * ctx_);
  }
  return absl::OkStatus();
}

}  // namespace radlads
