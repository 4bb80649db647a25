// The tests that wkv6 and wkv7 share, parameterised by an adapter to the operation (see
// wkv6_test.cc, wkv7_test.cc):
//
//   struct Adapter {
//     static const std::vector<std::string> kNames;                    // of the inputs, in order;
//     one of them is "v" static WkvData Make(const WkvShape&, uint64_t seed);             // float,
//     no initial state, no resets static WkvResult Forward(const WkvData&); // the float path,
//     keeping checkpoints static std::vector<Tensor> Backward(const WkvData&, const Tensor&
//     checkpoints, const Tensor& d_output,
//                                         const Tensor& d_final_state);  // in order of kNames,
//                                         then initial_state
//     static WkvResult Reference(const WkvData&);                      // float64 or complex128
//     static std::vector<Tensor> ReferenceBackward(const WkvData&, const Tensor& d_output, const
//     Tensor& d_final_state); static std::pair<Tensor, Tensor> Operator(const WkvData&);       //
//     the torch operator
//   };
#ifndef RADLADS_KERNELS_WKV_WKV_TEST_SUITE_H_
#define RADLADS_KERNELS_WKV_WKV_TEST_SUITE_H_

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel_for.h"
#include "kernels/testing/compare.h"
#include "kernels/wkv/shape.h"

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
    if (initial_state.defined())
      result.initial_state = initial_state.slice(0, row, row + 1).contiguous();
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

// What must be overwritten is full of NaN.
inline Tensor Poisoned(at::IntArrayRef sizes, at::ScalarType type) {
  return at::full(sizes, std::numeric_limits<double>::quiet_NaN(), type);
}

// One for each input and for the initial state.
inline std::vector<Tensor> PoisonedGradients(const WkvData& data, at::ScalarType type) {
  std::vector<Tensor> result;
  for (const Tensor& input : data.inputs) result.push_back(Poisoned(input.sizes(), type));
  result.push_back(Poisoned(StateSizes(data.shape), type));
  return result;
}

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

struct WkvRunResult {
  WkvResult forward;
  std::vector<Tensor> gradients;
};

// Forward and backward of the float path; the gradients of the results are random but for the same
// seed.
template <typename Adapter>
WkvRunResult RunFloat(const WkvData& data, const Tensor& d_output, const Tensor& d_final_state) {
  WkvRunResult result;
  result.forward = Adapter::Forward(data);
  result.gradients = Adapter::Backward(data, result.forward.checkpoints, d_output, d_final_state);
  return result;
}

template <typename Adapter>
class WkvTest : public ::testing::Test {
 protected:
  static constexpr double kForwardTolerance = 1e-5, kGradientTolerance = 2e-5;

  static Tensor DOutput(const WkvShape& shape) { return Normal(ValueSizes(shape), 101); }
  static Tensor DFinalState(const WkvShape& shape) { return Normal(StateSizes(shape), 102); }

  static std::string Name(size_t i) {
    return i < Adapter::kNames.size() ? Adapter::kNames[i] : "initial_state";
  }
  static size_t Index(const std::string& name) {
    return std::find(Adapter::kNames.begin(), Adapter::kNames.end(), name) -
           Adapter::kNames.begin();
  }

  static void ExpectBitwiseEqual(const WkvRunResult& got, const WkvRunResult& want) {
    EXPECT_TRUE(BitwiseEqual(got.forward.output, want.forward.output));
    EXPECT_TRUE(BitwiseEqual(got.forward.final_state, want.forward.final_state));
    for (size_t i = 0; i < want.gradients.size(); ++i) {
      EXPECT_TRUE(BitwiseEqual(got.gradients[i], want.gradients[i])) << "gradient of " << Name(i);
    }
  }

  // The float path on every instruction set against the reference in double.
  static void ExpectMatchesReference(const WkvData& data) {
    const WkvShape& s = data.shape;
    SCOPED_TRACE(::testing::Message()
                 << "B=" << s.batch << " T=" << s.time << " H=" << s.heads << " K=" << s.key_dim
                 << " V=" << s.value_dim << (data.initial_state.defined() ? " with state" : "")
                 << (data.reset.defined() ? " with resets" : ""));
    const Tensor d_output = DOutput(s), d_final_state = DFinalState(s);
    const WkvData exact = data.To(at::kDouble);
    const WkvResult want = Adapter::Reference(exact);
    const std::vector<Tensor> want_gradients =
        Adapter::ReferenceBackward(exact, d_output.to(at::kDouble), d_final_state.to(at::kDouble));
    for (const auto& [name, target] : InstructionSets()) {
      SCOPED_TRACE(name);
      const ScopedInstructionSet scoped(target);
      const WkvRunResult got = RunFloat<Adapter>(data, d_output, d_final_state);
      EXPECT_TRUE(IsClose(got.forward.output, want.output, kForwardTolerance)) << "output";
      EXPECT_TRUE(IsClose(got.forward.final_state, want.final_state, kForwardTolerance))
          << "final state";
      for (size_t i = 0; i < want_gradients.size(); ++i) {
        EXPECT_TRUE(IsClose(got.gradients[i], want_gradients[i], kGradientTolerance))
            << "gradient of " << Name(i);
      }
    }
  }
};

TYPED_TEST_SUITE_P(WkvTest);

TYPED_TEST_P(WkvTest, ReferenceGradientsMatchComplexStep) {
  using Complex = std::complex<double>;
  const WkvShape shape = {2, 7, 2, 3, 4};
  WkvData data = WithState(TypeParam::Make(shape, 1)).To(at::kDouble);
  data.reset = at::zeros({2, 7}, at::kByte);
  data.reset[0][4] = 1;
  data.reset[1][0] = 1;
  const Tensor d_output = this->DOutput(shape).to(at::kDouble),
               d_final_state = this->DFinalState(shape).to(at::kDouble);
  const std::vector<Tensor> gradients = TypeParam::ReferenceBackward(data, d_output, d_final_state);
  WkvData complex = data.To(at::kComplexDouble);
  constexpr double kStep = 1e-30;
  for (size_t i = 0; i < gradients.size(); ++i) {
    Tensor& tensor = i < complex.inputs.size() ? complex.inputs[i] : complex.initial_state;
    auto* elements = reinterpret_cast<Complex*>(tensor.mutable_data_ptr<c10::complex<double>>());
    Tensor want = at::empty_like(gradients[i]);
    for (int64_t j = 0; j < tensor.numel(); ++j) {
      elements[j] += Complex(0, kStep);
      const WkvResult result = TypeParam::Reference(complex);
      elements[j] = elements[j].real();
      want.mutable_data_ptr<double>()[j] = ((at::imag(result.output) * d_output).sum() +
                                            (at::imag(result.final_state) * d_final_state).sum())
                                               .template item<double>() /
                                           kStep;
    }
    EXPECT_TRUE(IsClose(gradients[i], want, 1e-12)) << "gradient of " << this->Name(i);
  }
}

TYPED_TEST_P(WkvTest, FloatMatchesReference) {
  uint64_t seed = 10;
  for (const auto& [K, V] : std::vector<std::pair<int64_t, int64_t>>{
           {32, 32}, {64, 64}, {96, 96}, {128, 128}, {5, 7}, {1, 1}, {33, 40}, {48, 130}}) {
    for (const int64_t time : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127}) {
      if (K * V > 5000 && time % 32 != 1 && time != 2) continue;  // the reference is slow
      WkvData data = TypeParam::Make({1, time, 3, K, V}, ++seed);
      if (seed % 2 == 0) data = WithState(data, seed + 1000);
      if (seed % 3 == 0) data = WithResets(data, seed + 2000);
      this->ExpectMatchesReference(data);
    }
  }
  this->ExpectMatchesReference(TypeParam::Make({1, 512, 3, 64, 64}, 5));
  this->ExpectMatchesReference(WithResets(WithState(TypeParam::Make({4, 33, 7, 64, 64}, 6))));
  this->ExpectMatchesReference(TypeParam::Make({1, 512, 1, 128, 128}, 7));
}

TYPED_TEST_P(WkvTest, EmptyShapes) {
  for (const WkvShape& shape :
       {WkvShape{0, 3, 2, 4, 4}, WkvShape{2, 0, 2, 4, 4}, WkvShape{2, 3, 0, 4, 4},
        WkvShape{2, 3, 2, 0, 4}, WkvShape{2, 3, 2, 4, 0}}) {
    this->ExpectMatchesReference(WithState(TypeParam::Make(shape, 1)));
  }
}

TYPED_TEST_P(WkvTest, SlowAndStrongDecay) {
  for (const double log_w : {-1e-4, -0.6065, -5.0, -80.0}) {
    WkvData data = WithState(TypeParam::Make({1, 512, 2, 32, 32}, 21));
    data.inputs[this->Index("log_w")].fill_(log_w);
    SCOPED_TRACE(log_w);
    this->ExpectMatchesReference(data);
  }
  WkvData data = WithState(TypeParam::Make({1, 130, 2, 32, 32}, 22));
  Tensor log_w = data.inputs[this->Index("log_w")];
  log_w.slice(1, 0, 130, 2).fill_(-5);
  log_w.slice(1, 1, 130, 2).fill_(0);
  this->ExpectMatchesReference(data);
}

// split == whole.
TYPED_TEST_P(WkvTest, SplitEqualsWhole) {
  const WkvShape shape = {2, 75, 3, 20, 36};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 31)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  const WkvRunResult whole = RunFloat<TypeParam>(data, d_output, d_final_state);
  for (const int64_t cut : {1, 16, 31, 32, 33, 50, 74}) {
    SCOPED_TRACE(cut);
    const WkvData head = data.Piece(0, cut, data.initial_state);
    const WkvResult first = TypeParam::Forward(head);
    const WkvData tail = data.Piece(cut, shape.time, first.final_state);
    const WkvRunResult second =
        RunFloat<TypeParam>(tail, d_output.slice(1, cut).contiguous(), d_final_state);
    const std::vector<Tensor> first_gradients = TypeParam::Backward(
        head, first.checkpoints, d_output.slice(1, 0, cut).contiguous(), second.gradients.back());
    EXPECT_TRUE(
        BitwiseEqual(at::cat({first.output, second.forward.output}, 1), whole.forward.output));
    EXPECT_TRUE(BitwiseEqual(second.forward.final_state, whole.forward.final_state));
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      EXPECT_TRUE(
          IsClose(at::cat({first_gradients[i], second.gradients[i]}, 1), whole.gradients[i], 1e-6))
          << this->Name(i);
    }
    EXPECT_TRUE(IsClose(first_gradients.back(), whole.gradients.back(), 1e-6));
  }
}

TYPED_TEST_P(WkvTest, StepsEqualSequence) {
  const WkvShape shape = {2, 40, 3, 33, 40};
  const WkvData data = WithResets(TypeParam::Make(shape, 32));
  for (const auto& [name, target] : InstructionSets()) {
    SCOPED_TRACE(name);
    const ScopedInstructionSet scoped(target);
    const WkvResult whole = TypeParam::Forward(data);
    Tensor state;
    std::vector<Tensor> outputs;
    for (int64_t t = 0; t < shape.time; ++t) {
      const WkvResult step = TypeParam::Forward(data.Piece(t, t + 1, state));
      state = step.final_state;
      outputs.push_back(step.output);
    }
    EXPECT_TRUE(BitwiseEqual(at::cat(outputs, 1), whole.output));
    EXPECT_TRUE(BitwiseEqual(state, whole.final_state));
  }
}

// packed == alone.
TYPED_TEST_P(WkvTest, ResetEqualsSeparateCalls) {
  const WkvShape shape = {1, 70, 2, 16, 40};
  WkvData data = WithState(TypeParam::Make(shape, 33));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  for (const int64_t cut : {0, 1, 20, 32, 33, 64, 69}) {
    SCOPED_TRACE(cut);
    data.reset = at::zeros({1, shape.time}, at::kBool);
    data.reset[0][cut] = true;
    const WkvRunResult whole = RunFloat<TypeParam>(data, d_output, d_final_state);
    WkvData head = data.Piece(0, cut, data.initial_state), tail = data.Piece(cut, shape.time, {});
    head.reset = tail.reset = Tensor();
    const WkvRunResult second =
        RunFloat<TypeParam>(tail, d_output.slice(1, cut).contiguous(), d_final_state);
    const WkvRunResult first =
        RunFloat<TypeParam>(head, d_output.slice(1, 0, cut).contiguous(), {});
    EXPECT_TRUE(BitwiseEqual(at::cat({first.forward.output, second.forward.output}, 1),
                             whole.forward.output));
    EXPECT_TRUE(BitwiseEqual(second.forward.final_state, whole.forward.final_state));
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      EXPECT_TRUE(
          IsClose(at::cat({first.gradients[i], second.gradients[i]}, 1), whole.gradients[i], 1e-6))
          << this->Name(i);
    }
    // Nothing that comes after the cut reaches what is before it.
    Tensor d_late = d_output.clone();
    d_late.slice(1, 0, cut).zero_();
    const WkvRunResult late = RunFloat<TypeParam>(data, d_late, d_final_state);
    for (size_t i = 0; i < data.inputs.size(); ++i) {
      EXPECT_TRUE(late.gradients[i].slice(1, 0, cut).eq(0).all().template item<bool>())
          << this->Name(i);
    }
    EXPECT_TRUE(late.gradients.back().eq(0).all().template item<bool>());
  }
}

TYPED_TEST_P(WkvTest, DecayToZeroForgets) {
  const WkvShape shape = {1, 40, 2, 16, 16};
  WkvData data = WithState(TypeParam::Make(shape, 34)),
          other = WithState(TypeParam::Make(shape, 35));
  // Without the delta term, which would read the old state.
  for (const char* name : {"a", "b"}) {
    if (this->Index(name) < data.inputs.size())
      data.inputs[this->Index(name)].select(1, 20).zero_();
  }
  data.inputs[this->Index("log_w")].select(1, 20).fill_(-std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < data.inputs.size(); ++i)
    other.inputs[i].slice(1, 20).copy_(data.inputs[i].slice(1, 20));
  const Tensor d_output = this->DOutput(shape);
  const WkvRunResult x = RunFloat<TypeParam>(data, d_output, {}),
                     y = RunFloat<TypeParam>(other, d_output, {});
  EXPECT_TRUE(BitwiseEqual(x.forward.output.slice(1, 20), y.forward.output.slice(1, 20)));
  for (const Tensor& gradient : x.gradients)
    EXPECT_TRUE(gradient.isfinite().all().template item<bool>());
}

TYPED_TEST_P(WkvTest, Causality) {
  const WkvShape shape = {1, 70, 2, 16, 40};
  const WkvData data = WithState(TypeParam::Make(shape, 36));
  const Tensor output = TypeParam::Forward(data).output;
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    WkvData changed = data;
    changed.inputs[i] = data.inputs[i].clone();
    changed.inputs[i].select(1, 40).mul_(1.5);
    const Tensor other = TypeParam::Forward(changed).output;
    EXPECT_TRUE(BitwiseEqual(other.slice(1, 0, 40), output.slice(1, 0, 40))) << this->Name(i);
    EXPECT_FALSE(BitwiseEqual(other.slice(1, 40), output.slice(1, 40)))
        << this->Name(i) << " has no effect";
  }
  Tensor d_early = this->DOutput(shape);
  d_early.slice(1, 41).zero_();
  const std::vector<Tensor> gradients = RunFloat<TypeParam>(data, d_early, {}).gradients;
  for (size_t i = 0; i < data.inputs.size(); ++i) {
    EXPECT_TRUE(gradients[i].slice(1, 41).eq(0).all().template item<bool>()) << this->Name(i);
  }
}

// solo == batched.
TYPED_TEST_P(WkvTest, SoloEqualsBatched) {
  const WkvShape shape = {3, 70, 3, 64, 64};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 37)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  const ScopedThreads scoped(2);
  const WkvRunResult batch = RunFloat<TypeParam>(data, d_output, d_final_state);
  for (int64_t row = 0; row < shape.batch; ++row) {
    const auto pick = [&](const Tensor& tensor) {
      return tensor.slice(0, row, row + 1).contiguous();
    };
    const WkvRunResult solo =
        RunFloat<TypeParam>(data.Row(row), pick(d_output), pick(d_final_state));
    WkvRunResult want = {{pick(batch.forward.output), pick(batch.forward.final_state), {}}, {}};
    for (const Tensor& gradient : batch.gradients) want.gradients.push_back(pick(gradient));
    this->ExpectBitwiseEqual(solo, want);
  }
}

TYPED_TEST_P(WkvTest, ThreadsDoNotMatter) {
  const WkvShape shape = {1, 70, 9, 64, 100};
  const WkvData data = WithResets(WithState(TypeParam::Make(shape, 38)));
  const Tensor d_output = this->DOutput(shape), d_final_state = this->DFinalState(shape);
  WkvRunResult want;
  {
    const ScopedThreads scoped(1);
    want = RunFloat<TypeParam>(data, d_output, d_final_state);
  }
  for (const int threads : {1, 2, 4, 7, 16}) {
    SCOPED_TRACE(threads);
    const ScopedThreads scoped(threads);
    this->ExpectBitwiseEqual(RunFloat<TypeParam>(data, d_output, d_final_state), want);
  }
}

// What a slice computes does not depend on how many there are.
TYPED_TEST_P(WkvTest, ValueColumnsAreIndependent) {
  const WkvShape shape = {1, 40, 2, 24, 96};
  const WkvData data = TypeParam::Make(shape, 39);
  const Tensor whole = TypeParam::Forward(data).output;
  for (const auto& [begin, end] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 64}, {32, 96}, {5, 9}, {31, 33}}) {
    WkvData part = data;
    Tensor& v = part.inputs[this->Index("v")];
    v = v.slice(3, begin, end).contiguous();
    part.shape.value_dim = end - begin;
    EXPECT_TRUE(BitwiseEqual(TypeParam::Forward(part).output, whole.slice(3, begin, end)));
  }
}

TYPED_TEST_P(WkvTest, NanStaysInItsHeadAndDocument) {
  const WkvShape shape = {2, 80, 3, 20, 36};
  for (const double poison :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (size_t i = 0; i < TypeParam::kNames.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << poison << " in " << this->Name(i));
      WkvData data = TypeParam::Make(shape, 40);
      data.reset = at::zeros({2, 80}, at::kBool);
      data.reset[1][60] = true;
      data.inputs[i][1][40][2][3] = poison;
      const WkvRunResult result =
          RunFloat<TypeParam>(data, this->DOutput(shape), this->DFinalState(shape));
      Tensor finite = result.forward.output.isfinite();
      if (std::isnan(poison)) {
        EXPECT_FALSE(finite[1][40][2].all().template item<bool>()) << "the token itself";
        // What one query reads leaves no trace in the state.
        if (i > 0) {
          EXPECT_FALSE(finite[1].select(1, 2).slice(0, 40, 60).any(0).all().template item<bool>());
        }
      }
      finite[1].select(1, 2).slice(0, 40, 60).fill_(true);
      EXPECT_TRUE(finite.all().template item<bool>())
          << "another head, an earlier token or the next document";
      EXPECT_TRUE(result.forward.final_state.isfinite().all().template item<bool>());
      for (size_t j = 0; j < data.inputs.size(); ++j) {
        Tensor finite_gradient = result.gradients[j].isfinite();
        finite_gradient[1].select(1, 2).slice(0, 0, 60).fill_(true);
        EXPECT_TRUE(finite_gradient.all().template item<bool>()) << "gradient of " << this->Name(j);
      }
    }
  }
}

// w = 1 and no delta term: causal linear attention.
TYPED_TEST_P(WkvTest, NoDecayIsLinearAttention) {
  WkvData data = TypeParam::Make({1, 50, 2, 16, 24}, 41);
  data.inputs[this->Index("log_w")].zero_();
  for (const char* name : {"a", "b"}) {
    if (this->Index(name) < data.inputs.size()) data.inputs[this->Index(name)].zero_();
  }
  const auto heads_first = [&](size_t i) { return data.inputs[i].to(at::kDouble).transpose(1, 2); };
  const Tensor scores =
      at::matmul(heads_first(0), heads_first(this->Index("k")).transpose(2, 3)).tril();
  const Tensor want =
      data.scale * at::matmul(scores, heads_first(this->Index("v"))).transpose(1, 2);
  EXPECT_TRUE(IsClose(TypeParam::Forward(data).output, want, 1e-6));
}

// The torch operator: autograd against the reference, for each dtype.
TYPED_TEST_P(WkvTest, OperatorGradients) {
  const WkvShape shape = {2, 37, 3, 16, 20};
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    SCOPED_TRACE(type);
    WkvData data = WithResets(WithState(TypeParam::Make(shape, 51))).To(type);
    if (type == at::kBFloat16) data.initial_state = data.initial_state.to(at::kFloat);
    const at::ScalarType out_type = type == at::kDouble ? at::kDouble : at::kFloat;
    const Tensor d_output = this->DOutput(shape).to(out_type),
                 d_final_state = this->DFinalState(shape).to(out_type);
    WkvData exact = data.To(at::kDouble);
    const WkvResult want = TypeParam::Reference(exact);
    const std::vector<Tensor> want_gradients = TypeParam::ReferenceBackward(
        exact, d_output.to(at::kDouble), d_final_state.to(at::kDouble));

    // Strides of a transposed projection, as models make them.
    for (Tensor& tensor : data.inputs) {
      tensor = tensor.transpose(1, 2).contiguous().transpose(1, 2).detach().requires_grad_(true);
    }
    data.initial_state.requires_grad_(true);
    const auto [output, final_state] = TypeParam::Operator(data);
    EXPECT_EQ(output.scalar_type(), out_type);
    EXPECT_EQ(final_state.scalar_type(), out_type);
    EXPECT_TRUE(IsClose(output, want.output, this->kForwardTolerance));
    EXPECT_TRUE(IsClose(final_state, want.final_state, this->kForwardTolerance));
    std::vector<Tensor> leaves = data.inputs;
    leaves.push_back(data.initial_state);
    const std::vector<Tensor> gradients = torch::autograd::grad(
        {output, final_state}, leaves, {d_output, d_final_state}, /*retain_graph=*/true);
    for (size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_EQ(gradients[i].scalar_type(), leaves[i].scalar_type());
      const bool rounded = leaves[i].scalar_type() == at::kBFloat16;
      EXPECT_TRUE(
          IsClose(gradients[i], want_gradients[i], rounded ? 4e-3 : this->kGradientTolerance))
          << this->Name(i);
    }

    // One result used, its gradient broadcast: the other's is zero.
    const std::vector<Tensor> of_state =
        torch::autograd::grad({final_state.sum()}, leaves, {}, /*retain_graph=*/true);
    const std::vector<Tensor> want_of_state =
        TypeParam::ReferenceBackward(exact, {}, at::ones(StateSizes(shape), at::kDouble));
    const std::vector<Tensor> of_output = torch::autograd::grad({output.sum()}, leaves);
    const std::vector<Tensor> want_of_output =
        TypeParam::ReferenceBackward(exact, at::ones(ValueSizes(shape), at::kDouble), {});
    for (size_t i = 0; i < leaves.size(); ++i) {
      const bool rounded = leaves[i].scalar_type() == at::kBFloat16;
      EXPECT_TRUE(IsClose(of_state[i], want_of_state[i], rounded ? 4e-3 : this->kGradientTolerance))
          << this->Name(i);
      EXPECT_TRUE(
          IsClose(of_output[i], want_of_output[i], rounded ? 4e-3 : this->kGradientTolerance))
          << this->Name(i);
    }
  }
}

TYPED_TEST_P(WkvTest, OperatorWithSomeInputsRequiringGradients) {
  const WkvShape shape = {1, 20, 2, 8, 12};
  const WkvData plain = TypeParam::Make(shape, 52);
  const Tensor d_output = this->DOutput(shape);
  const std::vector<Tensor> want =
      TypeParam::ReferenceBackward(plain.To(at::kDouble), d_output.to(at::kDouble), {});
  for (size_t i = 0; i < plain.inputs.size(); ++i) {
    WkvData data = plain;
    data.inputs[i] = plain.inputs[i].detach().clone().requires_grad_(true);
    const Tensor output = TypeParam::Operator(data).first;
    EXPECT_TRUE(IsClose(torch::autograd::grad({output}, {data.inputs[i]}, {d_output})[0], want[i],
                        this->kGradientTolerance))
        << this->Name(i);
    at::NoGradGuard no_grad;
    EXPECT_FALSE(TypeParam::Operator(data).first.requires_grad());
  }
  EXPECT_FALSE(TypeParam::Operator(plain).first.requires_grad());
}

TYPED_TEST_P(WkvTest, OperatorRefusesWrongArguments) {
  const WkvData good = WithResets(WithState(TypeParam::Make({2, 5, 2, 4, 6}, 53)));
  const auto message = [](const WkvData& data) -> std::string {
    try {
      TypeParam::Operator(data);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "no error";
  };
  EXPECT_EQ(message(good), "no error");
  WkvData bad = good;
  bad.inputs[this->Index("k")] = at::zeros({2, 5, 2, 5});
  EXPECT_NE(message(bad).find("k has shape [2, 5, 2, 5]"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[this->Index("v")] = at::zeros({2, 4, 2, 6});
  EXPECT_NE(message(bad).find("v has shape [2, 4, 2, 6], expected [2, 5, 2, 6]"), std::string::npos)
      << message(bad);
  bad = good;
  bad.inputs[0] = at::zeros({2, 5, 8});
  EXPECT_NE(message(bad).find("3 dimensions, expected 4"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[this->Index("v")] = at::zeros({2, 5, 12});
  EXPECT_NE(message(bad).find("v has shape [2, 5, 12]"), std::string::npos) << message(bad);
  bad = good;
  bad.initial_state = at::zeros({2, 2, 6, 4});
  EXPECT_NE(message(bad).find("initial_state has shape"), std::string::npos) << message(bad);
  bad = good;
  bad.reset = at::zeros({2, 6}, at::kBool);
  EXPECT_NE(message(bad).find("reset has shape [2, 6], expected [2, 5]"), std::string::npos)
      << message(bad);
  bad = good;
  bad.reset = at::zeros({2, 5}, at::kLong);
  EXPECT_NE(message(bad).find("expected bool or uint8"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[0] = bad.inputs[0].to(at::kDouble);
  EXPECT_NE(message(bad).find("are float64"), std::string::npos) << message(bad);
  bad = good;
  bad.inputs[0] = bad.inputs[0].to(at::kInt);
  EXPECT_NE(message(bad).find("is Int"), std::string::npos) << message(bad);
}

REGISTER_TYPED_TEST_SUITE_P(WkvTest, ReferenceGradientsMatchComplexStep, FloatMatchesReference,
                            EmptyShapes, SlowAndStrongDecay, SplitEqualsWhole, StepsEqualSequence,
                            ResetEqualsSeparateCalls, DecayToZeroForgets, Causality,
                            SoloEqualsBatched, ThreadsDoNotMatter, ValueColumnsAreIndependent,
                            NanStaysInItsHeadAndDocument, NoDecayIsLinearAttention,
                            OperatorGradients, OperatorWithSomeInputsRequiringGradients,
                            OperatorRefusesWrongArguments);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_WKV_TEST_SUITE_H_
