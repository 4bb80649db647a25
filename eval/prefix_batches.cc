#include "eval/prefix_batches.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace radlads {
namespace {

// Fewer shared tokens are not worth a state of their own.
constexpr int64_t kMinShared = 8;
// Groups of one batch share a prefix of one length, that of the shortest: what the others share beyond it, up to this
// many tokens, is read by each of their sequences again.
constexpr int64_t kMaxCut = 2;
// A pass of fewer tokens than this gains from more of them, even where they are padding.
constexpr int64_t kFewTokens = 64;

using Sequence = std::span<const int64_t>;

int64_t CommonPrefix(Sequence a, Sequence b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

struct Group {
  int64_t shared = 0, longest = 0;
  std::vector<int64_t> members;
};

// Runs of sequences, which are in lexical order, for which reading the common prefix once saves tokens.
std::vector<Group> GroupByPrefix(const std::vector<Sequence>& sequences, const std::vector<int64_t>& ordered) {
  std::vector<Group> groups;
  for (size_t i = 0; i < ordered.size(); ++i) {
    const auto length = static_cast<int64_t>(sequences[ordered[i]].size());
    if (!groups.empty()) {
      Group& group = groups.back();
      const int64_t common = CommonPrefix(sequences[ordered[i - 1]], sequences[ordered[i]]);
      const auto count = static_cast<int64_t>(group.members.size());
      const int64_t shared = count == 1 ? common : std::min(common, group.shared);
      if (shared >= kMinShared && count * shared > (count - 1) * group.shared) {
        group.shared = shared;
        group.longest = std::max(group.longest, length);
        group.members.push_back(ordered[i]);
        continue;
      }
    }
    groups.push_back({.shared = 0, .longest = length, .members = {ordered[i]}});
  }
  return groups;
}

}  // namespace

bool GoesWith(int64_t count, int64_t longest, int64_t length) {
  return count * longest < kFewTokens || (longest - length) * 8 <= longest;
}

PrefixPlan PlanBatches(const std::vector<Sequence>& sequences, int64_t batch_tokens) {
  PrefixPlan plan;
  std::vector<int64_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return std::lexicographical_compare(sequences[a].begin(), sequences[a].end(), sequences[b].begin(),
                                        sequences[b].end());
  });
  // In lexical order a sequence comes right before those that it begins.
  plan.stand_in.resize(sequences.size());
  std::vector<int64_t> ordered;
  for (size_t i = order.size(); i-- > 0;) {
    const Sequence sequence = sequences[order[i]];
    const bool begins =
        !ordered.empty() && CommonPrefix(sequence, sequences[ordered.back()]) == static_cast<int64_t>(sequence.size());
    if (!begins) ordered.push_back(order[i]);
    plan.stand_in[order[i]] = ordered.back();
  }
  std::reverse(ordered.begin(), ordered.end());

  std::vector<Group> groups = GroupByPrefix(sequences, ordered);
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
    return a.shared != b.shared ? a.shared > b.shared : a.longest > b.longest;
  });
  int64_t longest_shared = 0, row_tokens = 0;
  for (Group& group : groups) {
    bool fits = !plan.batches.empty();
    if (fits) {
      const PrefixBatch& batch = plan.batches.back();
      fits = (group.shared > 0) == (batch.shared > 0) && longest_shared - group.shared <= kMaxCut &&
             (static_cast<int64_t>(batch.groups.size()) + 1) * row_tokens <= batch_tokens &&
             (group.shared > 0 || GoesWith(batch.groups.size(), row_tokens, group.longest));
    }
    if (!fits) {
      plan.batches.emplace_back();
      longest_shared = group.shared;
      row_tokens = group.shared > 0 ? group.shared : group.longest;
    }
    plan.batches.back().shared = group.shared;
    plan.batches.back().groups.push_back(std::move(group.members));
  }
  std::stable_sort(plan.batches.begin(), plan.batches.end(), [&](const PrefixBatch& a, const PrefixBatch& b) {
    return sequences[a.groups[0][0]].size() > sequences[b.groups[0][0]].size();
  });
  return plan;
}

}  // namespace radlads
