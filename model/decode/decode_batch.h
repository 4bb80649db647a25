// Texts that go on at once, a token each in a step, whatever their lengths.
#ifndef RADLADS_MODEL_DECODE_DECODE_BATCH_H_
#define RADLADS_MODEL_DECODE_DECODE_BATCH_H_

#include <cstdint>
#include <functional>
#include <list>
#include <utility>
#include <vector>

#include "model/decode/decode_cohort.h"
#include "model/decode/recorder.h"
#include "model/state.h"
#include "model/transformer.h"

namespace radlads {

// A text has the same hidden states here and alone: bit for bit on the CPU, of a model for inference. Texts come and go
// between steps. Where states grow, each has room for a power of two of tokens, and moves when it has filled that;
// those with the same room are one call of the model. Not thread-safe.
class DecodeBatch {
 public:
  // `model` must outlive this. With a recorder, that of the model's device, steps are recorded: for texts that go on
  // for long.
  DecodeBatch(Transformer& model, Recorder recorder) : model_(model), recorder_(std::move(recorder)) {}

  int64_t size() const;
  int64_t ByteSize() const;

  // A text that has read a token or more, whose state [1,...] is copied. `text` is the caller's name for it, which no
  // other has.
  void Add(uint64_t text, const ModelState& state);
  void Remove(uint64_t text);
  // Of all texts, and their memory.
  void Clear() { parts_.clear(); }
  // [1,...], a copy.
  ModelState StateOf(uint64_t text) const;

  // Each text reads the token that `next` says. -> Transformer::Forward's hidden states [size(),C], a row for each of
  // texts(), which the next step may overwrite.
  Tensor Step(const std::function<int64_t(uint64_t text)>& next);
  // In the order of the rows that the last step gave, until texts come or go.
  std::vector<uint64_t> texts() const;

 private:
  struct Text {
    uint64_t name;
    int64_t kept;  // tokens, where states grow
  };
  struct Part {
    DecodeCohort cohort;
    std::vector<Text> texts;  // by row
  };
  void RemoveRow(Part* part, size_t row);
  void MoveFullTexts();
  void DropEmptyParts();

  Transformer& model_;
  Recorder recorder_;
  std::list<Part> parts_;  // one for each room that texts have
};

}  // namespace radlads

#endif  // RADLADS_MODEL_DECODE_DECODE_BATCH_H_
