#include "model/token_ranking.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace radlads {
namespace {

// Loops over so many elements at a time, without sums in them, are what a compiler makes vectors of.
constexpr int64_t kBlock = 256;

// Logits over the temperature so far below the largest: exp(-60) is far below the rounding of the sum.
constexpr float kNegligible = -60;

// exp(x) for x in [-60, 0], with the polynomial of Cephes' expf; 1 for 0.
inline float Exponential(float x) {
  constexpr float kRound = 0x1.8p23f;  // added, it leaves no bits behind the point
  const float shifted = x * 1.44269504088896341f + kRound, power = shifted - kRound;
  const float rest = (x - power * 0.693359375f) + power * 2.12194440e-4f;
  float sum = 1.9875691500e-4f * rest + 1.3981999507e-3f;
  sum = sum * rest + 8.3334519073e-3f;
  sum = sum * rest + 4.1665795894e-2f;
  sum = sum * rest + 1.6666665459e-1f;
  sum = sum * rest + 5.0000001201e-1f;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound) + 127;
  return (sum * (rest * rest) + rest + 1) * std::bit_cast<float>(exponent << 23);
}

bool IsLikelier(const TokenRanking::Token& a, const TokenRanking::Token& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

}  // namespace

int64_t LikeliestToken(std::span<const float> logits) {
  const auto count = static_cast<int64_t>(logits.size());
  std::array<float, kBlock> largest;
  largest.fill(-std::numeric_limits<float>::infinity());
  std::array<int32_t, kBlock> damaged = {};
  int64_t id = 0;
  for (; id + kBlock <= count; id += kBlock) {
    for (int64_t i = 0; i < kBlock; ++i) {
      const float logit = logits[id + i];
      largest[i] = logit > largest[i] ? logit : largest[i];
      damaged[i] |= logit != logit;
    }
  }
  float best = *std::max_element(largest.begin(), largest.end());
  bool any_damaged = std::any_of(damaged.begin(), damaged.end(), [](int32_t d) { return d != 0; });
  for (; id < count; ++id) {
    best = std::max(best, logits[id]);
    any_damaged |= std::isnan(logits[id]);
  }
  const auto found = any_damaged ? std::find_if(logits.begin(), logits.end(), [](float l) { return std::isnan(l); })
                                 : std::find(logits.begin(), logits.end(), best);
  return found - logits.begin();
}

TokenRanking::TokenRanking(std::span<const float> logits, float best, double temperature, double min_p)
    : logits_(logits),
      best_(best),
      scale_(static_cast<float>(std::min<double>(1 / temperature, std::numeric_limits<float>::max()))),
      lowest_(std::max(std::nextafter(kNegligible, 0.0f), static_cast<float>(std::log(min_p)))),
      buckets_(kBuckets + 1) {
  const auto count = static_cast<int64_t>(logits.size());
  std::array<int32_t, kBlock> place;
  std::array<float, kBlock> weight;
  for (int64_t first = 0; first < count; first += kBlock) {
    const float* const block = logits.data() + first;
    const int64_t size = std::min(kBlock, count - first);
    for (int64_t i = 0; i < size; ++i) {
      const Place placed = PlaceOf(block[i]);
      place[i] = placed.bucket;
      weight[i] = placed.weight;
    }
    for (int64_t i = 0; i < size; ++i) {
      Bucket& bucket = buckets_[place[i]];
      bucket.weight += weight[i];
      ++bucket.tokens;
    }
  }
  buckets_.pop_back();
}

inline TokenRanking::Place TokenRanking::PlaceOf(float logit) const {
  const float below = (logit - best_) * scale_;
  const float x = below >= lowest_ ? below : kNegligible;
  return {.bucket = static_cast<int32_t>(x * -kBucketsPerUnit), .weight = Exponential(x)};
}

std::vector<TokenRanking::Token>& TokenRanking::Sorted(int bucket) {
  std::vector<Token>& tokens = sorted_[bucket];
  if (!tokens.empty()) return tokens;
  tokens.reserve(buckets_[bucket].tokens);
  const auto count = static_cast<int64_t>(logits_.size());
  std::array<int32_t, kBlock> inside;
  for (int64_t first = 0; first < count; first += kBlock) {
    const float* const block = logits_.data() + first;
    const int64_t size = std::min(kBlock, count - first);
    int32_t any = 0;
    for (int64_t i = 0; i < size; ++i) any += inside[i] = PlaceOf(block[i]).bucket == bucket;
    for (int64_t i = 0; any > 0 && i < size; ++i) {
      if (inside[i]) tokens.push_back({first + i, block[i], PlaceOf(block[i]).weight});
    }
  }
  std::sort(tokens.begin(), tokens.end(), IsLikelier);
  return tokens;
}

void TokenRanking::SortAll() {
  std::vector<std::vector<Token>> all(buckets_.size());
  for (size_t b = 0; b < all.size(); ++b) {
    if (!sorted_.contains(b)) all[b].reserve(buckets_[b].tokens);
  }
  for (size_t id = 0; id < logits_.size(); ++id) {
    const Place place = PlaceOf(logits_[id]);
    if (place.bucket < kBuckets && buckets_[place.bucket].weight > 0 && !sorted_.contains(place.bucket)) {
      all[place.bucket].push_back({static_cast<int64_t>(id), logits_[id], place.weight});
    }
  }
  for (size_t b = 0; b < all.size(); ++b) {
    if (all[b].empty()) continue;
    std::sort(all[b].begin(), all[b].end(), IsLikelier);
    sorted_[b] = std::move(all[b]);
  }
}

void TokenRanking::Weigh(int bucket) {
  buckets_[bucket].weight = 0;
  for (const Token& token : sorted_[bucket]) buckets_[bucket].weight += token.weight;
}

void TokenRanking::CutAfter(int bucket, int64_t tokens) {
  Sorted(bucket).resize(tokens);
  buckets_[bucket].tokens = tokens;
  Weigh(bucket);
  std::fill(buckets_.begin() + bucket + 1, buckets_.end(), Bucket());
  sorted_.erase(sorted_.upper_bound(bucket), sorted_.end());
}

void TokenRanking::KeepCount(int64_t count) {
  for (int b = 0; b < kBuckets; ++b) {
    if (buckets_[b].tokens >= count) return CutAfter(b, count);
    count -= buckets_[b].tokens;
  }
}

void TokenRanking::KeepShare(double share) {
  const double wanted = share * total();
  double sum = 0;
  for (int b = 0; b < kBuckets; ++b) {
    if (buckets_[b].tokens == 0) continue;
    if (sum + buckets_[b].weight < wanted) {
      sum += buckets_[b].weight;
      continue;
    }
    int64_t kept = 0;
    for (const Token& token : Sorted(b)) {
      ++kept;
      sum += token.weight;
      if (sum >= wanted) break;
    }
    return CutAfter(b, kept);
  }
}

double TokenRanking::total() const {
  double sum = 0;
  for (const Bucket& bucket : buckets_) sum += bucket.weight;
  return sum;
}

const TokenRanking::Token* TokenRanking::At(double target) {
  double sum = 0;
  last_ = -1;
  for (int b = 0; b < kBuckets; ++b) {
    if (buckets_[b].weight == 0) continue;
    last_ = b;
    if (sum + buckets_[b].weight > target) break;
    sum += buckets_[b].weight;
  }
  if (last_ < 0) return nullptr;
  const Token* found = nullptr;
  for (const Token& token : Sorted(last_)) {
    if (token.weight == 0) continue;
    found = &token;
    sum += token.weight;
    if (sum > target) break;
  }
  return found;
}

void TokenRanking::Drop(const Token* token) {
  std::vector<Token>& tokens = sorted_[last_];
  tokens[token - tokens.data()].weight = 0;
  Weigh(last_);
}

}  // namespace radlads
