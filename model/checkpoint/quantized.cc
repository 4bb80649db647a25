#include "model/checkpoint/quantized.h"

#include <ATen/ATen.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

// Of a stored tensor; nullopt when its name, dtype or shape says that it is none.
struct Stored {
  std::string name;
  WeightKind kind;
};
absl::StatusOr<std::optional<Stored>> ParseStored(const TensorInfo& info) {
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    const std::string suffix = Concatenate(".", WeightKindName(kind));
    if (info.dtype != "U8" || !info.name.ends_with(suffix)) continue;
    if (info.shape.size() != 3 || info.shape[2] != BlockBytes(kind)) {
      return InvalidArgument(info.file, ": ", info.name, " is ", ShapeString(info.shape), ", expected [rows,blocks,",
                             BlockBytes(kind), "]");
    }
    return Stored{info.name.substr(0, info.name.size() - suffix.size()), kind};
  }
  return std::nullopt;
}

class QuantizedView : public TensorSource {
 public:
  // nullptr when `source` holds no quantised tensor.
  static absl::StatusOr<std::unique_ptr<QuantizedView>> Open(std::unique_ptr<TensorSource>& source) {
    std::unique_ptr<QuantizedView> view(new QuantizedView);
    for (const TensorInfo& raw : source->tensors()) {
      RADLADS_ASSIGN_OR_RETURN(const std::optional<Stored> stored, ParseStored(raw));
      TensorInfo info = raw;
      if (stored) {
        info.name = stored->name;
        info.dtype = stored->kind == WeightKind::kQ8 ? "Q8" : "Q4";
        info.shape = {raw.shape[0], raw.shape[1] * kWeightBlock};
        info.blocks = stored->kind;
        view->stored_name_[info.name] = raw.name;
      }
      if (!view->index_.emplace(info.name, view->tensors_.size()).second) {
        return InvalidArgument(raw.file, ": ", info.name, " is there twice: quantised, and in another form");
      }
      view->tensors_.push_back(std::move(info));
    }
    if (view->stored_name_.empty()) return nullptr;
    view->source_ = std::move(source);
    return view;
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool Has(std::string_view name) const override { return index_.contains(name); }

  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    if (!Has(name)) return NotFound("there is no tensor ", name);
    if (!stored_name_.contains(name)) return source_->Read(name);
    return ReadRows(name, 0, tensors_[index_.at(name)].shape[0]);
  }
  absl::StatusOr<at::Tensor> ReadRows(const std::string& name, int64_t first, int64_t count) const override {
    if (!Has(name)) return NotFound("there is no tensor ", name);
    if (!stored_name_.contains(name)) return source_->ReadRows(name, first, count);
    RADLADS_ASSIGN_OR_RETURN(const at::Tensor blocks, ReadBlocks(name));
    const TensorInfo& info = tensors_[index_.at(name)];
    at::Tensor values = at::empty({count, info.shape[1]}, at::kFloat);
    Dequantize(*info.blocks, RowsOf(blocks, first, count).const_data_ptr<uint8_t>(), count, info.shape[1],
               values.mutable_data_ptr<float>());
    return values;
  }

  absl::StatusOr<at::Tensor> ReadBlocks(const std::string& name) const override {
    const auto found = stored_name_.find(name);
    if (found == stored_name_.end()) return TensorSource::ReadBlocks(name);
    return source_->Read(found->second);
  }

 private:
  std::unique_ptr<TensorSource> source_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> stored_name_;
};

}  // namespace

bool IsVocabularyWeight(std::string_view name) {
  return name == "model.embed_tokens.weight" || name == "lm_head.weight";
}

bool CanBeQuantized(const TensorInfo& info) {
  const std::string_view name = info.name;
  return (IsVocabularyWeight(name) || name.ends_with("_proj.weight") || name.ends_with("self_attn.gate.weight")) &&
         info.shape.size() == 2 && info.shape[1] > 0 && info.shape[1] % kWeightBlock == 0;
}

std::string StoredName(const std::string& name, WeightKind kind) {
  return Concatenate(name, ".", WeightKindName(kind));
}

std::vector<int64_t> StoredShape(const std::vector<int64_t>& shape, WeightKind kind) {
  RADLADS_CHECK(shape.size() == 2 && shape[1] % kWeightBlock == 0) << ShapeString(shape) << " has no whole blocks";
  return {shape[0], shape[1] / kWeightBlock, BlockBytes(kind)};
}

absl::StatusOr<std::unique_ptr<TensorSource>> ShowQuantized(std::unique_ptr<TensorSource> source) {
  RADLADS_ASSIGN_OR_RETURN(auto view, QuantizedView::Open(source));
  if (view == nullptr) return source;
  return view;
}

absl::StatusOr<at::Tensor> QuantizeTensor(const at::Tensor& w, WeightKind kind) {
  const at::Tensor values = w.to(at::kFloat).contiguous();
  at::Tensor blocks = at::empty(StoredShape(w.sizes().vec(), kind), at::kByte);
  RADLADS_RETURN_IF_ERROR(
      Quantize(kind, values.const_data_ptr<float>(), w.size(0), w.size(1), blocks.mutable_data_ptr<uint8_t>()));
  return blocks;
}

}  // namespace radlads
