#include "data/mixture.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/status.h"

namespace radlads {
namespace {

constexpr int kDecimals = 6;
constexpr double kLargestShare = 1e9;

// SplitMix64 (Steele, Lea and Flood, 2014).
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// The weights times `scale`, when they are whole.
bool Scale(const std::vector<double>& weights, double scale, std::vector<int64_t>* shares) {
  shares->clear();
  for (const double weight : weights) {
    const double share = std::round(weight * scale);
    if (share < 1 || share > kLargestShare || std::abs(share - weight * scale) > 1e-9 * share) return false;
    shares->push_back(static_cast<int64_t>(share));
  }
  return true;
}

std::vector<int64_t> Shares(const std::vector<double>& weights) {
  std::vector<int64_t> shares;
  double scale = 1;
  for (int decimals = 0; decimals <= kDecimals; ++decimals, scale *= 10) {
    if (Scale(weights, scale, &shares)) return shares;
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  shares.clear();
  for (const double weight : weights) shares.push_back(std::llround(weight / largest * kLargestShare));
  return shares;
}

}  // namespace

absl::StatusOr<Mixture> Mixture::Create(const std::vector<double>& weights, uint64_t seed) {
  if (weights.empty()) return InvalidArgument("a mixture of no datasets");
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!std::isfinite(weights[i]) || weights[i] <= 0) {
      return InvalidArgument("the weight of dataset ", i, " is ", weights[i], ", expected a positive number");
    }
  }
  Mixture mixture;
  mixture.seed_ = seed;
  mixture.shares_ = Shares(weights);
  int64_t divisor = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (mixture.shares_[i] < 1) {
      return InvalidArgument("the weight of dataset ", i, " is ", weights[i],
                             ", less than a thousand-millionth of the largest; leave it out");
    }
    divisor = std::gcd(divisor, mixture.shares_[i]);
  }
  mixture.sums_.push_back(0);
  for (int64_t& share : mixture.shares_) {
    share /= divisor;
    mixture.sums_.push_back(mixture.sums_.back() + share);
  }
  return mixture;
}

int64_t Mixture::Phase(const Node& node) const {
  const uint64_t total = sums_[node.last] - sums_[node.first];
  return static_cast<int64_t>(Mix(Mix(Mix(seed_) ^ node.first) ^ node.last) % total);
}

int64_t Mixture::WentLeft(const Node& node, int64_t samples) const {
  const int64_t left = sums_[node.middle] - sums_[node.first], total = sums_[node.last] - sums_[node.first];
  return static_cast<int64_t>((static_cast<unsigned __int128>(samples) * left + Phase(node)) / total);
}

Mixture::Place Mixture::Of(int64_t sample) const {
  RADLADS_CHECK(sample >= 0 && sample < int64_t{1} << 62) << "sample " << sample;
  Node node{0, 0, static_cast<int64_t>(shares_.size())};
  while (node.last - node.first > 1) {
    node.middle = node.first + (node.last - node.first) / 2;
    const int64_t before = WentLeft(node, sample);
    const bool left = WentLeft(node, sample + 1) > before;
    sample = left ? before : sample - before;
    (left ? node.last : node.first) = node.middle;
  }
  return {node.first, sample};
}

std::vector<int64_t> Mixture::Counts(int64_t samples) const {
  std::vector<int64_t> counts(shares_.size());
  const std::function<void(Node, int64_t)> divide = [&](Node node, int64_t came) {
    if (node.last - node.first == 1) {
      counts[node.first] = came;
      return;
    }
    node.middle = node.first + (node.last - node.first) / 2;
    const int64_t left = WentLeft(node, came);
    divide({node.first, 0, node.middle}, left);
    divide({node.middle, 0, node.last}, came - left);
  };
  divide({0, 0, static_cast<int64_t>(shares_.size())}, samples);
  return counts;
}

}  // namespace radlads
