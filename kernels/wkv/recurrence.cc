#include "kernels/wkv/recurrence.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/wkv/recurrence_simd.h"

namespace radlads {
namespace {

// Below this many state updates a call is done before other threads have woken up.
constexpr int64_t kSerialUpdates = 1 << 17;

enum Key { kR, kW, kK, kA, kB, kKeyInputs };

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

// Memory of this thread, kept from call to call; what is in it is not. Allocate() hands out pieces
// aligned to 64 bytes.
class Scratch {
 public:
  explicit Scratch(int64_t floats) {
    if (floats > capacity_) {
      memory_ = hwy::AllocateAligned<float>(floats);
      RADLADS_CHECK(memory_ != nullptr) << "out of memory: " << floats * sizeof(float) << " bytes of scratch for wkv";
      capacity_ = floats;
    }
    left_ = floats;
  }
  // `floats` is a multiple of 16 in every use, as rows and slices of 32 are.
  float* Allocate(int64_t floats) {
    RADLADS_CHECK(floats <= left_);
    left_ -= floats;
    return memory_.get() + left_;
  }

 private:
  static thread_local hwy::AlignedFreeUniquePtr<float[]> memory_;
  static thread_local int64_t capacity_;
  int64_t left_;
};
thread_local hwy::AlignedFreeUniquePtr<float[]> Scratch::memory_;
thread_local int64_t Scratch::capacity_ = 0;

// A chunk of one head: tokens [first, first + tokens).
class Chunk {
 public:
  Chunk(const WkvProblem& problem, const Layout& layout, const Item& item, int64_t chunk)
      : problem_(problem),
        layout_(layout),
        item_(item),
        first_(chunk * kWkvChunk),
        tokens_(std::min(kWkvChunk, problem.shape.time - first_)) {}

  int64_t first() const { return first_; }
  int64_t tokens() const { return tokens_; }
  bool ResetBefore(int64_t i) const { return problem_.reset != nullptr && problem_.reset[Token(i)]; }
  // The chunk cut before each reset: [begin, end) of each run.
  std::vector<std::pair<int64_t, int64_t>> Runs() const {
    std::vector<std::pair<int64_t, int64_t>> runs;
    for (int64_t i = 0; i < tokens_; ++i) {
      if (i == 0 || ResetBefore(i)) runs.emplace_back(i, i);
      runs.back().second = i + 1;
    }
    return runs;
  }
  // Index of the first element of token i in a [B,T,H,K] or [B,T,H,V] tensor, for this head.
  int64_t KeyIndex(int64_t i) const { return (Token(i) * problem_.shape.heads + item_.head) * problem_.shape.key_dim; }
  int64_t ValueIndex(int64_t i) const {
    return (Token(i) * problem_.shape.heads + item_.head) * problem_.shape.value_dim;
  }

  // [T,K] rows into [tokens][keys]. With nothing to pad, all tensors of a model, this is a copy of
  // each row.
  void PackKeys(const float* from, float* to) const {
    const int64_t K = problem_.shape.key_dim;
    for (int64_t i = 0; i < tokens_; ++i, to += layout_.keys) {
      std::copy_n(from + KeyIndex(i), K, to);
      std::fill(to + K, to + layout_.keys, 0.0f);
    }
  }
  // [T,V] rows into [slices][kWkvChunk][kWkvSlice]. Null stands for zeros.
  void PackValues(const float* from, float* to) const {
    for (int64_t slice = item_.first_slice; slice < item_.last_slice; ++slice, to += layout_.slice_rows) {
      const int64_t begin = slice * kWkvSlice, width = std::min(kWkvSlice, problem_.shape.value_dim - begin);
      for (int64_t i = 0; i < tokens_; ++i) {
        float* row = to + i * kWkvSlice;
        if (from == nullptr) {
          std::fill_n(row, kWkvSlice, 0.0f);
        } else {
          std::copy_n(from + ValueIndex(i) + begin, width, row);
          std::fill(row + width, row + kWkvSlice, 0.0f);
        }
      }
    }
  }
  void UnpackValues(const float* from, float* to) const {
    for (int64_t slice = item_.first_slice; slice < item_.last_slice; ++slice, from += layout_.slice_rows) {
      const int64_t begin = slice * kWkvSlice, width = std::min(kWkvSlice, problem_.shape.value_dim - begin);
      for (int64_t i = 0; i < tokens_; ++i) std::copy_n(from + i * kWkvSlice, width, to + ValueIndex(i) + begin);
    }
  }

  // The key rows of the inputs, ready for WkvRun.
  void PackInputs(const std::array<float*, kKeyInputs>& keys) const {
    PackKeys(problem_.r, keys[kR]);
    for (int64_t i = 0; i < tokens_ * layout_.keys; ++i) keys[kR][i] *= problem_.scale;
    PackKeys(problem_.log_w, keys[kW]);
    WkvExp(keys[kW], tokens_ * layout_.keys);
    PackKeys(problem_.k, keys[kK]);
    if (problem_.a == nullptr) return;
    PackKeys(problem_.a, keys[kA]);
    PackKeys(problem_.b, keys[kB]);
  }

  // Tokens [begin, end) of the chunk; `v` are the packed rows of one slice.
  WkvRun Run(const std::array<float*, kKeyInputs>& keys, const float* v, int64_t begin, int64_t end) const {
    const int64_t at = begin * layout_.keys;
    const bool delta = problem_.a != nullptr;
    return {end - begin,
            layout_.keys,
            keys[kR] + at,
            keys[kW] + at,
            keys[kK] + at,
            delta ? keys[kA] + at : nullptr,
            delta ? keys[kB] + at : nullptr,
            v + begin * kWkvSlice};
  }

 private:
  int64_t Token(int64_t i) const { return item_.row * problem_.shape.time + first_ + i; }

  const WkvProblem& problem_;
  const Layout& layout_;
  const Item& item_;
  const int64_t first_, tokens_;
};

// [K,V] of the item's head into [slices][keys][kWkvSlice]; null stands for zeros.
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

int64_t CheckpointIndex(const WkvShape& shape, const Layout& layout, const Item& item, int64_t chunk, int64_t slice) {
  return (((item.row * shape.heads + item.head) * layout.chunks + chunk) * layout.slices + slice) * layout.slice_state;
}

// How the work is cut: heads are handed to the threads whole, as long as every thread gets as many;
// those that remain are divided into their slices.
struct Plan {
  explicit Plan(const WkvShape& shape, const Layout& layout)
      : heads(shape.batch * shape.heads),
        serial(heads * shape.time * shape.key_dim * shape.value_dim < kSerialUpdates),
        divided(layout.slices > 1 && !serial ? heads % Threads() : 0) {}
  int64_t whole() const { return heads - divided; }

  int64_t heads;
  bool serial;
  int64_t divided;
};

Item WholeHead(const WkvShape& shape, const Layout& layout, int64_t head) {
  return {head / shape.heads, head % shape.heads, 0, layout.slices};
}

// `body` gets each item and, for a slice of a divided head, the number of that head among the
// divided ones (else -1).
void ForEachItem(const Plan& plan, const WkvShape& shape, const Layout& layout,
                 const std::function<void(const Item&, int64_t divided)>& body) {
  const auto run = [&](int64_t index) {
    if (index < plan.whole()) return body(WholeHead(shape, layout, index), -1);
    const int64_t number = (index - plan.whole()) / layout.slices, slice = (index - plan.whole()) % layout.slices;
    Item item = WholeHead(shape, layout, plan.whole() + number);
    item.first_slice = slice;
    item.last_slice = slice + 1;
    body(item, number);
  };
  const int64_t items = plan.whole() + plan.divided * layout.slices;
  if (!plan.serial) return ParallelForDynamic(items, run);
  for (int64_t index = 0; index < items; ++index) run(index);
}

std::array<float*, kKeyInputs> AllocateKeys(Scratch& scratch, const Layout& layout, bool delta) {
  std::array<float*, kKeyInputs> keys = {};
  for (int key = 0; key < (delta ? kKeyInputs : kA); ++key) keys[key] = scratch.Allocate(layout.rows);
  return keys;
}

void ForwardItem(const WkvProblem& problem, const Layout& layout, const Item& item, float* output, float* final_state,
                 float* checkpoints) {
  Scratch scratch(kKeyInputs * layout.rows + item.slices() * (2 * layout.slice_rows + layout.slice_state));
  float* state = scratch.Allocate(item.slices() * layout.slice_state);
  const auto keys = AllocateKeys(scratch, layout, problem.a != nullptr);
  float* v = scratch.Allocate(item.slices() * layout.slice_rows);
  float* out = scratch.Allocate(item.slices() * layout.slice_rows);

  PackState(problem.shape, layout, item, problem.initial_state, state);
  for (int64_t c = 0; c < layout.chunks; ++c) {
    const Chunk chunk(problem, layout, item, c);
    chunk.PackInputs(keys);
    chunk.PackValues(problem.v, v);
    const auto runs = chunk.Runs();
    for (int64_t s = 0; s < item.slices(); ++s) {
      float* slice = state + s * layout.slice_state;
      if (checkpoints != nullptr) {
        std::copy_n(slice, layout.slice_state,
                    checkpoints + CheckpointIndex(problem.shape, layout, item, c, item.first_slice + s));
      }
      for (const auto& [i, end] : runs) {
        if (chunk.ResetBefore(i)) std::fill_n(slice, layout.slice_state, 0.0f);
        WkvForwardRun(chunk.Run(keys, v + s * layout.slice_rows, i, end), slice, slice, 0, nullptr,
                      out + s * layout.slice_rows + i * kWkvSlice);
      }
    }
    chunk.UnpackValues(out, output);
  }
  UnpackState(problem.shape, layout, item, state, final_state);
}

// Turns the row sums of one token, [keys] each, into gradients of the inputs: r was scaled, and w
// is exp(log_w).
void WriteKeyGradients(const WkvProblem& problem, const WkvKeyGradients& sums, const float* w, int64_t index,
                       const WkvInputGradients& d_in) {
  for (int64_t i = 0; i < problem.shape.key_dim; ++i) {
    d_in.r[index + i] = problem.scale * sums.r[i];
    d_in.log_w[index + i] = w[i] * sums.w[i];
    d_in.k[index + i] = sums.k[i];
  }
  if (problem.a == nullptr) return;
  std::copy_n(sums.a, problem.shape.key_dim, d_in.a + index);
  std::copy_n(sums.b, problem.shape.key_dim, d_in.b + index);
}

WkvKeyGradients KeyGradientsAt(float* base, int64_t stride, int64_t offset, bool delta) {
  base += offset;
  return {base + kR * stride, base + kW * stride, base + kK * stride, delta ? base + kA * stride : nullptr,
          delta ? base + kB * stride : nullptr};
}

// `partial`, for a slice of a divided head, receives the row sums [kKeyInputs][chunks *
// kWkvChunk][keys] of the slice.
void BackwardItem(const WkvProblem& problem, const Layout& layout, const Item& item, const float* checkpoints,
                  const WkvResultGradients& d_out, const WkvInputGradients& d_in, float* partial) {
  const bool delta = problem.a != nullptr;
  const int64_t sums_size = kKeyInputs * layout.rows;
  Scratch scratch(2 * sums_size + kKeyInputs * layout.rows +
                  item.slices() * (3 * layout.slice_rows + layout.slice_state) + layout.slice_rows +
                  (kWkvChunk + 1) * layout.slice_state);
  float* d_state = scratch.Allocate(item.slices() * layout.slice_state);
  const auto keys = AllocateKeys(scratch, layout, delta);
  float* v = scratch.Allocate(item.slices() * layout.slice_rows);
  float* d_output = scratch.Allocate(item.slices() * layout.slice_rows);
  float* d_v = scratch.Allocate(item.slices() * layout.slice_rows);
  float* sa = scratch.Allocate(layout.slice_rows);
  float* states = scratch.Allocate(kWkvChunk * layout.slice_state);
  float* zero = scratch.Allocate(layout.slice_state);
  float* slice_sums = scratch.Allocate(sums_size);
  float* sums = scratch.Allocate(sums_size);
  std::fill_n(zero, layout.slice_state, 0.0f);
  std::fill_n(sums, sums_size, 0.0f);  // for V = 0, where no slice does it

  PackState(problem.shape, layout, item, d_out.final_state, d_state);
  for (int64_t c = layout.chunks - 1; c >= 0; --c) {
    const Chunk chunk(problem, layout, item, c);
    chunk.PackInputs(keys);
    chunk.PackValues(problem.v, v);
    chunk.PackValues(d_out.output, d_output);
    const auto runs = chunk.Runs();
    for (int64_t s = 0; s < item.slices(); ++s) {
      const float* checkpoint = checkpoints + CheckpointIndex(problem.shape, layout, item, c, item.first_slice + s);
      const auto before = [&](int64_t i) {
        return chunk.ResetBefore(i) ? zero : i == 0 ? checkpoint : states + (i - 1) * layout.slice_state;
      };
      const float* slice_v = v + s * layout.slice_rows;
      for (const auto& [i, end] : runs) {
        WkvForwardRun(chunk.Run(keys, slice_v, i, end), before(i), states + i * layout.slice_state, layout.slice_state,
                      delta ? sa + i * kWkvSlice : nullptr, nullptr);
      }
      // The first slice's sums are the start of the total: adding them to zeros would give the same
      // bits but for -0.
      float* const target = s == 0 ? sums : slice_sums;
      std::fill_n(target, sums_size, 0.0f);
      float* const slice_d_state = d_state + s * layout.slice_state;
      for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
        const auto [i, end] = *run;
        const int64_t row = s * layout.slice_rows + i * kWkvSlice;
        WkvBackwardRun(chunk.Run(keys, slice_v, i, end), before(i), states + i * layout.slice_state, sa + i * kWkvSlice,
                       d_output + row, slice_d_state, KeyGradientsAt(target, layout.rows, i * layout.keys, delta),
                       d_v + row);
        if (chunk.ResetBefore(i)) std::fill_n(slice_d_state, layout.slice_state, 0.0f);
      }
      if (s > 0) {
        for (int64_t i = 0; i < sums_size; ++i) sums[i] += slice_sums[i];
      }
    }
    chunk.UnpackValues(d_v, d_in.v);
    if (partial != nullptr) {
      const int64_t stride = layout.chunks * layout.rows;
      for (int key = 0; key < (delta ? kKeyInputs : kA); ++key) {
        std::copy_n(sums + key * layout.rows, chunk.tokens() * layout.keys, partial + key * stride + c * layout.rows);
      }
      continue;
    }
    for (int64_t i = 0; i < chunk.tokens(); ++i) {
      WriteKeyGradients(problem, KeyGradientsAt(sums, layout.rows, i * layout.keys, delta), keys[kW] + i * layout.keys,
                        chunk.KeyIndex(i), d_in);
    }
  }
  if (d_in.initial_state != nullptr) UnpackState(problem.shape, layout, item, d_state, d_in.initial_state);
}

// Sums the slices of a divided head in ascending order, as BackwardItem does for a whole one.
void SumSlices(const WkvProblem& problem, const Layout& layout, const Item& head, int64_t chunk_index, float* partials,
               const WkvInputGradients& d_in) {
  const bool delta = problem.a != nullptr;
  const int64_t stride = layout.chunks * layout.rows, slice_stride = kKeyInputs * stride;
  const Chunk chunk(problem, layout, head, chunk_index);
  for (int key = 0; key < (delta ? kKeyInputs : kA); ++key) {
    float* sums = partials + key * stride + chunk_index * layout.rows;
    for (int64_t s = 1; s < layout.slices; ++s) {
      for (int64_t i = 0; i < chunk.tokens() * layout.keys; ++i) sums[i] += sums[s * slice_stride + i];
    }
  }
  Scratch scratch(layout.rows);
  float* w = scratch.Allocate(layout.rows);
  chunk.PackKeys(problem.log_w, w);
  WkvExp(w, chunk.tokens() * layout.keys);
  for (int64_t i = 0; i < chunk.tokens(); ++i) {
    WriteKeyGradients(problem, KeyGradientsAt(partials, stride, chunk_index * layout.rows + i * layout.keys, delta),
                      w + i * layout.keys, chunk.KeyIndex(i), d_in);
  }
}

}  // namespace

size_t WkvCheckpointSize(const WkvShape& shape) {
  const Layout layout(shape);
  return shape.batch * shape.heads * layout.chunks * layout.slices * layout.slice_state;
}

void WkvForward(const WkvProblem& problem, float* output, float* final_state, float* checkpoints) {
  const Layout layout(problem.shape);
  ForEachItem(Plan(problem.shape, layout), problem.shape, layout,
              [&](const Item& item, int64_t) { ForwardItem(problem, layout, item, output, final_state, checkpoints); });
}

void WkvBackward(const WkvProblem& problem, const float* checkpoints, const WkvResultGradients& d_out,
                 const WkvInputGradients& d_in) {
  const Layout layout(problem.shape);
  const Plan plan(problem.shape, layout);
  const int64_t slice_partial = kKeyInputs * layout.chunks * layout.rows;
  const int64_t head_partial = layout.slices * slice_partial;
  hwy::AlignedFreeUniquePtr<float[]> partials;
  if (plan.divided > 0) partials = hwy::AllocateAligned<float>(plan.divided * head_partial);
  RADLADS_CHECK(plan.divided == 0 || partials != nullptr)
      << "out of memory: " << plan.divided * head_partial * sizeof(float) << " bytes for the sums of wkv slices";
  ForEachItem(plan, problem.shape, layout, [&](const Item& item, int64_t number) {
    float* partial = number < 0 ? nullptr : partials.get() + number * head_partial + item.first_slice * slice_partial;
    BackwardItem(problem, layout, item, checkpoints, d_out, d_in, partial);
  });
  ParallelFor(plan.divided * layout.chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t number = i / layout.chunks;
      SumSlices(problem, layout, WholeHead(problem.shape, layout, plan.whole() + number), i % layout.chunks,
                partials.get() + number * head_partial, d_in);
    }
  });
}

}  // namespace radlads
