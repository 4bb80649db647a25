// How the recurrence on the CPU cuts its work, and packs it for the inner loops (recurrence_simd.h).
#ifndef RADLADS_KERNELS_WKV_PACKING_H_
#define RADLADS_KERNELS_WKV_PACKING_H_

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/wkv/recurrence.h"
#include "kernels/wkv/recurrence_simd.h"
#include "kernels/wkv/rows.h"

namespace radlads::wkv {

// Key rows of the inputs, in the order in which they are packed; kA and kB with the delta term only.
enum Key { kR, kW, kK, kA, kB, kKeys };

// Sizes that follow from the shape.
struct Layout {
  explicit Layout(const WkvShape& shape)
      : keys((shape.key_dim + 3) / 4 * 4),
        slices((shape.value_dim + kWkvSlice - 1) / kWkvSlice),
        chunks((shape.time + kWkvChunk - 1) / kWkvChunk),
        slice_state(keys * kWkvSlice),
        rows(kWkvChunk * keys),
        slice_rows(kWkvChunk * kWkvSlice) {}
  int64_t keys;         // K rounded up
  int64_t slices;       // of V
  int64_t chunks;       // of T
  int64_t slice_state;  // floats of a slice of the state
  int64_t rows;         // floats of the key rows of a chunk
  int64_t slice_rows;   // floats of the value rows of a chunk in one slice
};

// Slices [first_slice, last_slice) of head `head` of row `row`.
struct Item {
  int64_t row, head, first_slice, last_slice;
  int64_t slices() const { return last_slice - first_slice; }
};

// Memory of this thread, kept from call to call; what is in it is not. Allocate() hands out pieces aligned to 64 bytes.
class Scratch {
 public:
  explicit Scratch(int64_t floats);
  // `floats` is a multiple of 16.
  float* Allocate(int64_t floats);

 private:
  static thread_local hwy::AlignedFreeUniquePtr<float[]> memory_;
  static thread_local int64_t capacity_;
  int64_t left_;
};

// A chunk of one item: tokens [chunk * kWkvChunk, ...) of its head.
class Chunk {
 public:
  Chunk(const WkvProblem& problem, const Layout& layout, const Item& item, int64_t chunk)
      : problem_(problem),
        layout_(layout),
        item_(item),
        first_(chunk * kWkvChunk),
        tokens_(std::min(kWkvChunk, problem.shape.time - first_)) {}

  int64_t tokens() const { return tokens_; }
  bool ResetBefore(int64_t i) const {
    return problem_.reset != nullptr && problem_.reset[item_.row * problem_.shape.time + first_ + i];
  }
  // The chunk cut before each reset: [begin, end) of each run.
  std::vector<std::pair<int64_t, int64_t>> Runs() const;

  // The chunk's rows of an array of keys.
  template <class Array>
  auto KeyRows(const Array& array) const {
    return array.Rows(item_.row, item_.head, first_, tokens_, 0, problem_.shape.key_dim);
  }

  // The key rows of the inputs, ready for a run: [tokens][keys] each.
  void PackKeys(const std::array<float*, kKeys>& keys) const;
  // [T,V] rows into [slices][kWkvChunk][kWkvSlice]. An absent array stands for zeros.
  void PackValues(const WkvArray& from, float* to) const;
  void UnpackValues(const float* from, const WkvMutableArray& to) const;
  // The rows that PackKeys and PackValues of v and `d_output` read.
  WkvPrefetch InputRows(const WkvArray& d_output) const;

  // Tokens [begin, end) of the chunk; `v` are the packed rows of one slice.
  WkvRun Run(const std::array<float*, kKeys>& keys, const float* v, int64_t begin, int64_t end,
             const WkvPrefetch* prefetch) const;

 private:
  template <class Array>
  auto SliceRows(const Array& array, int64_t slice) const {
    const int64_t begin = slice * kWkvSlice, width = std::min(kWkvSlice, problem_.shape.value_dim - begin);
    return array.Rows(item_.row, item_.head, first_, tokens_, begin, width);
  }

  const WkvProblem& problem_;
  const Layout& layout_;
  const Item& item_;
  const int64_t first_, tokens_;
};

// [K,V] of the item's head into [slices][keys][kWkvSlice]; null stands for zeros.
void PackState(const WkvShape& shape, const Layout& layout, const Item& item, const float* from, float* to);
void UnpackState(const WkvShape& shape, const Layout& layout, const Item& item, const float* from, float* to);

}  // namespace radlads::wkv

#endif  // RADLADS_KERNELS_WKV_PACKING_H_
