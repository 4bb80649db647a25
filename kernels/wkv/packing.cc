#include "kernels/wkv/packing.h"

#include "base/status.h"

namespace radlads::wkv {

thread_local hwy::AlignedFreeUniquePtr<float[]> Scratch::memory_;
thread_local int64_t Scratch::capacity_ = 0;

Scratch::Scratch(int64_t floats) : left_(floats) {
  if (floats <= capacity_) return;
  memory_ = hwy::AllocateAligned<float>(floats);
  RADLADS_CHECK(memory_ != nullptr) << "out of memory: " << floats * sizeof(float) << " bytes of scratch for wkv";
  capacity_ = floats;
}

float* Scratch::Allocate(int64_t floats) {
  RADLADS_CHECK(floats <= left_ && floats % 16 == 0);
  left_ -= floats;
  return memory_.get() + left_;
}

std::vector<std::pair<int64_t, int64_t>> Chunk::Runs() const {
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (int64_t i = 0; i < tokens_; ++i) {
    if (i == 0 || ResetBefore(i)) runs.emplace_back(i, i);
    runs.back().second = i + 1;
  }
  return runs;
}

void Chunk::PackKeys(const std::array<float*, kKeys>& keys) const {
  WkvLoadRows(KeyRows(problem_.r), problem_.scale, layout_.keys, keys[kR]);
  WkvLoadRowsExp(KeyRows(problem_.log_w), layout_.keys, keys[kW]);
  WkvLoadRows(KeyRows(problem_.k), 1, layout_.keys, keys[kK]);
  if (!problem_.delta()) return;
  WkvLoadRows(KeyRows(problem_.a), 1, layout_.keys, keys[kA]);
  WkvLoadRows(KeyRows(problem_.b), 1, layout_.keys, keys[kB]);
}

void Chunk::PackValues(const WkvArray& from, float* to) const {
  for (int64_t slice = item_.first_slice; slice < item_.last_slice; ++slice, to += layout_.slice_rows) {
    if (from.data == nullptr) {
      std::fill_n(to, tokens_ * kWkvSlice, 0.0f);
    } else {
      WkvLoadRows(SliceRows(from, slice), 1, kWkvSlice, to);
    }
  }
}

void Chunk::UnpackValues(const float* from, const WkvMutableArray& to) const {
  for (int64_t slice = item_.first_slice; slice < item_.last_slice; ++slice, from += layout_.slice_rows) {
    WkvStoreRows(from, kWkvSlice, 1, nullptr, SliceRows(to, slice));
  }
}

WkvPrefetch Chunk::InputRows(const WkvArray& d_output) const {
  WkvPrefetch prefetch;
  const auto add = [&](const WkvArray& array, int64_t begin, int64_t end) {
    if (array.data == nullptr) return;
    const WkvRows rows = array.Rows(item_.row, item_.head, first_, tokens_, begin, end - begin);
    const int64_t size = rows.bf16 ? 2 : 4;
    prefetch.array[prefetch.arrays++] = {static_cast<const char*>(rows.data), rows.stride * size, rows.width * size,
                                         rows.count};
  };
  for (const WkvArray* keys : {&problem_.r, &problem_.log_w, &problem_.k, &problem_.a, &problem_.b}) {
    add(*keys, 0, problem_.shape.key_dim);
  }
  const int64_t begin = item_.first_slice * kWkvSlice,
                end = std::min(item_.last_slice * kWkvSlice, problem_.shape.value_dim);
  add(problem_.v, begin, end);
  add(d_output, begin, end);
  return prefetch;
}

WkvRun Chunk::Run(const std::array<float*, kKeys>& keys, const float* v, int64_t begin, int64_t end,
                  const WkvPrefetch* prefetch) const {
  const int64_t at = begin * layout_.keys;
  const bool delta = problem_.delta();
  return {.tokens = end - begin,
          .keys = layout_.keys,
          .r = keys[kR] + at,
          .w = keys[kW] + at,
          .k = keys[kK] + at,
          .a = delta ? keys[kA] + at : nullptr,
          .b = delta ? keys[kB] + at : nullptr,
          .v = v + begin * kWkvSlice,
          .prefetch = prefetch,
          .first_row = begin};
}

void PackState(const WkvShape& shape, const Layout& layout, const Item& item, const float* from, float* to) {
  std::fill_n(to, item.slices() * layout.slice_state, 0.0f);
  if (from == nullptr) return;
  from += (item.row * shape.heads + item.head) * shape.key_dim * shape.value_dim;
  for (int64_t slice = item.first_slice; slice < item.last_slice; ++slice, to += layout.slice_state) {
    const int64_t begin = slice * kWkvSlice, width = std::min(kWkvSlice, shape.value_dim - begin);
    for (int64_t i = 0; i < shape.key_dim; ++i) {
      std::copy_n(from + i * shape.value_dim + begin, width, to + i * kWkvSlice);
    }
  }
}

void UnpackState(const WkvShape& shape, const Layout& layout, const Item& item, const float* from, float* to) {
  to += (item.row * shape.heads + item.head) * shape.key_dim * shape.value_dim;
  for (int64_t slice = item.first_slice; slice < item.last_slice; ++slice, from += layout.slice_state) {
    const int64_t begin = slice * kWkvSlice, width = std::min(kWkvSlice, shape.value_dim - begin);
    for (int64_t i = 0; i < shape.key_dim; ++i) {
      std::copy_n(from + i * kWkvSlice, width, to + i * shape.value_dim + begin);
    }
  }
}

}  // namespace radlads::wkv
