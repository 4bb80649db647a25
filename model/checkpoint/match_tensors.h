// Whether a checkpoint holds the tensors of a model: all of them, no others, in their shapes.
#ifndef RADLADS_MODEL_CHECKPOINT_MATCH_TENSORS_H_
#define RADLADS_MODEL_CHECKPOINT_MATCH_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
};

// The tensors of `source` that `model` names, in file order. Buffers that some exporters write beside the parameters
// (rotary_emb.inv_freq), and with `tied_head` a stored lm_head.weight, are passed over. INVALID_ARGUMENT, begun with
// `where`: a line for each tensor that is missing (with the nearest name in the file), unknown or of another shape.
absl::StatusOr<std::vector<TensorInfo>> MatchTensors(const std::string& where, const std::vector<NamedShape>& model,
                                                     bool tied_head, const TensorSource& source);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_MATCH_TENSORS_H_
