// The rows of a batch that come and go while it steps.
#ifndef RADLADS_SERVE_ENGINE_STATE_ROWS_H_
#define RADLADS_SERVE_ENGINE_STATE_ROWS_H_

#include <cstdint>

#include "model/state.h"

namespace radlads {

// States of sequences that step together, in memory that is taken once for the most rows there have been: a row that
// comes costs a copy of itself, one that goes a copy of the last one. Rows of a softmax model keep keys and values that
// grow with their length, so only rows of one length fit together. Not thread-safe.
class StateRows {
 public:
  int64_t size() const { return state_.batch(); }
  int64_t ByteSize() const { return state_.ByteSize(); }
  // What Transformer::Forward reads and leaves, row by row. It keeps the number of rows.
  ModelState* state() { return &state_; }

  // Copies `row` [1,...], which has seen a token, to the end. Its layers must be those of the other rows.
  void Add(const ModelState& row);
  // The last row takes the place of `row`. In builds with assertions what it leaves is overwritten with NaN, so that
  // nobody ever reads it.
  void Remove(int64_t row);
  // A copy of one row, [1,...].
  ModelState Copy(int64_t row) const;

 private:
  ModelState state_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_ENGINE_STATE_ROWS_H_
