// Texts that step together, in one memory. Private to decode_batch.h, and to tests on GPUs.
#ifndef RADLADS_MODEL_DECODE_DECODE_COHORT_H_
#define RADLADS_MODEL_DECODE_DECODE_COHORT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "model/decode/recorder.h"
#include "model/decode/state_rows.h"
#include "model/transformer.h"

namespace radlads {

// The states of texts and the model's step over all of them. With a recorder the step is recorded for as many rows as
// there is memory for, and again when that is another. Not thread-safe.
class DecodeCohort {
 public:
  // `model` is one for inference and must outlive this. `room` as of StateRows. `recorder` of the model's device, or
  // empty.
  DecodeCohort(Transformer& model, int64_t room, Recorder recorder);

  StateRows& rows() { return rows_; }
  const StateRows& rows() const { return rows_; }
  // Reads one token for each row, each of which has room for it. -> Transformer::Forward's hidden states [rows,C],
  // which the next step may overwrite.
  Tensor Step(const std::vector<int64_t>& ids);

 private:
  void Record();

  Transformer& model_;
  StateRows rows_;
  Recorder recorder_;
  // The recording, of memory of one generation.
  int64_t generation_ = -1;
  ModelState whole_;
  Tensor ids_, hidden_;  // of all rows of whole_
  std::function<void()> replay_;
};

}  // namespace radlads

#endif  // RADLADS_MODEL_DECODE_DECODE_COHORT_H_
