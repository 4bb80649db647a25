// What a model remembers between two pieces of a sequence: a value, passed in and out, owned by the caller.
//
// A sequence cut anywhere and continued with the state of the first part gives what the whole sequence gives.
// Recurrent layers keep a state of constant size; the softmax layers keep their keys and values, which grow.
// Every tensor has the batch as its first dimension, so rows can be picked. Not thread-safe.
#ifndef RADLADS_MODEL_STATE_H_
#define RADLADS_MODEL_STATE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

using at::Tensor;

// Tensors of one layer by name. Names in use: "wkv" [B,H,K,V] fp32 (recurrences), "shift" [B,C] (the last normed
// input of a mixer with token shift), "key" and "value" [B,KV,S,D] (softmax attention; S tokens so far), and "document"
// [B,S] int64 (the number of the document each of the S tokens belongs to).
struct LayerState {
  std::map<std::string, Tensor> tensors;

  bool empty() const { return tensors.empty(); }
};

class ModelState {
 public:
  ModelState() = default;
  explicit ModelState(int64_t layers) : layers(layers) {}

  // One entry for each layer. An empty entry stands for the state before the first token.
  std::vector<LayerState> layers;
  // [B] int64: the rotary position of the next token of each row; undefined before the first token.
  Tensor position;
  // [B] int64: the number of documents begun in each row; undefined before the first token.
  Tensor document;
  // [B] int64: rows of different lengths, each of which has so many tokens of the S of softmax layers; the rest is room
  // for those that come. A pass writes keys and values where they are, so nobody else may hold them. Undefined: all
  // rows have S tokens. Who batches makes and parts such states (model/decode/state_rows.h): they are not saved, and
  // not cut at documents.
  Tensor tokens;

  bool empty() const { return !position.defined(); }
  // Rows in the batch; 0 for an empty state.
  int64_t batch() const { return position.defined() ? position.size(0) : 0; }
  int64_t ByteSize() const;

  // The rows named by `rows` [N] int64, in that order, copied. Softmax keys of rows must be of one length.
  ModelState Select(const Tensor& rows) const;
  // A deep copy. Named, because it costs ByteSize().
  ModelState Copy() const;
  // On `device`: the same tensors if they are there, else copies.
  ModelState To(at::Device device) const;

  // As a safetensors file: "layers.<i>.<name>", "position", "document". Load is strict about names.
  absl::Status Save(const std::string& path) const;
  static absl::StatusOr<ModelState> Load(const std::string& path);
};

}  // namespace radlads

#endif  // RADLADS_MODEL_STATE_H_
