// How products are cut into pieces for threads; what a piece computes is the kernels' (quantized_linear_cpu.h).
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/quantized_linear/quantized_linear_cpu.h"

namespace radlads {
namespace {

// Rows that are prepared at a time.
constexpr int64_t kPreparedRows = 1024;
constexpr int64_t kMaxParts = kPreparedRows / kMaxRows;
// Of 64 bytes of weights: less is not worth being fetched as a piece.
constexpr int64_t kShareUnits = 1024;
// Blocks of x.
constexpr int64_t kOwnBlocks = 128;

// x of one or more products, in parts of about the same size: few rows make little of the weights that they read.
struct Input {
  Input(const LinearKernel& kernel, const LinearProduct& product, int64_t first, int64_t rows, bool x_bf16)
      : kernel(&kernel), all(product.x), parts((rows + kMaxRows - 1) / kMaxRows) {
    const int64_t in = product.w->in(), x_bytes = in * (x_bf16 ? 2 : 4);
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t begin = rows * part / parts, end = rows * (part + 1) / parts;
      x[part] = {end - begin, in, static_cast<const uint8_t*>(all) + (first + begin) * x_bytes, x_bf16, nullptr};
      bytes += PartBytes(part);
    }
  }
  int64_t PartBytes(int64_t part) const { return (kernel->prepared_bytes(x[part]) + 63) / 64 * 64; }
  bool Serves(const LinearKernel& other, const LinearProduct& product) const {
    return all == product.x && x[0].in == product.w->in() && other.prepare == kernel->prepare;
  }

  const LinearKernel* kernel;
  const void* all;  // of the product
  int64_t parts;
  std::array<PreparedRows, kMaxParts> x;
  int64_t bytes = 0;  // of the kernel's own form of it
};

struct Product {
  const LinearProduct* product;
  LinearKernel kernel;
  int64_t groups, unit;  // 64 bytes of a group's weights
  size_t input = 0;
};

// At most kPreparedRows rows from `first` on.
void MultiplySome(std::span<Product> products, int64_t first, int64_t rows, bool x_bf16) {
  std::vector<Input> inputs;
  int64_t bytes = 0, blocks = 0, items = 0, units = 0;
  inputs.reserve(products.size());
  for (Product& p : products) {
    p.input = 0;
    while (p.input < inputs.size() && !inputs[p.input].Serves(p.kernel, *p.product)) ++p.input;
    if (p.input == inputs.size()) {
      const Input& input = inputs.emplace_back(p.kernel, *p.product, first, rows, x_bf16);
      bytes += input.bytes;
      if (input.bytes > 0) blocks += Blocks(p.product->w->in());
    }
    items += p.groups;
    units += p.groups * p.unit;
  }
  const int64_t parts = inputs[0].parts;
  // A thread of a team makes little for itself sooner than it meets the others.
  const bool alone = InTeam() && blocks * rows <= kOwnBlocks;
  static thread_local std::vector<uint8_t> own;
  std::optional<SharedMemory> shared;
  if (bytes > 0) {
    uint8_t* next;
    if (alone) {
      own.resize(std::max<size_t>(own.size(), bytes + 64));
      next = own.data() + 63 - (reinterpret_cast<uintptr_t>(own.data()) + 63) % 64;
    } else {
      next = static_cast<uint8_t*>(shared.emplace(bytes).data());
    }
    for (Input& input : inputs) {
      if (input.bytes == 0) continue;
      for (int64_t part = 0; part < parts; ++part) {
        input.x[part].prepared = next;
        next += input.PartBytes(part);
      }
    }
    const auto prepare = [&](int64_t begin, int64_t end) {
      int64_t before = 0;  // blocks of the inputs before
      for (const Input& input : inputs) {
        if (input.bytes == 0) continue;
        const int64_t of_input = Blocks(input.x[0].in);
        const int64_t from = std::clamp<int64_t>(begin - before, 0, of_input);
        const int64_t to = std::clamp<int64_t>(end - before, 0, of_input);
        for (int64_t part = 0; part < parts && from < to; ++part) {
          input.kernel->prepare(input.x[part], from, to, input.x[part].prepared);
        }
        before += of_input;
      }
    };
    alone ? prepare(0, blocks) : ParallelFor(blocks, 1 + 1024 / rows, prepare);
  }
  const auto multiply = [&](const Product& p, int64_t group, int64_t part) {
    alignas(64) float sums[kMaxRows * kGroup];
    const PreparedRows& x = inputs[p.input].x[part];
    p.kernel.multiply(*p.product->w, x, group, sums);
    FinishProduct(*p.product, first + rows * part / parts, x.rows, group * kGroup,
                  std::min(kGroup, p.product->w->out() - group * kGroup), sums);
  };
  if (parts == 1) {
    const auto multiply_units = [&](int64_t begin, int64_t end) {
      int64_t before = 0;
      for (const Product& p : products) {
        const auto group_at = [&](int64_t unit) {
          return std::clamp<int64_t>((unit - before + p.unit - 1) / p.unit, 0, p.groups);
        };
        for (int64_t group = group_at(begin), last = group_at(end); group < last; ++group) multiply(p, group, 0);
        before += p.groups * p.unit;
      }
    };
    if (InTeam()) {
      // The memory does not serve all threads alike: who is done takes more.
      const int64_t shares = std::clamp<int64_t>(units / kShareUnits, Threads(), 8 * Threads());
      ParallelForDynamic(shares, [&](int64_t i) { multiply_units(units * i / shares, units * (i + 1) / shares); });
    } else {
      ParallelFor(units, 1 + 1024 / rows, multiply_units);
    }
  } else {
    ParallelForDynamic(items * parts, [&](int64_t item) {
      for (const Product& p : products) {
        if (item < p.groups * parts) return multiply(p, item / parts, item % parts);
        item -= p.groups * parts;
      }
    });
  }
}

void Multiply(std::span<Product> products, int64_t rows, bool x_bf16) {
  for (int64_t row = 0; row < rows; row += kPreparedRows) {
    MultiplySome(products, row, std::min(kPreparedRows, rows - row), x_bf16);
  }
}

Product MakeProduct(const LinearKernel& kernel, const LinearProduct& product) {
  const int64_t groups = (product.w->out() + kGroup - 1) / kGroup;
  return {&product, kernel, groups, 1 + product.w->bytes() / (64 * std::max<int64_t>(groups, 1))};
}

}  // namespace

void MultiplyWith(const LinearKernel& kernel, const WeightMatrix& w, const LinearRows& rows) {
  if (w.out() == 0) return;
  const LinearProduct product = {.w = &w, .x = rows.x, .y = rows.y, .y_bf16 = rows.y_bf16, .bias = rows.bias};
  Product only = MakeProduct(kernel, product);
  Multiply({&only, 1}, rows.rows, rows.x_bf16);
}

void QuantizedLinears(std::span<const LinearProduct> products, int64_t rows, bool x_bf16) {
  std::vector<Product> all;
  all.reserve(products.size());
  for (const LinearProduct& product : products) {
    if (product.w->out() > 0) all.push_back(MakeProduct(ChooseKernel(*product.w, x_bf16), product));
  }
  if (!all.empty()) Multiply(all, rows, x_bf16);
}

}  // namespace radlads
