// Problems for the CUDA kernels of the recurrences, and the recurrence in double to hold their
// results against.
#ifndef RADLADS_KERNELS_WKV_CUDA_TEST_PROBLEM_H_
#define RADLADS_KERNELS_WKV_CUDA_TEST_PROBLEM_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "kernels/testing/compare.h"
#include "kernels/testing/cuda_on_cpu.h"
#include "kernels/wkv/reference.h"

namespace radlads::cuda {
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using Doubles = std::vector<double>;

// A buffer that a kernel may touch nothing beside, in bf16 or fp32; unwritten elements are NaN.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size)
      : size_(size), buffer_(std::make_unique<GuardedBuffer>(size * sizeof(T))) {}
  explicit DeviceArray(const Doubles& values) : DeviceArray(values.size()) {
    for (size_t i = 0; i < size_; ++i) Set(i, values[i]);
  }
  T* data() const { return size_ == 0 ? nullptr : static_cast<T*>(buffer_->data()); }
  Doubles Get() const {
    Doubles result(size_);
    for (size_t i = 0; i < size_; ++i) {
      if constexpr (std::is_same_v<T, Bf16>) {
        result[i] = ToFloat(data()[i]);
      } else {
        result[i] = data()[i];
      }
    }
    return result;
  }

 private:
  void Set(size_t i, double value) {
    if constexpr (std::is_same_v<T, Bf16>) {
      data()[i] = ToBf16(static_cast<float>(value));
    } else {
      data()[i] = static_cast<T>(value);
    }
  }
  size_t size_;
  std::unique_ptr<GuardedBuffer> buffer_;
};

inline double Rounded(double x) {
  return ToFloat(ToBf16(static_cast<float>(x)));
}

// Inputs as the kernels see them: bf16 values but for log_w and the state.
struct Problem {
  WkvShape shape;
  bool delta;
  double scale = 0.5;
  Doubles r, log_w, k, v, a, b, initial_state, d_output, d_final_state;
  std::vector<uint8_t> reset;

  WkvInputs<double> Inputs() const { return {r, log_w, k, v, a, b, scale, initial_state, reset}; }
};

struct Result {
  Doubles output, final_state;
  Doubles d_r, d_log_w, d_k, d_v, d_a, d_b, d_initial_state;

  static std::vector<std::pair<std::string, Doubles Result::*>> Fields() {
    return {{"output", &Result::output},
            {"final state", &Result::final_state},
            {"gradient of r", &Result::d_r},
            {"gradient of k", &Result::d_k},
            {"gradient of v", &Result::d_v},
            {"gradient of a", &Result::d_a},
            {"gradient of b", &Result::d_b},
            {"gradient of log_w", &Result::d_log_w},
            {"gradient of the initial state", &Result::d_initial_state}};
  }
};

// As RWKV-7 and RWKV-6 make them.
inline Problem Random(const WkvShape& shape, bool delta, uint64_t seed, bool with_state,
                      bool with_resets) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  const auto values = [&](size_t size, double scale = 1) {
    Doubles x(size);
    for (double& e : x) e = Rounded(scale * normal(generator));
    return x;
  };
  Problem p = {.shape = shape, .delta = delta};
  p.r = values(shape.keys());
  p.k = values(shape.keys());
  p.v = values(shape.values());
  p.log_w.resize(shape.keys());
  for (double& x : p.log_w) {
    const double y = normal(generator);
    x = static_cast<float>(delta ? -0.6065 / (1 + std::exp(-y))
                                 : std::max(-std::exp(2 * y - 2), -5.0));
  }
  if (delta) {
    p.a.resize(shape.keys());
    p.b.resize(shape.keys());
    for (size_t first = 0; first < shape.keys(); first += shape.key_dim) {
      const Doubles x = values(shape.key_dim);
      double norm = 0;
      for (const double e : x) norm += e * e;
      for (int64_t i = 0; i < shape.key_dim; ++i) {
        p.a[first + i] = Rounded(-x[i] / std::sqrt(norm));
        p.b[first + i] = Rounded(x[i] / std::sqrt(norm) / (1 + std::exp(-normal(generator))));
      }
    }
  }
  if (with_state) p.initial_state = values(shape.states());
  if (with_resets) {
    for (size_t i = 0; i < shape.resets(); ++i) p.reset.push_back(normal(generator) > 1.5);
  }
  p.d_output = values(shape.values());
  p.d_final_state = values(shape.states());
  return p;
}

// Zeros of the right sizes.
inline Result EmptyResult(const Problem& p) {
  const size_t keys = p.shape.keys(), values = p.shape.values(), states = p.shape.states(),
               delta = p.delta ? keys : 0;
  return {Doubles(values), Doubles(states), Doubles(keys),  Doubles(keys),  Doubles(keys),
          Doubles(values), Doubles(delta),  Doubles(delta), Doubles(states)};
}

inline Result RunOnDouble(const Problem& p) {
  Result x = EmptyResult(p);
  WkvReferenceForward<double>(p.shape, p.Inputs(), {x.output, x.final_state});
  WkvReferenceBackward<double>(p.shape, p.Inputs(), {p.d_output, p.d_final_state},
                               {x.d_r, x.d_log_w, x.d_k, x.d_v, x.d_a, x.d_b, x.d_initial_state});
  return x;
}

inline void ExpectEqual(const Result& got, const Result& want) {
  for (const auto& [name, field] : Result::Fields()) {
    for (size_t i = 0; i < (want.*field).size(); ++i) {
      ASSERT_EQ((got.*field)[i], (want.*field)[i]) << name << ", element " << i;
    }
  }
}

// Against the recurrence in double; `tolerance` by the name of a result.
template <typename Tolerance>
void ExpectClose(const Result& got, const Problem& p, const Tolerance& tolerance) {
  const Result want = RunOnDouble(p);
  for (const auto& [name, field] : Result::Fields()) {
    // A single token without a state has no decay to differentiate by.
    if (std::all_of((want.*field).begin(), (want.*field).end(), [](double x) { return x == 0; })) {
      for (const double x : got.*field) EXPECT_NEAR(x, 0, 1e-4) << name;
      continue;
    }
    EXPECT_TRUE(IsClose(std::span<const double>(got.*field), want.*field, tolerance(name))) << name;
  }
}

inline std::string Describe(const Problem& p) {
  const WkvShape& s = p.shape;
  std::ostringstream out;
  out << (p.delta ? "wkv7" : "wkv6") << " B=" << s.batch << " T=" << s.time << " H=" << s.heads
      << " K=" << s.key_dim << " V=" << s.value_dim << (p.reset.empty() ? "" : " resets")
      << (p.initial_state.empty() ? "" : " state");
  return out.str();
}

// Tokens [begin, end) of a problem of one row, with `state` before and its own gradient after.
inline Problem Piece(const Problem& p, int64_t begin, int64_t end, const Doubles& state,
                     const Doubles& d_final_state) {
  Problem result = p;
  result.shape.time = end - begin;
  const int64_t keys = p.shape.heads * p.shape.key_dim;
  for (const auto field : {&Problem::r, &Problem::log_w, &Problem::k, &Problem::v, &Problem::a,
                           &Problem::b, &Problem::d_output}) {
    const Doubles& whole = p.*field;
    if (!whole.empty())
      result.*field = Doubles(whole.begin() + begin * keys, whole.begin() + end * keys);
  }
  if (!p.reset.empty()) result.reset = {p.reset.begin() + begin, p.reset.begin() + end};
  result.initial_state = state;
  result.d_final_state = d_final_state;
  return result;
}

inline Doubles Joined(Doubles x, const Doubles& y) {
  x.insert(x.end(), y.begin(), y.end());
  return x;
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_WKV_CUDA_TEST_PROBLEM_H_
