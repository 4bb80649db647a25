#include "serve/sessions/state_layout.h"

#include <ATen/ATen.h>

#include <cstring>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

struct Part {
  std::string name;
  int64_t layer;
  std::string key;
  Tensor tensor;
};

// The tensors of a state in the order of the blob.
std::vector<Part> Parts(const ModelState& state) {
  std::vector<Part> parts;
  for (size_t i = 0; i < state.layers.size(); ++i) {
    for (const auto& [key, tensor] : state.layers[i].tensors) {
      parts.push_back({Concatenate("layers.", i, ".", key), static_cast<int64_t>(i), key, tensor});
    }
  }
  if (state.position.defined()) parts.push_back({"position", -1, "position", state.position});
  if (state.document.defined()) parts.push_back({"document", -1, "document", state.document});
  return parts;
}

absl::StatusOr<BlobType> TypeOf(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return BlobType::kF32;
    case at::kBFloat16:
      return BlobType::kBF16;
    case at::kHalf:
      return BlobType::kF16;
    case at::kDouble:
      return BlobType::kF64;
    case at::kLong:
      return BlobType::kI64;
    default:
      return Unimplemented("a state with a tensor of ", tensor.scalar_type(), " cannot be kept");
  }
}

at::ScalarType DtypeOf(BlobType type) {
  switch (type) {
    case BlobType::kF32:
      return at::kFloat;
    case BlobType::kBF16:
      return at::kBFloat16;
    case BlobType::kF16:
      return at::kHalf;
    case BlobType::kF64:
      return at::kDouble;
    case BlobType::kI64:
      return at::kLong;
  }
  return at::kFloat;
}

std::string Describe(BlobType type, const std::vector<int64_t>& shape) {
  return Concatenate(BlobTypeName(type), " ", at::IntArrayRef(shape));
}

}  // namespace

absl::StatusOr<StateLayout> StateLayout::Of(Transformer& model) {
  const at::NoGradGuard no_grad;
  ModelState state;
  model.Forward(at::zeros({1, 1}, at::kLong), &state);
  const std::vector<Part> one = Parts(state.Copy());
  model.Forward(at::zeros({1, 1}, at::kLong), &state);
  const std::vector<Part> two = Parts(state);
  StateLayout layout;
  layout.layers_ = static_cast<int64_t>(state.layers.size());
  RADLADS_CHECK(one.size() == two.size()) << one.size() << " and " << two.size() << " tensors";
  for (size_t i = 0; i < one.size(); ++i) {
    Entry entry{.name = one[i].name,
                .layer = one[i].layer,
                .key = one[i].key,
                .shape = one[i].tensor.sizes().vec(),
                .growing = -1};
    RADLADS_ASSIGN_OR_RETURN(entry.type, TypeOf(one[i].tensor));
    for (int64_t d = 0; d < one[i].tensor.dim(); ++d) {
      const int64_t more = two[i].tensor.size(d) - one[i].tensor.size(d);
      if (more == 0) continue;
      if (more != 1 || entry.shape[d] != 1 || entry.growing >= 0) {
        return Unimplemented("the state of this model cannot be kept: ", entry.name, " is ", one[i].tensor.sizes(),
                             " after one token and ", two[i].tensor.sizes(), " after two");
      }
      entry.growing = static_cast<int>(d);
      entry.shape[d] = 0;
      layout.grows_ = true;
    }
    layout.entries_.push_back(std::move(entry));
  }
  return layout;
}

int64_t StateLayout::ByteSize(int64_t tokens) const {
  int64_t bytes = 0;
  for (const Entry& entry : entries_) {
    int64_t size = BlobTypeSize(entry.type);
    for (size_t d = 0; d < entry.shape.size(); ++d)
      size *= static_cast<int>(d) == entry.growing ? tokens : entry.shape[d];
    bytes += size;
  }
  return bytes;
}

std::string StateLayout::Serialize(SessionBlob head, const ModelState& state) const {
  std::vector<Part> parts = Parts(state);
  RADLADS_CHECK(parts.size() == (state.empty() ? 0 : entries_.size())) << "the state of another model";
  head.tensors.clear();
  for (size_t i = 0; i < parts.size(); ++i) {
    Tensor& tensor = parts[i].tensor;
    tensor = tensor.cpu().contiguous();
    RADLADS_CHECK(parts[i].name == entries_[i].name && tensor.scalar_type() == DtypeOf(entries_[i].type))
        << "the state of another model: " << parts[i].name << ", not " << entries_[i].name;
    head.tensors.push_back({parts[i].name,
                            entries_[i].type,
                            tensor.sizes().vec(),
                            {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}});
  }
  return SerializeBlob(head);
}

absl::StatusOr<ModelState> StateLayout::State(const SessionBlob& blob) const {
  if (blob.read == 0) return ModelState();
  if (blob.tensors.size() != entries_.size()) {
    return InvalidArgument("the state has ", blob.tensors.size(), " tensors, expected ", entries_.size(),
                           "; it is one of another model");
  }
  ModelState state(layers_);
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const BlobTensor& found = blob.tensors[i];
    std::vector<int64_t> shape = entry.shape;
    if (entry.growing >= 0) shape[entry.growing] = blob.read;
    if (found.name != entry.name || found.type != entry.type || found.shape != shape) {
      return InvalidArgument("tensor ", i, " of the state is ", found.name, " ", Describe(found.type, found.shape),
                             ", expected ", entry.name, " ", Describe(entry.type, shape), " after ", blob.read,
                             " tokens; it is the state of another model");
    }
    const Tensor tensor = at::empty(shape, DtypeOf(entry.type));
    RADLADS_CHECK(tensor.nbytes() == found.bytes.size()) << found.name;
    std::memcpy(tensor.mutable_data_ptr(), found.bytes.data(), found.bytes.size());
    // Positions and numbers of documents: they address memory.
    if (entry.type == BlobType::kI64 && (tensor < 0).logical_or(tensor > blob.read).any().item<bool>()) {
      return InvalidArgument("tensor ", entry.name, " of the state has a number outside of [0, ", blob.read,
                             "], the tokens that were read");
    }
    if (entry.layer >= 0) {
      state.layers[entry.layer].tensors[entry.key] = tensor;
    } else {
      (entry.key == "position" ? state.position : state.document) = tensor;
    }
  }
  return state;
}

}  // namespace radlads
