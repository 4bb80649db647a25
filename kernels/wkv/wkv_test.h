// What the tests of wkv6 and wkv7 stand on: data, and an operation as they see it. An operation is a type
//
//   struct Operation {
//     static const std::vector<std::string> kNames;               // of the inputs, in order; one of them is "v"
//     static WkvData Make(const WkvShape&, uint64_t seed);        // float, no initial state, no resets
//     template <typename T> static <Inputs> Inputs(const WkvData&);
//     template <typename T> static <Gradients> Gradients(const std::vector<Tensor>&);  // by kNames, then initial_state
//     static constexpr auto *kForward, *kBackward, *kCheckpointSize;  // the functions of wkv6.h or wkv7.h
//     static std::pair<Tensor, Tensor> Operator(const WkvData&, std::optional<at::ScalarType> output_type = {});
//   };
#ifndef RADLADS_KERNELS_WKV_WKV_TEST_H_
#define RADLADS_KERNELS_WKV_WKV_TEST_H_

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <complex>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/testing/compare.h"
#include "kernels/wkv/reference.h"

namespace radlads {

using at::Tensor;

struct WkvData {
  WkvShape shape;
  std::vector<Tensor> inputs;   // in order of the adapter's names
  Tensor initial_state, reset;  // undefined: none
  double scale = 0.25;

  WkvData To(at::ScalarType type) const {
    WkvData result = *this;
    for (Tensor& tensor : result.inputs) tensor = tensor.to(type);
    if (initial_state.defined()) result.initial_state = initial_state.to(type);
    return result;
  }
  // Tokens [begin, end) with `state` before them.
  WkvData Piece(int64_t begin, int64_t end, const Tensor& state) const {
    WkvData result = *this;
    for (Tensor& tensor : result.inputs) tensor = tensor.slice(1, begin, end).contiguous();
    if (reset.defined()) result.reset = reset.slice(1, begin, end).contiguous();
    result.initial_state = state;
    result.shape.time = end - begin;
    return result;
  }
  WkvData Row(int64_t row) const {
    WkvData result = *this;
    for (Tensor& tensor : result.inputs) tensor = tensor.slice(0, row, row + 1).contiguous();
    if (reset.defined()) result.reset = reset.slice(0, row, row + 1).contiguous();
    if (initial_state.defined()) result.initial_state = initial_state.slice(0, row, row + 1).contiguous();
    result.shape.batch = 1;
    return result;
  }
};

struct WkvResult {
  Tensor output, final_state, checkpoints;
};

// Standard normal numbers, the same for the same seed.
inline Tensor Normal(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type = at::kFloat) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(sizes, generator, at::TensorOptions(type));
}

inline std::vector<int64_t> KeySizes(const WkvShape& s) {
  return {s.batch, s.time, s.heads, s.key_dim};
}
inline std::vector<int64_t> ValueSizes(const WkvShape& s) {
  return {s.batch, s.time, s.heads, s.value_dim};
}
inline std::vector<int64_t> StateSizes(const WkvShape& s) {
  return {s.batch, s.heads, s.key_dim, s.value_dim};
}

// The elements of a contiguous tensor of T (complex numbers and bool as uint8 included); none if it
// is undefined.
template <typename T>
std::span<const T> View(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {static_cast<const T*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.numel())};
}
template <typename T>
std::span<T> MutableView(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {static_cast<T*>(tensor.mutable_data_ptr()), static_cast<size_t>(tensor.numel())};
}

// Memory that shows when it is read or written beside its tensors: each stands between guard bands, at an odd address
// of its element size. All of it is first full of 0xFF: NaN in every float type, a reset in `reset`.
class Fence {
 public:
  ~Fence() {
    for (const auto& [memory, begin, end] : tensors_) {
      const auto* bytes = static_cast<const uint8_t*>(memory.const_data_ptr());
      for (int64_t i = 0; i < memory.numel(); ++i) {
        if ((i < begin || i >= end) && bytes[i] != 0xFF) {
          ADD_FAILURE() << "written outside of a tensor of " << end - begin << " bytes, at byte " << i - begin;
          break;
        }
      }
    }
  }
  Tensor Empty(at::IntArrayRef sizes, at::ScalarType type) {
    const int64_t element = c10::elementSize(type), bytes = element * c10::multiply_integers(sizes),
                  begin = kGuardBytes + element;
    const Tensor memory = at::full({begin + bytes + kGuardBytes}, 0xFF, at::kByte);
    tensors_.push_back({memory, begin, begin + bytes});
    return at::from_blob(
        static_cast<uint8_t*>(memory.mutable_data_ptr()) + begin, sizes, [memory](void*) {}, type);
  }
  Tensor Copy(const Tensor& tensor) {
    return tensor.defined() ? Empty(tensor.sizes(), tensor.scalar_type()).copy_(tensor) : Tensor();
  }
  WkvData Copy(WkvData data) {
    for (Tensor& tensor : data.inputs) tensor = Copy(tensor);
    data.initial_state = Copy(data.initial_state);
    data.reset = Copy(data.reset);
    return data;
  }
  // One for each input and for the initial state.
  std::vector<Tensor> Gradients(const WkvData& data, at::ScalarType type) {
    std::vector<Tensor> result;
    for (const Tensor& input : data.inputs) result.push_back(Empty(input.sizes(), type));
    result.push_back(Empty(StateSizes(data.shape), type));
    return result;
  }

 private:
  static constexpr int64_t kGuardBytes = 256;
  struct Fenced {
    Tensor memory;
    int64_t begin, end;  // bytes of the tensor
  };
  std::vector<Fenced> tensors_;
};

inline WkvData WithState(WkvData data, uint64_t seed = 77) {
  data.initial_state = Normal(StateSizes(data.shape), seed, data.inputs[0].scalar_type());
  return data;
}

// A reset before about one token in nine, different in each row.
inline WkvData WithResets(WkvData data, uint64_t seed = 78) {
  data.reset = Normal({data.shape.batch, data.shape.time}, seed) > 1.2;
  return data;
}

// The instruction sets that this machine has, among those that the kernels are compiled for.
inline std::vector<std::pair<std::string, int64_t>> InstructionSets() {
  std::vector<std::pair<std::string, int64_t>> result = {{"fallback", 0}};
  for (const int64_t target : {HWY_NEON, HWY_AVX2, HWY_AVX3}) {
    if (hwy::SupportedTargets() & target) result.emplace_back(hwy::TargetName(target), target);
  }
  return result;
}

class ScopedInstructionSet {
 public:
  explicit ScopedInstructionSet(int64_t target) { hwy::GetChosenTarget().Update(target); }
  ~ScopedInstructionSet() { hwy::GetChosenTarget().DeInit(); }
};

class ScopedThreads {
 public:
  explicit ScopedThreads(int threads) : before_(Threads()) { SetThreads(threads); }
  ~ScopedThreads() { SetThreads(before_); }

 private:
  int before_;
};

// The float path, with checkpoints or without.
template <typename Operation>
WkvResult RunForward(const WkvData& given, bool keep_checkpoints = true) {
  Fence fence;
  const WkvData data = fence.Copy(given);
  const int64_t checkpoints = keep_checkpoints ? Operation::kCheckpointSize(data.shape) : 0;
  WkvResult result = {fence.Empty(ValueSizes(data.shape), at::kFloat), fence.Empty(StateSizes(data.shape), at::kFloat),
                      fence.Empty({checkpoints}, at::kFloat)};
  Operation::kForward(data.shape, Operation::template Inputs<float>(data),
                      {MutableView<float>(result.output), MutableView<float>(result.final_state)},
                      MutableView<float>(result.checkpoints));
  return result;
}

// Gradients of the inputs, then of the initial state.
template <typename Operation>
std::vector<Tensor> RunBackward(const WkvData& given, const Tensor& checkpoints, const Tensor& d_output,
                                const Tensor& d_final_state) {
  Fence fence;
  const WkvData data = fence.Copy(given);
  const Tensor d_o = fence.Copy(d_output), d_h = fence.Copy(d_final_state);
  std::vector<Tensor> d_in = fence.Gradients(data, at::kFloat);
  Operation::kBackward(data.shape, Operation::template Inputs<float>(data), View<float>(checkpoints),
                       {View<float>(d_o), View<float>(d_h)}, Operation::template Gradients<float>(d_in));
  return d_in;
}

// In float64 or complex128, whichever the data are.
template <typename Operation>
WkvResult RunReference(const WkvData& data) {
  Fence fence;
  const at::ScalarType type = data.inputs[0].scalar_type();
  WkvResult result = {fence.Empty(ValueSizes(data.shape), type), fence.Empty(StateSizes(data.shape), type), {}};
  const auto run = [&]<typename T>(T) {
    WkvReferenceForward<T>(data.shape, Operation::template Inputs<T>(data),
                           {MutableView<T>(result.output), MutableView<T>(result.final_state)});
  };
  type == at::kDouble ? run(double()) : run(std::complex<double>());
  return result;
}

template <typename Operation>
std::vector<Tensor> RunReferenceBackward(const WkvData& data, const Tensor& d_output, const Tensor& d_final_state) {
  Fence fence;
  std::vector<Tensor> d_in = fence.Gradients(data, at::kDouble);
  WkvReferenceBackward<double>(data.shape, Operation::template Inputs<double>(data),
                               {View<double>(d_output), View<double>(d_final_state)},
                               Operation::template Gradients<double>(d_in));
  return d_in;
}

struct WkvRunResult {
  WkvResult forward;
  std::vector<Tensor> gradients;
};

// Forward and backward of the float path; the gradients of the results are random but for the same
// seed.
template <typename Operation>
WkvRunResult RunFloat(const WkvData& data, const Tensor& d_output, const Tensor& d_final_state) {
  WkvRunResult result;
  result.forward = RunForward<Operation>(data);
  result.gradients = RunBackward<Operation>(data, result.forward.checkpoints, d_output, d_final_state);
  return result;
}

template <typename Operation>
class WkvTest : public ::testing::Test {
 protected:
  static constexpr double kForwardTolerance = 1e-5, kGradientTolerance = 2e-5;

  static Tensor DOutput(const WkvShape& shape) { return Normal(ValueSizes(shape), 101); }
  static Tensor DFinalState(const WkvShape& shape) { return Normal(StateSizes(shape), 102); }

  static std::string Name(size_t i) { return i < Operation::kNames.size() ? Operation::kNames[i] : "initial_state"; }
  static size_t Index(const std::string& name) {
    return std::find(Operation::kNames.begin(), Operation::kNames.end(), name) - Operation::kNames.begin();
  }

  static void ExpectBitwiseEqual(const WkvRunResult& got, const WkvRunResult& want) {
    EXPECT_TRUE(BitwiseEqual(got.forward.output, want.forward.output));
    EXPECT_TRUE(BitwiseEqual(got.forward.final_state, want.forward.final_state));
    for (size_t i = 0; i < want.gradients.size(); ++i) {
      EXPECT_TRUE(BitwiseEqual(got.gradients[i], want.gradients[i])) << "gradient of " << Name(i);
    }
  }

  // The float path on every instruction set against the reference in double. `looser` multiplies the tolerances.
  static void ExpectMatchesReference(const WkvData& data, double looser = 1) {
    const WkvShape& s = data.shape;
    SCOPED_TRACE(::testing::Message() << "B=" << s.batch << " T=" << s.time << " H=" << s.heads << " K=" << s.key_dim
                                      << " V=" << s.value_dim << (data.initial_state.defined() ? " with state" : "")
                                      << (data.reset.defined() ? " with resets" : ""));
    const Tensor d_output = DOutput(s), d_final_state = DFinalState(s);
    const WkvData exact = data.To(at::kDouble);
    const WkvResult want = RunReference<Operation>(exact);
    const std::vector<Tensor> want_gradients =
        RunReferenceBackward<Operation>(exact, d_output.to(at::kDouble), d_final_state.to(at::kDouble));
    for (const auto& [name, target] : InstructionSets()) {
      SCOPED_TRACE(name);
      const ScopedInstructionSet scoped(target);
      const WkvRunResult got = RunFloat<Operation>(data, d_output, d_final_state);
      EXPECT_TRUE(IsClose(got.forward.output, want.output, looser * kForwardTolerance)) << "output";
      EXPECT_TRUE(IsClose(got.forward.final_state, want.final_state, looser * kForwardTolerance)) << "final state";
      for (size_t i = 0; i < want_gradients.size(); ++i) {
        EXPECT_TRUE(IsClose(got.gradients[i], want_gradients[i], looser * kGradientTolerance))
            << "gradient of " << Name(i);
      }
    }
  }
};

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_WKV_TEST_H_
