#include "model/state.h"

#include <ATen/ATen.h>

#include <charconv>

#include "base/status.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

constexpr char kLayerPrefix[] = "layers.";

// Applies `change` to every tensor of a state.
template <typename Change>
ModelState Transform(const ModelState& state, const Change& change) {
  ModelState out(state.layers.size());
  for (size_t i = 0; i < state.layers.size(); ++i) {
    for (const auto& [name, tensor] : state.layers[i].tensors) out.layers[i].tensors[name] = change(tensor);
  }
  if (state.position.defined()) out.position = change(state.position);
  if (state.document.defined()) out.document = change(state.document);
  if (state.tokens.defined()) out.tokens = change(state.tokens);
  return out;
}

}  // namespace

int64_t ModelState::ByteSize() const {
  int64_t bytes = 0;
  Transform(*this, [&](const Tensor& tensor) {
    bytes += tensor.nbytes();
    return tensor;
  });
  return bytes;
}

ModelState ModelState::Select(const Tensor& rows) const {
  return Transform(*this, [&](const Tensor& tensor) { return tensor.index_select(0, rows); });
}

ModelState ModelState::Copy() const {
  return Transform(*this, [](const Tensor& tensor) { return tensor.clone(); });
}

ModelState ModelState::To(at::Device device) const {
  return Transform(*this, [&](const Tensor& tensor) { return tensor.to(device); });
}

absl::Status ModelState::Save(const std::string& path) const {
  RADLADS_CHECK(!tokens.defined()) << "rows of different lengths are not saved";
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const auto& [name, tensor] : layers[i].tensors)
      tensors.emplace_back(Concatenate(kLayerPrefix, i, ".", name), tensor);
  }
  if (position.defined()) tensors.emplace_back("position", position);
  if (document.defined()) tensors.emplace_back("document", document);
  return WriteSafetensors(path, tensors, {{"format", "pt"}, {"layers", std::to_string(layers.size())}});
}

absl::StatusOr<ModelState> ModelState::Load(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(auto source, OpenTensors(path));
  ModelState state;
  for (const TensorInfo& info : source->tensors()) {
    RADLADS_ASSIGN_OR_RETURN(Tensor tensor, source->Read(info.name));
    tensor = tensor.clone();
    if (info.name == "position") {
      state.position = tensor;
    } else if (info.name == "document") {
      state.document = tensor;
    } else {
      size_t layer = 0;
      const char* begin = info.name.data() + sizeof(kLayerPrefix) - 1;
      const char* end = info.name.data() + info.name.size();
      std::from_chars_result parsed{};
      if (info.name.rfind(kLayerPrefix, 0) == 0) parsed = std::from_chars(begin, end, layer);
      if (parsed.ptr == nullptr || parsed.ptr == begin || parsed.ptr == end || *parsed.ptr != '.' || layer > 10000) {
        return InvalidArgument(path, ": tensor '", info.name,
                               "' is not part of a model state; expected layers.<i>.<name>, "
                               "position or document");
      }
      if (state.layers.size() <= layer) state.layers.resize(layer + 1);
      state.layers[layer].tensors[std::string(parsed.ptr + 1, end)] = tensor;
    }
  }
  return state;
}

}  // namespace radlads
