// Which dataset a training sample is taken from, when there are several: a pure function of the weights, a seed and the
// sample's number.
//
// Weights become whole shares s_1 ... s_D with sum S. Among any S consecutive samples exactly s_d are of dataset d, and
// each dataset's samples are numbered 0, 1, 2, ... in the order in which they come. So every part of a run has the
// mixture's proportions, and a run can be cut, resumed and split over processes anywhere.
//
// How: a binary tree halves the list of datasets. Of the n samples that have come to a node of total share S_node
// before this one, floor((n * S_left + phase) / S_node) went left, with a phase in [0, S_node) drawn from the seed; the
// sample goes left when that number grows with it. Each step is Bresenham's line; what goes left (or right) in S_node
// steps is S_left (or the rest) exactly, wherever one begins to count.
#ifndef RADLADS_DATA_MIXTURE_H_
#define RADLADS_DATA_MIXTURE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace radlads {

class Mixture {
 public:
  // Weights are positive and need not sum to 1; with up to six decimals they are kept exactly ({0.7, 0.2, 0.1} gives
  // shares 7, 2, 1), else to about nine digits. INVALID_ARGUMENT for none, for one that is not a positive number, or
  // too small beside the others.
  static absl::StatusOr<Mixture> Create(const std::vector<double>& weights, uint64_t seed);

  struct Place {
    int64_t dataset, sample;  // sample: counted within the dataset
  };
  // O(log datasets). `sample` from 0 to 2^62.
  Place Of(int64_t sample) const;

  // How many of the first `samples` samples each dataset has.
  std::vector<int64_t> Counts(int64_t samples) const;

  const std::vector<int64_t>& shares() const { return shares_; }
  int64_t period() const { return sums_.back(); }  // S

 private:
  Mixture() = default;
  struct Node {
    int64_t first, middle, last;  // datasets [first, middle) are on the left, [middle, last) on the right
  };
  int64_t Phase(const Node& node) const;
  int64_t WentLeft(const Node& node, int64_t samples) const;  // of `samples` that came

  uint64_t seed_ = 0;
  std::vector<int64_t> shares_;
  std::vector<int64_t> sums_;  // [D + 1]: sums_[d] = shares_[0] + ... + shares_[d - 1]
};

}  // namespace radlads

#endif  // RADLADS_DATA_MIXTURE_H_
