// The state of a model as named tensors in memory, and back.
#ifndef RADLADS_SERVE_SESSIONS_STATE_LAYOUT_H_
#define RADLADS_SERVE_SESSIONS_STATE_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/state.h"
#include "model/transformer.h"
#include "serve/sessions/session_blob.h"

namespace radlads {

// What the state of one text looks like in a model: names, dtypes and shapes. Immutable.
class StateLayout {
 public:
  // Reads two tokens with the model. UNIMPLEMENTED where a dimension of its state changes with the tokens in another
  // way than by one for each.
  static absl::StatusOr<StateLayout> Of(Transformer& model);

  // Softmax layers keep memory for every token.
  bool grows() const { return grows_; }
  // Of the state after `tokens`.
  int64_t ByteSize(int64_t tokens) const;

  // The blob of `state` (one row, of this layout), all fields but its tensors taken from `head`.
  std::string Serialize(SessionBlob head, const ModelState& state) const;
  // The state in `blob`, copied. INVALID_ARGUMENT names the first tensor that is not as it must be after `blob.read`
  // tokens, and how.
  absl::StatusOr<ModelState> State(const SessionBlob& blob) const;

 private:
  struct Entry {
    std::string name;
    int64_t layer;  // -1: of the model
    std::string key;
    BlobType type;
    std::vector<int64_t> shape;  // after no token
    int growing;                 // the dimension that has one more for every token, or -1
  };
  std::vector<Entry> entries_;
  int64_t layers_ = 0;
  bool grows_ = false;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_STATE_LAYOUT_H_
