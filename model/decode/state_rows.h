// The rows of a batch that come and go while it steps.
#ifndef RADLADS_MODEL_DECODE_STATE_ROWS_H_
#define RADLADS_MODEL_DECODE_STATE_ROWS_H_

#include <cstdint>
#include <optional>

#include "model/state.h"

namespace radlads {

// How many tokens it keeps keys and values of; nothing where no layer keeps any, and the state does not grow.
std::optional<int64_t> TokensKept(const ModelState& state);

// States of sequences that step together, in memory that is taken once for the most rows there have been: a row that
// comes costs a copy of itself, one that goes a copy of the last one. Keys and values have room for the same number of
// tokens in every row, however many each has (ModelState::tokens). Memory is that of the device of the rows added. Not
// thread-safe.
class StateRows {
 public:
  // `room`: tokens, for keys and values; not looked at for rows that do not grow.
  explicit StateRows(int64_t room = 0) : room_(room) {}

  int64_t size() const { return state_.batch(); }
  int64_t room() const { return room_; }
  int64_t ByteSize() const { return state_.ByteSize(); }
  // What Transformer::Forward reads and leaves, row by row. It keeps the number of rows. Nobody but Whole() may hold
  // its tensors.
  ModelState* state() { return &state_; }

  // Copies `row` [1,...], which has seen a token and no more than room() of them, to the end. Its layers must be those
  // of the other rows.
  void Add(const ModelState& row);
  // The last row takes the place of `row`. In builds with assertions what it leaves is overwritten with NaN, so that
  // nobody ever reads it.
  void Remove(int64_t row);
  // A copy of one row, [1,...], as it was added but for what it has seen since.
  ModelState Copy(int64_t row) const;

  // All rows that there is memory for, size() and those behind them, where steps of the rows find and leave them. Those
  // behind may hold anything.
  ModelState Whole() const;
  // Changes when that memory is another.
  int64_t generation() const { return generation_; }

 private:
  void AppendRow(const Tensor& row, Tensor* rows);

  int64_t room_, generation_ = 0;
  ModelState state_;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_DECODE_STATE_ROWS_H_
