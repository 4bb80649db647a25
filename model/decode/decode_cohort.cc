#include "model/decode/decode_cohort.h"

#include <ATen/ATen.h>

#include <utility>

namespace radlads {
namespace {

// Puts `from` where `to` is.
void Overwrite(const ModelState& from, const ModelState& to) {
  const auto overwrite = [](const Tensor& from, const Tensor& to) {
    if (from.const_data_ptr() != to.const_data_ptr()) to.copy_(from);
  };
  for (size_t i = 0; i < to.layers.size(); ++i) {
    for (const auto& [name, tensor] : to.layers[i].tensors) overwrite(from.layers[i].tensors.at(name), tensor);
  }
  overwrite(from.position, to.position);
  overwrite(from.document, to.document);
  if (to.tokens.defined()) overwrite(from.tokens, to.tokens);
}

}  // namespace

DecodeCohort::DecodeCohort(Transformer& model, int64_t room, Recorder recorder)
    : model_(model), rows_(room), recorder_(std::move(recorder)) {}

Tensor DecodeCohort::Step(const std::vector<int64_t>& ids) {
  const Tensor given = at::tensor(ids, at::kLong).unsqueeze(1);
  if (!recorder_) return model_.Forward(given, rows_.state()).select(1, 0);
  if (generation_ != rows_.generation()) Record();
  const int64_t rows = given.size(0);
  ids_.narrow(0, 0, rows).copy_(given);
  // The rows behind those in use move, too: they must not leave their memory.
  if (whole_.tokens.defined()) whole_.tokens.slice(0, rows).zero_();
  replay_();
  return hidden_.narrow(0, 0, rows);
}

void DecodeCohort::Record() {
  replay_ = nullptr;  // its memory first
  whole_ = rows_.Whole();
  ids_ = at::zeros({whole_.batch(), 1}, whole_.position.options());
  if (whole_.tokens.defined()) whole_.tokens.slice(0, rows_.size()).zero_();
  const ModelState before = whole_.Copy();
  replay_ = recorder_([this] {
    ModelState next = whole_;
    hidden_ = model_.Forward(ids_, &next).select(1, 0);
    Overwrite(next, whole_);
  });
  Overwrite(before, whole_);
  generation_ = rows_.generation();
}

}  // namespace radlads
