#include "data/sampler.h"

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
  return std::unique_ptr<MagicPrimeSampler>(new MagicPrimeSampler(prime, ctx));
}

absl::StatusOr<std::unique_ptr<MagicPrimeSampler>> MagicPrimeSampler::CreateWithPrime(int64_t tokens, int64_t ctx,
                                                                                      int64_t prime) {
  RADLADS_ASSIGN_OR_RETURN(const int64_t own, MagicPrime(tokens, ctx));
  const int64_t windows = tokens / ctx;
  if (prime < 2 || prime > windows - 1 || prime % 3 != 2 || !IsPrime(prime) ||
      static_cast<double>(prime) / windows <= 0.99) {
    return InvalidArgument("magic_prime is ", prime, ", expected a prime 2 (mod 3) that is at most ", windows - 1,
                           " and more than 99% of the ", windows, " windows of ", ctx, " in ", tokens,
                           " tokens; the largest is ", own, ", which 0 stands for");
  }
  return std::unique_ptr<MagicPrimeSampler>(new MagicPrimeSampler(prime, ctx));
}

// The roundings of the reference: (sqrt(5) - 1) / 2 in double, p to double, their product to double, then down.
MagicPrimeSampler::MagicPrimeSampler(int64_t prime, int64_t ctx)
    : prime_(prime),
      factor_(static_cast<int64_t>(static_cast<double>(prime) * ((std::sqrt(5.0) - 1.0) / 2.0))),
      ctx_(ctx) {}

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

}  // namespace radlads
