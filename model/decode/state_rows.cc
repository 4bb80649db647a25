#include "model/decode/state_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

bool Grows(const std::string& name) {
  return name == "key" || name == "value";
}

std::vector<int64_t> WithRows(const Tensor& tensor, int64_t rows) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  sizes[0] = rows;
  return sizes;
}

void RemoveRow(int64_t row, Tensor* rows) {
  const int64_t last = rows->size(0) - 1;
  if (row != last) rows->select(0, row).copy_(rows->select(0, last));
#ifndef NDEBUG
  if (rows->is_floating_point()) rows->select(0, last).fill_(std::numeric_limits<double>::quiet_NaN());
#endif
  rows->resize_(WithRows(*rows, last));
}

// Rows in the memory of `rows`.
int64_t RowsInMemory(const Tensor& rows) {
  int64_t bytes = rows.element_size();
  for (const int64_t size : rows.sizes().slice(1)) bytes *= size;
  return static_cast<int64_t>(rows.storage().nbytes()) / bytes;
}

Tensor WholeMemory(const Tensor& rows) {
  return at::empty({0}, rows.options()).set_(rows.storage(), 0, WithRows(rows, RowsInMemory(rows)), rows.strides());
}

}  // namespace

std::optional<int64_t> TokensKept(const ModelState& state) {
  for (const LayerState& layer : state.layers) {
    const auto key = layer.tensors.find("key");
    if (key != layer.tensors.end()) return key->second.size(2);
  }
  return std::nullopt;
}

// `row` fills one of `rows` or, of a tensor that grows, the beginning of its room.
void StateRows::AppendRow(const Tensor& row, Tensor* rows) {
  const int64_t count = rows->size(0);
  RADLADS_CHECK(row.scalar_type() == rows->scalar_type() && row.dim() == rows->dim()) << "a row of another model";
  // The storage of a tensor may be larger than what the tensor shows.
  if (RowsInMemory(*rows) <= count || !rows->is_contiguous()) {
    // Rows that grow are large: no more than are needed.
    Tensor larger = at::empty(WithRows(*rows, std::max<int64_t>(2 * count, room_ > 0 ? 1 : 4)), rows->options());
    larger.narrow(0, 0, count).copy_(*rows);
    *rows = larger;
    ++generation_;
  }
  rows->resize_(WithRows(*rows, count + 1));
  Tensor place = rows->narrow(0, count, 1);
  if (row.dim() == 4 && row.size(2) < place.size(2)) place = place.narrow(2, 0, row.size(2));
  RADLADS_CHECK(row.sizes() == place.sizes()) << "a row " << row.sizes() << " among rows " << rows->sizes();
  place.copy_(row);
}

void StateRows::Add(const ModelState& row) {
  RADLADS_CHECK(row.batch() == 1) << "a state of " << row.batch() << " rows";
  if (state_.layers.empty()) state_.layers.resize(row.layers.size());
  RADLADS_CHECK(row.layers.size() == state_.layers.size()) << "a state of another model";
  const auto append = [&](const Tensor& tensor, Tensor* rows, int64_t room = 0) {
    if (!rows->defined()) {
      std::vector<int64_t> sizes = WithRows(tensor, 0);
      if (room > 0) sizes[2] = room;
      *rows = at::empty(sizes, tensor.options());
    }
    AppendRow(tensor, rows);
  };
  for (size_t i = 0; i < row.layers.size(); ++i) {
    auto& rows = state_.layers[i].tensors;
    for (const auto& [name, tensor] : row.layers[i].tensors) append(tensor, &rows[name], Grows(name) ? room_ : 0);
  }
  if (const auto tokens = TokensKept(row)) append(at::full({1}, *tokens, row.position.options()), &state_.tokens);
  append(row.position, &state_.position);
  append(row.document, &state_.document);
}

void StateRows::Remove(int64_t row) {
  RADLADS_CHECK(row >= 0 && row < size()) << "row " << row << " of " << size();
  for (LayerState& layer : state_.layers) {
    for (auto& [name, tensor] : layer.tensors) RemoveRow(row, &tensor);
  }
  RemoveRow(row, &state_.position);
  RemoveRow(row, &state_.document);
  if (state_.tokens.defined()) RemoveRow(row, &state_.tokens);
}

ModelState StateRows::Copy(int64_t row) const {
  const int64_t tokens = state_.tokens.defined() ? state_.tokens[row].item<int64_t>() : 0;
  ModelState copy(state_.layers.size());
  for (size_t i = 0; i < state_.layers.size(); ++i) {
    for (const auto& [name, tensor] : state_.layers[i].tensors) {
      const Tensor one = tensor.narrow(0, row, 1);
      copy.layers[i].tensors[name] = (Grows(name) ? one.narrow(2, 0, tokens) : one).clone(at::MemoryFormat::Contiguous);
    }
  }
  copy.position = state_.position.narrow(0, row, 1).clone();
  copy.document = state_.document.narrow(0, row, 1).clone();
  return copy;
}

ModelState StateRows::Whole() const {
  ModelState whole(state_.layers.size());
  for (size_t i = 0; i < state_.layers.size(); ++i) {
    for (const auto& [name, tensor] : state_.layers[i].tensors) whole.layers[i].tensors[name] = WholeMemory(tensor);
  }
  whole.position = WholeMemory(state_.position);
  whole.document = WholeMemory(state_.document);
  if (state_.tokens.defined()) whole.tokens = WholeMemory(state_.tokens);
  return whole;
}

}  // namespace radlads
