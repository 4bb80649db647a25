#include "serve/engine/state_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

std::vector<int64_t> WithRows(const Tensor& tensor, int64_t rows) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  sizes[0] = rows;
  return sizes;
}

void AppendRow(const Tensor& row, Tensor* rows) {
  if (!rows->defined()) *rows = at::empty(WithRows(row, 0), row.options());
  const int64_t count = rows->size(0), bytes = row.numel() * row.element_size();
  RADLADS_CHECK(row.size(0) == 1 && row.scalar_type() == rows->scalar_type() &&
                row.sizes().slice(1) == rows->sizes().slice(1))
      << "a row " << row.sizes() << " among rows " << rows->sizes();
  // The storage of a tensor may be larger than what the tensor shows.
  if (static_cast<int64_t>(rows->storage().nbytes()) < (count + 1) * bytes || !rows->is_contiguous() ||
      rows->storage().use_count() != 1) {
    Tensor larger = at::empty(WithRows(*rows, std::max<int64_t>(2 * count, 4)), rows->options());
    larger.narrow(0, 0, count).copy_(*rows);
    *rows = larger;
  }
  rows->resize_(WithRows(*rows, count + 1));
  rows->select(0, count).copy_(row.select(0, 0));
}

void RemoveRow(int64_t row, Tensor* rows) {
  const int64_t last = rows->size(0) - 1;
  if (row != last) rows->select(0, row).copy_(rows->select(0, last));
#ifndef NDEBUG
  if (rows->is_floating_point()) rows->select(0, last).fill_(std::numeric_limits<double>::quiet_NaN());
#endif
  rows->resize_(WithRows(*rows, last));
}

}  // namespace

void StateRows::Add(const ModelState& row) {
  RADLADS_CHECK(row.batch() == 1) << "a state of " << row.batch() << " rows";
  if (size() == 0) state_.layers.resize(row.layers.size());
  RADLADS_CHECK(row.layers.size() == state_.layers.size()) << "a state of another model";
  for (size_t i = 0; i < row.layers.size(); ++i) {
    for (const auto& [name, tensor] : row.layers[i].tensors) AppendRow(tensor, &state_.layers[i].tensors[name]);
  }
  AppendRow(row.position, &state_.position);
  AppendRow(row.document, &state_.document);
}

void StateRows::Remove(int64_t row) {
  RADLADS_CHECK(row >= 0 && row < size()) << "row " << row << " of " << size();
  for (LayerState& layer : state_.layers) {
    for (auto& [name, tensor] : layer.tensors) RemoveRow(row, &tensor);
  }
  RemoveRow(row, &state_.position);
  RemoveRow(row, &state_.document);
}

ModelState StateRows::Copy(int64_t row) const { return state_.Select(at::scalar_tensor(row, at::kLong).view({1})); }

}  // namespace radlads
