// The tokens of a vocabulary by falling probability, of which hardly any is sorted.
#ifndef RADLADS_MODEL_TOKEN_RANKING_H_
#define RADLADS_MODEL_TOKEN_RANKING_H_

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace radlads {

// Id of the largest logit, the lowest among equals; of the first that is not a number, if there is one. `logits` must
// not be empty.
int64_t LikeliestToken(std::span<const float> logits);

// Ranks by falling logit and rising id. Two passes over the vocabulary weigh the tokens into buckets of similar logits;
// then only buckets in which something is drawn or cut are read again and sorted. Weights are exp((logit - best) /
// temperature) in fp32, to 2e-7 of themselves where they matter (above 1e-4), sums in double; both are the same bits on
// every machine with IEEE 754.
class TokenRanking {
 public:
  struct Token {
    int64_t id;
    float logit;
    double weight;  // probability over that of the likeliest; 0 once it is dropped
  };

  // `logits` must outlive this, `best` be the largest, finite; temperature above 0. Tokens whose weight is below
  // `min_p`, or not above exp(-60) = 1e-26, do not exist.
  TokenRanking(std::span<const float> logits, float best, double temperature, double min_p);

  // Keeps the likeliest: `count` of them, at least 1; as few as together have `share` of the weight, at least one.
  void KeepCount(int64_t count);
  void KeepShare(double share);

  double total() const;  // weight
  // The first token at which the summed weights exceed `target` < total(); the last one, should rounding leave none.
  // Null where all are dropped. Good until the next call that is not const.
  const Token* At(double target);
  // `token` came from the last At.
  void Drop(const Token* token);
  // Drops all but the tokens that `keep` wants; asks by rank.
  template <typename Keep>
  void DropUnless(const Keep& keep);

 private:
  static constexpr int kBucketsPerUnit = 32;  // of (best - logit) / temperature
  static constexpr int kBuckets = 60 * kBucketsPerUnit;
  struct Bucket {
    double weight = 0;
    int64_t tokens = 0;
  };
  struct Place {
    int32_t bucket;  // kBuckets: the token does not exist
    float weight;
  };

  Place PlaceOf(float logit) const;
  // The tokens of a bucket, sorted.
  std::vector<Token>& Sorted(int bucket);
  void SortAll();
  void Weigh(int bucket);
  // Nothing after `tokens` of the bucket.
  void CutAfter(int bucket, int64_t tokens);

  const std::span<const float> logits_;
  const float best_, scale_, lowest_;
  std::vector<Bucket> buckets_;
  std::map<int, std::vector<Token>> sorted_;
  int last_ = 0;  // bucket of At
};

template <typename Keep>
void TokenRanking::DropUnless(const Keep& keep) {
  SortAll();
  for (auto& [bucket, tokens] : sorted_) {
    for (Token& token : tokens) {
      if (token.weight > 0 && !keep(token.id)) token.weight = 0;
    }
    Weigh(bucket);
  }
}

}  // namespace radlads

#endif  // RADLADS_MODEL_TOKEN_RANKING_H_
