#include "kernels/quantized_linear/quantized_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/parallel_for.h"
#include "base/status.h"
#include "kernels/quantized_linear/quantized_linear_cpu.h"
#include "kernels/quantized_linear/quantized_linear_reference.h"
#include "kernels/quantized_linear/quantized_linear_x86.h"
#include "kernels/quantized_linear/weight_memory.h"
#include "kernels/testing/compare.h"
#include "kernels/testing/operation.h"

namespace radlads {
namespace {

// What a matrix is stored as.
struct Form {
  WeightKind kind;
  bool packed;
};
constexpr Form kForms[] = {{WeightKind::kFp32, false},
                           {WeightKind::kFp32, true},
                           {WeightKind::kBf16, false},
                           {WeightKind::kQ8, true},
                           {WeightKind::kQ4, true}};
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Random(int64_t count, uint64_t seed, float mean = 0) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(mean, 1);
  std::vector<float> x(count);
  for (float& value : x) value = normal(random);
  return x;
}

uint16_t Bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
float FromBf16(uint16_t x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
}

std::vector<uint16_t> AllBf16(const std::vector<float>& x) {
  std::vector<uint16_t> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = Bf16(x[i]);
  return y;
}
std::vector<float> AllFloat(const std::vector<uint16_t>& x) {
  std::vector<float> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = FromBf16(x[i]);
  return y;
}

// A matrix and what it stands for. Row-major ones live in `memory`.
struct Weights {
  Weights(Form form, int64_t out, int64_t in, std::vector<float> w)
      : memory(Stored(form.kind, out, in, w)),
        matrix(IsQuantized(form.kind) ? WeightMatrix::Pack(form.kind, out, in, memory.data())
               : form.packed          ? WeightMatrix::Pack(out, in, w.data())
                                      : WeightMatrix::Borrow(form.kind, out, in, memory.data())),
        values(out * in) {
    matrix.Read(0, out, values.data(), false);
  }
  static std::vector<uint8_t> Stored(WeightKind kind, int64_t out, int64_t in, const std::vector<float>& w) {
    std::vector<uint8_t> stored(out * RowBytes(kind, in));
    if (kind == WeightKind::kFp32) {
      std::memcpy(stored.data(), w.data(), stored.size());
    } else if (kind == WeightKind::kBf16) {
      std::memcpy(stored.data(), AllBf16(w).data(), stored.size());
    } else {
      const absl::Status status = Quantize(kind, w.data(), out, in, stored.data());
      EXPECT_TRUE(status.ok()) << status;
    }
    return stored;
  }
  std::vector<uint8_t> memory;
  WeightMatrix matrix;
  std::vector<float> values;
};

// Rows of x in one dtype, and the products of some of them.
struct Rows {
  Rows(std::vector<float> values, int64_t width, bool as_bf16) : in(width), bf16(as_bf16), x16(AllBf16(values)) {
    x = bf16 ? AllFloat(x16) : std::move(values);
  }
  int64_t count() const { return x.size() / in; }
  const void* data(int64_t row) const {
    return bf16 ? static_cast<const void*>(x16.data() + row * in) : static_cast<const void*>(x.data() + row * in);
  }
  std::vector<float> Multiply(const LinearKernel& kernel, const WeightMatrix& w, int64_t first, int64_t rows,
                              const float* bias = nullptr) const {
    std::vector<float> y(rows * w.out(), 12345.0f);
    MultiplyWith(kernel, w, {rows, data(first), bf16, y.data(), false, bias});
    return y;
  }
  int64_t in;
  bool bf16;
  std::vector<uint16_t> x16;
  std::vector<float> x;
};

// Each kernel that this processor has for these dtypes: the portable one on each instruction set, then the one that
// QuantizedLinear takes.
void ForEachKernel(const WeightMatrix& w, bool x_bf16, const std::function<void(const LinearKernel&)>& body) {
  const WeightKind kind = w.kind();
  const std::string what = Concatenate(w.packed() ? "packed " : "", WeightKindName(kind), " weights, ", x_bf16 ? "bf16" : "fp32", " x, ");
  ForEachTarget([&](const std::string& target) {
    SCOPED_TRACE(what + target);
    body(PortableKernel(w));
  });
  if (IsQuantized(kind) && ByteProductsAvailable()) {
    SCOPED_TRACE(what + "byte products");
    body(ByteProductKernel(kind, x_bf16));
  }
  if (kind == WeightKind::kBf16 && x_bf16 && Bf16ProductsAvailable()) {
    SCOPED_TRACE(what + "bf16 products");
    body(Bf16ProductKernel());
  }
}

std::span<const float> RowsOf(const std::vector<float>& y, int64_t out, int64_t first, int64_t count) {
  return std::span(y).subspan(first * out, count * out);
}

TEST(QuantizedLinear, MatchesDoubleOnTheWeightsAsTheyAre) {
  for (const int64_t in : {1, 31, 32, 33, 576, 1536}) {
    for (const int64_t out : {1, 3, 576}) {
      const std::vector<float> w = Random(out * in, in + out), bias = Random(out, 7);
      for (const Form form : kForms) {
        const Weights weights(form, out, in, w);
        for (const bool bf16 : {false, true}) {
          const Rows rows(Random(65 * in, in), in, bf16);
          const std::vector<double> want = QuantizedLinearReference(weights.values, rows.x, bias, out, in);
          ForEachKernel(weights.matrix, bf16, [&](const LinearKernel& kernel) {
            EXPECT_TRUE(IsClose(rows.Multiply(kernel, weights.matrix, 0, 65, bias.data()), want, 1e-5))
                << "in " << in << ", out " << out;
          });
        }
      }
    }
  }
}

// fp32 x keeps its precision in fixed point: far below the 1e-5 that is promised.
TEST(QuantizedLinear, Fp32RowsAreNotRoundedToFewerBits) {
  const int64_t in = 1536, out = 64;
  const std::vector<float> w = Random(out * in, 1);
  const Rows rows(Random(16 * in, 2), in, false);
  for (const Form form : kForms) {
    const Weights weights(form, out, in, w);
    const std::vector<double> want = QuantizedLinearReference(weights.values, rows.x, {}, out, in);
    ForEachKernel(weights.matrix, false, [&](const LinearKernel& kernel) {
      EXPECT_TRUE(IsClose(rows.Multiply(kernel, weights.matrix, 0, 16), want, 1e-6));
    });
  }
}

// What the header promises of rows that are far from normal: an error of each input relative to the largest of its
// block, and of the sum relative to what it adds up.
TEST(QuantizedLinear, LargeMeansAndOutliersKeepThePromisedAccuracy) {
  const int64_t in = 600, out = 48, count = 5;
  const std::vector<float> w = Random(out * in, 1);
  std::vector<float> x = Random(count * in, 2, 30.0f);
  x[5] = 3e4f;
  x[in + 77] = -1e9f;
  x[2 * in + 3] = 1e-30f;
  for (int64_t i = 0; i < in; ++i) x[3 * in + i] *= 1e-20f;
  for (int64_t i = 0; i < in; ++i) x[4 * in + i] = i % 2 == 0 ? 1e35f : -1e-35f;
  for (const bool bf16 : {false, true}) {
    const Rows rows(x, in, bf16);
    for (const Form form : kForms) {
      const Weights weights(form, out, in, w);
      const std::vector<double> want = QuantizedLinearReference(weights.values, rows.x, {}, out, in);
      ForEachKernel(weights.matrix, bf16, [&](const LinearKernel& kernel) {
        const std::vector<float> y = rows.Multiply(kernel, weights.matrix, 0, count);
        for (int64_t r = 0; r < count; ++r) {
          for (int64_t o = 0; o < out; ++o) {
            double bound = 1e-30;
            for (int64_t i = 0; i < in; ++i) {
              double largest = 0;
              for (int64_t j = i / 32 * 32; j < std::min(in, i / 32 * 32 + 32); ++j) {
                largest = std::max(largest, std::abs(static_cast<double>(rows.x[r * in + j])));
              }
              const double weight = std::abs(weights.values[o * in + i]);
              bound += weight * ((bf16 ? 0x1p-15 : 0x1p-23) * 1.01 * largest + 0x1p-21 * std::abs(rows.x[r * in + i]));
            }
            ASSERT_NEAR(y[r * out + o], want[r * out + o], bound) << "row " << r << ", output " << o;
          }
        }
      });
    }
  }
}

TEST(QuantizedLinear, SoloEqualsBatched) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{33, 3}, {576, 70}, {1, 33}}) {
    const std::vector<float> w = Random(out * in, 3);
    for (const Form form : kForms) {
      const Weights weights(form, out, in, w);
      for (const bool bf16 : {false, true}) {
        const Rows rows(Random(65 * in, 4), in, bf16);
        ForEachKernel(weights.matrix, bf16, [&](const LinearKernel& kernel) {
          const std::vector<float> all = rows.Multiply(kernel, weights.matrix, 0, 65);
          for (int64_t count = 1; count <= 64; ++count) {
            const int64_t first = count % 2 == 0 ? 0 : 65 - count;
            ASSERT_TRUE(
                BitwiseEqual(rows.Multiply(kernel, weights.matrix, first, count), RowsOf(all, out, first, count)))
                << count << " rows from " << first << " on, in " << in << ", out " << out;
          }
        });
      }
    }
  }
}

// More rows than are laid out at a time, at sizes that are no multiple of anything.
TEST(QuantizedLinear, ManyRowsHaveTheBitsOfFew) {
  const int64_t in = 203, out = 71, count = 1100;
  const std::vector<float> w = Random(out * in, 10), bias = Random(out, 11);
  for (const Form form : kForms) {
    const Weights weights(form, out, in, w);
    for (const bool bf16 : {false, true}) {
      const Rows rows(Random(count * in, 12), in, bf16);
      ForEachKernel(weights.matrix, bf16, [&](const LinearKernel& kernel) {
        const std::vector<float> all = rows.Multiply(kernel, weights.matrix, 0, count, bias.data());
        for (int64_t first = 0; first < count; first += 22) {
          ASSERT_TRUE(BitwiseEqual(rows.Multiply(kernel, weights.matrix, first, 22, bias.data()),
                                   RowsOf(all, out, first, 22)))
              << "rows from " << first;
        }
      });
    }
  }
}

TEST(QuantizedLinear, ThreadsDoNotMatter) {
  const int64_t in = 640, out = 1000, count = 40;
  const std::vector<float> w = Random(out * in, 5);
  const int before = Threads();
  for (const Form form : kForms) {
    const Weights weights(form, out, in, w);
    for (const bool bf16 : {false, true}) {
      const Rows rows(Random(count * in, 6), in, bf16);
      ForEachKernel(weights.matrix, bf16, [&](const LinearKernel& kernel) {
        for (const int64_t some : {int64_t{9}, count}) {
          SetThreads(1);
          const std::vector<float> one = rows.Multiply(kernel, weights.matrix, 0, some);
          SetThreads(3);
          EXPECT_TRUE(BitwiseEqual(rows.Multiply(kernel, weights.matrix, 0, some), one));
        }
        SetThreads(before);
      });
    }
  }
}

TEST(QuantizedLinear, NanAndInfinityStayInTheirRow) {
  const int64_t in = 100, out = 40;
  const std::vector<float> w = Random(out * in, 8);
  std::vector<float> x = Random(5 * in, 9);
  const std::vector<float> clean = x;
  x[in + 99] = kNan;
  x[3 * in] = kInfinity;
  for (const Form form : kForms) {
    const Weights weights(form, out, in, w);
    for (const bool bf16 : {false, true}) {
      const Rows dirty(x, in, bf16), rows(clean, in, bf16);
      ForEachKernel(weights.matrix, bf16, [&](const LinearKernel& kernel) {
        const std::vector<float> got = dirty.Multiply(kernel, weights.matrix, 0, 5);
        const std::vector<float> want = rows.Multiply(kernel, weights.matrix, 0, 5);
        for (const int64_t r : {0, 2, 4}) EXPECT_TRUE(BitwiseEqual(RowsOf(got, out, r, 1), RowsOf(want, out, r, 1)));
        for (const float y : RowsOf(got, out, 1, 1)) EXPECT_TRUE(std::isnan(y)) << y;
        for (const float y : RowsOf(got, out, 3, 1)) EXPECT_FALSE(std::isfinite(y)) << y;
      });
    }
  }
}

TEST(QuantizedLinear, NanInWeightsStaysInItsOutput) {
  const int64_t in = 70, out = 5;
  const Rows rows(Random(3 * in, 1), in, false);
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    std::vector<uint8_t> blocks = Weights::Stored(kind, out, in, Random(out * in, 2));
    blocks[2 * RowBytes(kind, in) + 1] = 0x7E;  // the scale of output 2: NaN
    const WeightMatrix matrix = WeightMatrix::Pack(kind, out, in, blocks.data());
    ForEachKernel(matrix, false, [&](const LinearKernel& kernel) {
      const std::vector<float> y = rows.Multiply(kernel, matrix, 0, 3);
      for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i % out == 2) << i;
    });
  }
}

TEST(QuantizedLinear, Bf16OutputsAreTheRoundedFp32Ones) {
  const int64_t in = 64, out = 37;
  const std::vector<float> bias = Random(out, 3);
  for (const Form form : kForms) {
    const Weights weights(form, out, in, Random(out * in, 1));
    const Rows rows(Random(3 * in, 2), in, true);
    std::vector<float> y(3 * out);
    std::vector<uint16_t> y16(3 * out);
    QuantizedLinear(weights.matrix, {3, rows.data(0), true, y.data(), false, bias.data()});
    QuantizedLinear(weights.matrix, {3, rows.data(0), true, y16.data(), true, bias.data()});
    EXPECT_EQ(y16, AllBf16(y)) << WeightKindName(form.kind);
  }
}

TEST(QuantizedLinear, NoRowsAndNoOutputs) {
  const Weights weights({WeightKind::kQ4, true}, 32, 32, Random(1024, 1));
  QuantizedLinear(weights.matrix, {0, nullptr, false, nullptr, false});
  const WeightMatrix none = WeightMatrix::Pack(WeightKind::kQ8, 0, 32, nullptr);
  const std::vector<float> x(32);
  QuantizedLinear(none, {1, x.data(), false, nullptr, false});
  EXPECT_EQ(none.bytes(), 0);
}

TEST(WeightMatrix, ReadsBackWhatTheBlocksStandFor) {
  for (const int64_t in : {1, 32, 45, 256}) {
    const int64_t out = 70;
    for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
      const std::vector<uint8_t> blocks = Weights::Stored(kind, out, in, Random(out * in, in));
      std::vector<float> want(out * in);
      Dequantize(kind, blocks.data(), out, in, want.data());
      const WeightMatrix matrix = WeightMatrix::Pack(kind, out, in, blocks.data());
      EXPECT_GE(matrix.bytes(), out * RowBytes(kind, in));
      ForEachTarget([&](const std::string& target) {
        for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 70}, {31, 2}, {69, 1}, {5, 60}, {3, 0}}) {
          std::vector<float> w(count * in);
          std::vector<uint16_t> w16(count * in);
          matrix.Read(first, count, w.data(), false);
          matrix.Read(first, count, w16.data(), true);
          const std::vector<float> rows(want.begin() + first * in, want.begin() + (first + count) * in);
          EXPECT_EQ(w, rows) << target << ", " << WeightKindName(kind) << ", in " << in << ", rows from " << first;
          EXPECT_EQ(w16, AllBf16(rows)) << target << ", " << WeightKindName(kind) << ", in " << in;
        }
      });
    }
  }
}

TEST(WeightMatrix, ReadsBackPackedNumbers) {
  for (const int64_t in : {1, 16, 45, 256}) {
    const int64_t out = 70;
    const std::vector<float> w = Random(out * in, in);
    const WeightMatrix matrix = WeightMatrix::Pack(out, in, w.data());
    EXPECT_EQ(matrix.bytes(), 96 * in * 4);
    ForEachTarget([&](const std::string& target) {
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 70}, {31, 2}, {69, 1}, {3, 0}}) {
        std::vector<float> some(count * in);
        std::vector<uint16_t> some16(count * in);
        matrix.Read(first, count, some.data(), false);
        matrix.Read(first, count, some16.data(), true);
        const std::vector<float> rows(w.begin() + first * in, w.begin() + (first + count) * in);
        EXPECT_EQ(some, rows) << target << ", in " << in << ", rows from " << first;
        EXPECT_EQ(some16, AllBf16(rows)) << target << ", in " << in << ", rows from " << first;
      }
    });
  }
}

TEST(Quantize, CodesAreTheNearestOfTheBlock) {
  const int64_t in = 96 + 5, rows = 20;
  std::vector<float> w = Random(rows * in, 1);
  for (int64_t i = 0; i < in; ++i) w[3 * in + i] = 0;          // zeros
  for (int64_t i = 0; i < in; ++i) w[4 * in + i] = 0.375f;     // equal numbers
  for (int64_t i = 0; i < in; ++i) w[5 * in + i] *= 1e-4f;     // scales that are denormal in fp16
  for (int64_t i = 0; i < in; ++i) w[6 * in + i] += 50;        // far from zero
  for (int64_t i = 0; i < in; ++i) w[7 * in + i] = 1e-9f * i;  // a scale that rounds to zero
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    std::vector<uint8_t> blocks(rows * RowBytes(kind, in));
    ASSERT_TRUE(Quantize(kind, w.data(), rows, in, blocks.data()).ok());
    std::vector<float> back(rows * in);
    Dequantize(kind, blocks.data(), rows, in, back.data());
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t begin = 0; begin < in; begin += kWeightBlock) {
        const auto first = w.begin() + row * in + begin,
                   last = w.begin() + row * in + std::min(begin + kWeightBlock, in);
        const auto [least, most] = std::minmax_element(first, last);
        const float extent = std::max(std::abs(*least), std::abs(*most));
        // Half a step, and what rounding of scale and min to fp16 leaves of the ends.
        const float step = kind == WeightKind::kQ8 ? extent / 127 : (*most - *least) / 15;
        const float bound = 0.5f * step + extent * 0x1p-10f + 0x1p-20f;
        for (auto at = first; at != last; ++at) {
          ASSERT_NEAR(back[at - w.begin()], *at, bound)
              << WeightKindName(kind) << ", row " << row << ", column " << at - w.begin() - row * in;
        }
      }
    }
    for (int64_t i = 0; i < in; ++i) EXPECT_EQ(back[3 * in + i], 0) << WeightKindName(kind);
    for (int64_t i = 0; i < in; ++i) EXPECT_NEAR(back[4 * in + i], 0.375f, 0.375f * 2e-3f) << WeightKindName(kind);
  }
}

TEST(Quantize, RefusesWhatItCannotHold) {
  for (const WeightKind kind : {WeightKind::kQ8, WeightKind::kQ4}) {
    for (const float bad : {kNan, kInfinity, -kInfinity, 3e38f}) {
      std::vector<float> w(3 * 40, 1.0f);
      w[2 * 40 + 35] = bad;
      std::vector<uint8_t> blocks(3 * RowBytes(kind, 40));
      const absl::Status status = Quantize(kind, w.data(), 3, 40, blocks.data());
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
      EXPECT_NE(status.message().find("row 2, column 35"), std::string_view::npos) << status;
    }
  }
}

// Every scale that fp16 has: w = scale * (code - 8) to the last bit, or a refusal.
TEST(Quantize, Q4_0IsExactlyQ4) {
  for (uint32_t scale = 0; scale < 1 << 16; ++scale) {
    uint8_t q4_0[18] = {static_cast<uint8_t>(scale), static_cast<uint8_t>(scale >> 8)}, q4[20];
    for (int i = 0; i < 16; ++i) q4_0[2 + i] = static_cast<uint8_t>(i | (15 - i) << 4);
    const uint16_t bits = static_cast<uint16_t>(scale);
    const float value = static_cast<float>(std::bit_cast<_Float16>(bits));
    const absl::Status status = Q4FromQ4_0(q4_0, 1, q4);
    ASSERT_EQ(status.ok(), std::abs(value) < 8190) << value << ": " << status;
    if (!status.ok()) continue;
    float w[32];
    Dequantize(WeightKind::kQ4, q4, 1, 32, w);
    for (int i = 0; i < 16; ++i) {
      ASSERT_EQ(w[i], value * (i - 8)) << value;
      ASSERT_EQ(w[i + 16], value * (7 - i)) << value;
    }
  }
}

TEST(WeightMemory, IsAlignedDisjointAndFreed) {
  std::vector<std::shared_ptr<uint8_t>> parts;
  for (const int64_t bytes : {1L, 100L, 64L << 20, 3L << 20, 40L << 20, 30L << 20, 30L << 20}) {
    parts.push_back(AllocateWeightMemory(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parts.back().get()) % 64, 0u);
    parts.back().get()[0] = parts.back().get()[bytes - 1] = static_cast<uint8_t>(parts.size());
  }
  for (size_t i = 0; i < parts.size(); ++i) EXPECT_EQ(parts[i].get()[0], i + 1);
}

// Products that share a loop are those alone, then with their activation, then added; whatever the number of threads and
// whether these are a team.
TEST(QuantizedLinears, EqualProductsAlone) {
  struct Case {
    Form form;
    int64_t out, in;
    int x;
    bool bias;
    LinearActivation activation;
    bool add;
  };
  const Case cases[] = {{{WeightKind::kQ8, true}, 70, 96, 0, true, LinearActivation::kNone, false},
                        {{WeightKind::kQ8, true}, 33, 96, 0, false, LinearActivation::kTanh, false},
                        {{WeightKind::kFp32, false}, 8, 96, 0, false, LinearActivation::kSigmoid, false},
                        {{WeightKind::kQ4, true}, 64, 40, 1, true, LinearActivation::kTanh, true},
                        {{WeightKind::kFp32, true}, 1, 40, 1, false, LinearActivation::kNone, true},
                        {{WeightKind::kBf16, false}, 100, 96, 0, true, LinearActivation::kNone, false},
                        {{WeightKind::kQ8, true}, 0, 96, 0, false, LinearActivation::kNone, false}};
  for (const bool x_bf16 : {false, true}) {
    for (const int64_t rows : {1, 3, 70, 1100}) {
      const std::vector<float> given[] = {Random(rows * 96, 1), Random(rows * 40, 2)};
      const std::vector<uint16_t> given_bf16[] = {AllBf16(given[0]), AllBf16(given[1])};
      const auto x = [&](int i) -> const void* {
        return x_bf16 ? static_cast<const void*>(given_bf16[i].data()) : given[i].data();
      };
      std::vector<Weights> weights;
      std::vector<std::vector<float>> bias, want, start;
      for (const Case& c : cases) {
        weights.emplace_back(c.form, c.out, c.in, Random(c.out * c.in, 3));
        bias.push_back(Random(c.out, 4));
        start.push_back(Random(rows * c.out, 5));
        want.emplace_back(rows * c.out);
        std::vector<float>& y = want.back();
        QuantizedLinear(weights.back().matrix, {.rows = rows,
                                                .x = x(c.x),
                                                .x_bf16 = x_bf16,
                                                .y = y.data(),
                                                .y_bf16 = false,
                                                .bias = c.bias ? bias.back().data() : nullptr});
        for (size_t i = 0; i < y.size(); ++i) {
          if (c.activation == LinearActivation::kTanh) y[i] = std::tanh(y[i]);
          if (c.activation == LinearActivation::kSigmoid) y[i] = 1 / (1 + std::exp(-y[i]));
          if (c.add) y[i] += start.back()[i];
        }
      }
      std::vector<std::vector<float>> first;
      for (const int threads : {1, 2, 3}) {
        for (const bool team : {false, true}) {
          SetThreads(threads);
          std::vector<std::vector<float>> y = start;
          std::vector<LinearProduct> products;
          for (size_t i = 0; i < std::size(cases); ++i) {
            products.push_back({.w = &weights[i].matrix,
                                .x = x(cases[i].x),
                                .y = y[i].data(),
                                .y_bf16 = false,
                                .bias = cases[i].bias ? bias[i].data() : nullptr,
                                .activation = cases[i].activation,
                                .add = cases[i].add});
          }
          const auto multiply = [&] { QuantizedLinears(products, rows, x_bf16); };
          team ? RunTeam(multiply) : multiply();
          for (size_t i = 0; i < std::size(cases); ++i) {
            SCOPED_TRACE(Concatenate("product ", i, ", ", rows, " rows, ", threads, " threads, team ", team));
            if (cases[i].activation == LinearActivation::kNone) {
              EXPECT_TRUE(BitwiseEqual(y[i], want[i]));
            } else {
              EXPECT_TRUE(IsClose(y[i], want[i], 3e-7));
            }
          }
          if (first.empty()) first = y;
          for (size_t i = 0; i < std::size(cases); ++i) EXPECT_TRUE(BitwiseEqual(y[i], first[i])) << "product " << i;
        }
      }
    }
  }
  SetThreads(2);
}

}  // namespace
}  // namespace radlads
