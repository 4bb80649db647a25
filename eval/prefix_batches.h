// Which sequences go through a model together, and which of their tokens only once.
#ifndef RADLADS_EVAL_PREFIX_BATCHES_H_
#define RADLADS_EVAL_PREFIX_BATCHES_H_

#include <cstdint>
#include <span>
#include <vector>

namespace radlads {

// Groups of sequences, by index. Those of a group begin with the same `shared` tokens, which are read once a group, and
// all are longer; shared = 0: nothing is.
struct PrefixBatch {
  int64_t shared = 0;
  std::vector<std::vector<int64_t>> groups;
};

struct PrefixPlan {
  // By sequence: the one that stands for it, which begins with it: itself, unless it is the beginning of another.
  std::vector<int64_t> stand_in;
  // Every sequence that stands for itself is in one batch. The longest come first.
  std::vector<PrefixBatch> batches;
};

// Whether a row of `length` tokens goes with `count` rows, at least 1, that are padded to `longest`: rather than a pass
// of its own, which reads every weight again, it may be padded by an eighth, and while the pass has few tokens by more.
bool GoesWith(int64_t count, int64_t longest, int64_t length);

// Batches of similar length. With nothing shared, a batch is at most `batch_tokens` when all are padded to its longest;
// otherwise the shared parts of its groups together are. A sequence or group longer than that is a batch by itself.
// Depends on the sequences as a set of texts only: their order changes nothing but who stands in for an equal one.
PrefixPlan PlanBatches(const std::vector<std::span<const int64_t>>& sequences, int64_t batch_tokens);

}  // namespace radlads

#endif  // RADLADS_EVAL_PREFIX_BATCHES_H_
