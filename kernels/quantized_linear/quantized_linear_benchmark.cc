// Products with matrices of a model of 1.5 billion parameters (8960 x 1536), beside LibTorch's own and the scalar loop
// of llama.cpp. Matrices are taken in turn, so many that no cache holds them.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/benchmarks/differentiable.h"
#include "kernels/quantized_linear/quantized_linear.h"
#include "kernels/quantized_linear/weight_memory.h"

namespace radlads {
namespace {

using at::Tensor;

constexpr int64_t kOut = 8960, kIn = 1536;
constexpr int64_t kBytes = 256 << 20;  // of weights in turn

std::vector<uint8_t> Blocks(WeightKind kind, const Tensor& w) {
  std::vector<uint8_t> blocks(w.size(0) * RowBytes(kind, w.size(1)));
  RADLADS_CHECK(Quantize(kind, w.const_data_ptr<float>(), w.size(0), w.size(1), blocks.data()).ok());
  return blocks;
}

// The same matrix again and again, each time elsewhere.
class Matrices {
 public:
  Matrices(WeightKind kind, const Tensor& w) {
    const Tensor plain = w.to(kind == WeightKind::kBf16 ? at::kBFloat16 : at::kFloat);
    const std::vector<uint8_t> blocks = IsQuantized(kind) ? Blocks(kind, w) : std::vector<uint8_t>();
    for (int64_t bytes = 0; bytes < kBytes; bytes += matrices_.back().bytes()) {
      // As models keep them for inference: packed, but for bf16.
      if (kind != WeightKind::kBf16) {
        matrices_.push_back(IsQuantized(kind) ? WeightMatrix::Pack(kind, kOut, kIn, blocks.data())
                                              : WeightMatrix::Pack(kOut, kIn, plain.const_data_ptr<float>()));
        if (IsQuantized(kind)) continue;
      }
      memory_.push_back(AllocateWeightMemory(plain.nbytes()));
      std::memcpy(memory_.back().get(), plain.const_data_ptr(), plain.nbytes());
      if (kind == WeightKind::kBf16) {
        matrices_.push_back(WeightMatrix::Borrow(kind, kOut, kIn, memory_.back().get()));
      }
    }
  }
  const WeightMatrix& Next() { return matrices_[++turn_ % matrices_.size()]; }
  // Of a dense matrix, row-major.
  void* NextRows() { return memory_[++turn_ % memory_.size()].get(); }

 private:
  std::vector<std::shared_ptr<uint8_t>> memory_;
  std::vector<WeightMatrix> matrices_;
  size_t turn_ = 0;
};

// ggml_vec_dot_q8_0_q8_0 without SIMD: x in blocks of Q8 as well, an integer sum for each block.
__attribute__((optimize("no-tree-vectorize"))) float ScalarDot(const uint8_t* w, const uint8_t* x, int64_t blocks) {
  const auto half = [](const uint8_t* bytes) {
    _Float16 value;
    std::memcpy(&value, bytes, sizeof(value));
    return static_cast<float>(value);
  };
  float sum = 0;
  for (int64_t b = 0; b < blocks; ++b, w += 34, x += 34) {
    int block = 0;
    for (int i = 0; i < 32; ++i) block += static_cast<int8_t>(w[2 + i]) * static_cast<int8_t>(x[2 + i]);
    sum += static_cast<float>(block) * half(w) * half(x);
  }
  return sum;
}

void ScalarLoop(const std::vector<uint8_t>& w, const Tensor& x, Tensor& y) {
  const std::vector<uint8_t> x_blocks = Blocks(WeightKind::kQ8, x);
  const int64_t row_bytes = RowBytes(WeightKind::kQ8, kIn);
  float* out = y.mutable_data_ptr<float>();
  ParallelFor(kOut, 16, [&](int64_t first, int64_t last) {
    for (int64_t o = first; o < last; ++o) {
      for (int64_t r = 0; r < x.size(0); ++r) {
        out[r * kOut + o] = ScalarDot(w.data() + o * row_bytes, x_blocks.data() + r * row_bytes, kIn / 32);
      }
    }
  });
}

void Compare(BenchmarkRun& run, WeightKind kind, at::ScalarType type) {
  const Tensor w = BenchmarkTensor({kOut, kIn}, at::kFloat);
  Matrices matrices(kind, w);
  const std::vector<uint8_t> blocks = kind == WeightKind::kQ8 ? Blocks(kind, w) : std::vector<uint8_t>();
  const bool bf16 = type == at::kBFloat16;
  for (const int64_t rows : {1, 8, 64}) {
    const Tensor x = BenchmarkTensor({rows, kIn}, type), y = at::empty({rows, kOut}, type);
    BenchmarkCase test = {
        .name = std::string(WeightKindName(kind)) + " weights, " + std::to_string(rows) +
                (rows == 1 ? " row of " : " rows of ") + TypeName(type),
        .flops = 2.0 * rows * kOut * kIn,
        .bytes = static_cast<double>(matrices.Next().bytes()),
        .working_set = kBytes,
        .ours = [&] {
          QuantizedLinear(matrices.Next(), {rows, x.const_data_ptr(), bf16, y.mutable_data_ptr(), bf16});
        }};
    if (!IsQuantized(kind)) {
      test.peers.emplace_back("PyTorch", [&] {
        at::linear(x, at::from_blob(matrices.NextRows(), {kOut, kIn}, type));
      });
    }
    Tensor theirs = at::empty({rows, kOut});
    if (kind == WeightKind::kQ8 && rows < 64) {
      test.peers.emplace_back("scalar loop", [&] { ScalarLoop(blocks, x.to(at::kFloat), theirs); });
    }
    run.Compare(test);
  }
}

const BenchmarkRegistration kRegistration("quantized_linear", [](BenchmarkRun& run) {
  const at::NoGradGuard no_gradients;
  Compare(run, WeightKind::kFp32, at::kFloat);
  Compare(run, WeightKind::kBf16, at::kBFloat16);
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    Compare(run, kind, at::kFloat);
    Compare(run, kind, at::kBFloat16);
  }
});

}  // namespace
}  // namespace radlads
