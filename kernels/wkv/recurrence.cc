#include "kernels/wkv/recurrence.h"

#include <hwy/aligned_allocator.h>
#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/wkv/packing.h"

namespace radlads {
namespace {

using namespace wkv;

// Below this many state updates a call is done before other threads have woken up. In a team they are awake.
constexpr int64_t kSerialUpdates = 1 << 17;

// States of at least so many bytes, of one token of many rows, are written past the caches: they would not stay there
// until the next token, and a write to memory that is not in a cache reads it first.
constexpr int64_t kStreamedBytes = 4 << 20;

int64_t CheckpointIndex(const WkvShape& shape, const Layout& layout, const Item& item, int64_t chunk, int64_t slice) {
  return (((item.row * shape.heads + item.head) * layout.chunks + chunk) * layout.slices + slice) * layout.slice_state;
}

// How the work is cut: heads are handed to the threads whole, as long as every thread gets as many;
// those that remain are divided into their slices.
struct Plan {
  explicit Plan(const WkvShape& shape, const Layout& layout)
      : heads(shape.batch * shape.heads),
        serial(heads * shape.time * shape.key_dim * shape.value_dim < kSerialUpdates && !InTeam()),
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

std::array<float*, kKeys> AllocateKeys(Scratch& scratch, const Layout& layout, bool delta) {
  std::array<float*, kKeys> keys = {};
  for (int key = 0; key < (delta ? kKeys : kA); ++key) keys[key] = scratch.Allocate(layout.rows);
  return keys;
}

void ForwardItem(const WkvProblem& problem, const Layout& layout, const Item& item, const WkvMutableArray& output,
                 float* final_state, float* checkpoints) {
  Scratch scratch(kKeys * layout.rows + item.slices() * (2 * layout.slice_rows + layout.slice_state));
  float* state = scratch.Allocate(item.slices() * layout.slice_state);
  const auto keys = AllocateKeys(scratch, layout, problem.delta());
  float* v = scratch.Allocate(item.slices() * layout.slice_rows);
  float* out = scratch.Allocate(item.slices() * layout.slice_rows);

  PackState(problem.shape, layout, item, problem.initial_state, state);
  for (int64_t c = 0; c < layout.chunks; ++c) {
    const Chunk chunk(problem, layout, item, c);
    chunk.PackKeys(keys);
    chunk.PackValues(problem.v, v);
    WkvPrefetch next;
    if (c + 1 < layout.chunks) next = Chunk(problem, layout, item, c + 1).InputRows({});
    const auto runs = chunk.Runs();
    for (int64_t s = 0; s < item.slices(); ++s) {
      float* slice = state + s * layout.slice_state;
      if (checkpoints != nullptr) {
        std::copy_n(slice, layout.slice_state,
                    checkpoints + CheckpointIndex(problem.shape, layout, item, c, item.first_slice + s));
      }
      for (const auto& [i, end] : runs) {
        if (chunk.ResetBefore(i)) std::fill_n(slice, layout.slice_state, 0.0f);
        WkvForwardRun(chunk.Run(keys, v + s * layout.slice_rows, i, end, s == 0 ? &next : nullptr), slice, kWkvSlice,
                      slice, kWkvSlice, 0, nullptr, out + s * layout.slice_rows + i * kWkvSlice);
      }
    }
    chunk.UnpackValues(out, output);
  }
  UnpackState(problem.shape, layout, item, state, final_state);
}

// One token, where the state stands in the caller's memory: [K,V] rows, V a multiple of kWkvSlice.
void ForwardToken(const WkvProblem& problem, const WkvMutableArray& output, float* final_state) {
  const WkvShape& shape = problem.shape;
  const int64_t K = shape.key_dim, V = shape.value_dim, heads = shape.batch * shape.heads;
  const bool delta = problem.delta();
  const bool stream = heads * K * V * int64_t{sizeof(float)} >= kStreamedBytes &&
                      reinterpret_cast<uintptr_t>(final_state) % 64 == 0 && final_state != problem.initial_state;
  const auto run = [&](int64_t first, int64_t last) {
    // Rows start at lines of the cache.
    const int64_t row = (K + 15) / 16 * 16;
    Scratch scratch(kKeys * row + 3 * V);
    float *r = scratch.Allocate(row), *w = scratch.Allocate(row), *k = scratch.Allocate(row),
          *a = scratch.Allocate(row), *b = scratch.Allocate(row), *v = scratch.Allocate(V), *out = scratch.Allocate(V),
          *zeros = scratch.Allocate(V);
    std::fill_n(zeros, V, 0.0f);
    for (int64_t head = first; head < last; ++head) {
      const int64_t at = head * K * V;
      const auto rows = [&](const auto& array, int64_t width) {
        return array.Rows(head / shape.heads, head % shape.heads, 0, 1, 0, width);
      };
      WkvLoadRows(rows(problem.r, K), problem.scale, K, r);
      WkvLoadRowsExp(rows(problem.log_w, K), K, w);
      WkvLoadRows(rows(problem.k, K), 1, K, k);
      if (delta) WkvLoadRows(rows(problem.a, K), 1, K, a);
      if (delta) WkvLoadRows(rows(problem.b, K), 1, K, b);
      WkvLoadRows(rows(problem.v, V), 1, V, v);
      const bool zero =
          problem.initial_state == nullptr || (problem.reset != nullptr && problem.reset[head / shape.heads]);
      WkvForwardRun({.tokens = 1,
                     .keys = K,
                     .r = r,
                     .w = w,
                     .k = k,
                     .a = delta ? a : nullptr,
                     .b = delta ? b : nullptr,
                     .v = v,
                     .columns = V,
                     .stream = stream},
                    zero ? zeros : problem.initial_state + at, zero ? 0 : V, final_state + at, V, 0, nullptr, out);
      WkvStoreRows(out, V, 1, nullptr, rows(output, V));
    }
    if (stream) hwy::FlushStream();
  };
  if (heads * K * V < kSerialUpdates && !InTeam()) return run(0, heads);
  ParallelFor(heads, 1, run);
}

// Turns the row sums of a chunk, [tokens][keys] each, into gradients of the inputs: r was scaled, and w is exp(log_w).
void WriteKeyGradients(const WkvProblem& problem, const Layout& layout, const Chunk& chunk, const WkvKeyGradients& sums,
                       const float* w, const WkvInputGradients& d_in) {
  WkvStoreRows(sums.r, layout.keys, problem.scale, nullptr, chunk.KeyRows(d_in.r));
  WkvStoreRows(sums.w, layout.keys, 1, w, chunk.KeyRows(d_in.log_w));
  WkvStoreRows(sums.k, layout.keys, 1, nullptr, chunk.KeyRows(d_in.k));
  if (!problem.delta()) return;
  WkvStoreRows(sums.a, layout.keys, 1, nullptr, chunk.KeyRows(d_in.a));
  WkvStoreRows(sums.b, layout.keys, 1, nullptr, chunk.KeyRows(d_in.b));
}

WkvKeyGradients KeyGradientsAt(float* base, int64_t stride, int64_t offset, bool delta) {
  base += offset;
  return {.r = base + kR * stride,
          .w = base + kW * stride,
          .k = base + kK * stride,
          .a = delta ? base + kA * stride : nullptr,
          .b = delta ? base + kB * stride : nullptr};
}

// `partial`, for a slice of a divided head, receives the row sums [kKeys][chunks * kWkvChunk][keys] of the slice.
void BackwardItem(const WkvProblem& problem, const Layout& layout, const Item& item, const float* checkpoints,
                  const WkvResultGradients& d_out, const WkvInputGradients& d_in, float* partial) {
  const bool delta = problem.delta();
  const int64_t sums_size = (delta ? kKeys : kA) * layout.rows;
  Scratch scratch(2 * sums_size + kKeys * layout.rows + item.slices() * (3 * layout.slice_rows + layout.slice_state) +
                  layout.slice_rows + (kWkvChunk + 1) * layout.slice_state);
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
    chunk.PackKeys(keys);
    chunk.PackValues(problem.v, v);
    chunk.PackValues(d_out.output, d_output);
    WkvPrefetch next;
    if (c > 0) next = Chunk(problem, layout, item, c - 1).InputRows(d_out.output);
    const auto runs = chunk.Runs();
    for (int64_t s = 0; s < item.slices(); ++s) {
      const float* checkpoint = checkpoints + CheckpointIndex(problem.shape, layout, item, c, item.first_slice + s);
      const auto before = [&](int64_t i) {
        return chunk.ResetBefore(i) ? zero : i == 0 ? checkpoint : states + (i - 1) * layout.slice_state;
      };
      const float* slice_v = v + s * layout.slice_rows;
      for (const auto& [i, end] : runs) {
        WkvForwardRun(chunk.Run(keys, slice_v, i, end, s == 0 ? &next : nullptr), before(i), kWkvSlice,
                      states + i * layout.slice_state, kWkvSlice, layout.slice_state,
                      delta ? sa + i * kWkvSlice : nullptr, nullptr);
      }
      // The first slice's sums are the start of the total: adding them to zeros would give the same bits but for -0.
      float* const target = s == 0 ? sums : slice_sums;
      std::fill_n(target, sums_size, 0.0f);
      float* const slice_d_state = d_state + s * layout.slice_state;
      for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
        const auto [i, end] = *run;
        const int64_t row = s * layout.slice_rows + i * kWkvSlice;
        WkvBackwardRun(chunk.Run(keys, slice_v, i, end, nullptr), before(i), states + i * layout.slice_state,
                       sa + i * kWkvSlice, d_output + row, slice_d_state,
                       KeyGradientsAt(target, layout.rows, i * layout.keys, delta), d_v + row);
        if (chunk.ResetBefore(i)) std::fill_n(slice_d_state, layout.slice_state, 0.0f);
      }
      if (s > 0) WkvAdd(slice_sums, sums_size, sums);
    }
    chunk.UnpackValues(d_v, d_in.v);
    if (partial != nullptr) {
      const int64_t stride = layout.chunks * layout.rows;
      for (int key = 0; key < (delta ? kKeys : kA); ++key) {
        std::copy_n(sums + key * layout.rows, chunk.tokens() * layout.keys, partial + key * stride + c * layout.rows);
      }
    } else {
      WriteKeyGradients(problem, layout, chunk, KeyGradientsAt(sums, layout.rows, 0, delta), keys[kW], d_in);
    }
  }
  if (d_in.initial_state != nullptr) UnpackState(problem.shape, layout, item, d_state, d_in.initial_state);
}

// Sums the slices of a divided head in ascending order, as BackwardItem does for a whole one.
void SumSlices(const WkvProblem& problem, const Layout& layout, const Item& head, int64_t chunk_index, float* partials,
               const WkvInputGradients& d_in) {
  const bool delta = problem.delta();
  const int64_t stride = layout.chunks * layout.rows, slice_stride = kKeys * stride;
  const Chunk chunk(problem, layout, head, chunk_index);
  for (int key = 0; key < (delta ? kKeys : kA); ++key) {
    float* sums = partials + key * stride + chunk_index * layout.rows;
    for (int64_t s = 1; s < layout.slices; ++s) WkvAdd(sums + s * slice_stride, chunk.tokens() * layout.keys, sums);
  }
  Scratch scratch(layout.rows);
  float* w = scratch.Allocate(layout.rows);
  WkvLoadRowsExp(chunk.KeyRows(problem.log_w), layout.keys, w);
  WriteKeyGradients(problem, layout, chunk, KeyGradientsAt(partials, stride, chunk_index * layout.rows, delta), w,
                    d_in);
}

}  // namespace

size_t WkvCheckpointSize(const WkvShape& shape) {
  const Layout layout(shape);
  return shape.batch * shape.heads * layout.chunks * layout.slices * layout.slice_state;
}

void WkvForward(const WkvProblem& problem, const WkvMutableArray& output, float* final_state, float* checkpoints) {
  if (problem.shape.time == 1 && problem.shape.value_dim % kWkvSlice == 0 && checkpoints == nullptr) {
    return ForwardToken(problem, output, final_state);
  }
  const Layout layout(problem.shape);
  ForEachItem(Plan(problem.shape, layout), problem.shape, layout,
              [&](const Item& item, int64_t) { ForwardItem(problem, layout, item, output, final_state, checkpoints); });
}

void WkvBackward(const WkvProblem& problem, const float* checkpoints, const WkvResultGradients& d_out,
                 const WkvInputGradients& d_in) {
  const Layout layout(problem.shape);
  const Plan plan(problem.shape, layout);
  const int64_t slice_partial = kKeys * layout.chunks * layout.rows;
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
