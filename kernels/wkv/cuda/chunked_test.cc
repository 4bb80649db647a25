// The chunked CUDA kernels, their real source, on the CPU (kernels/testing/cuda_on_cpu.h) against
// the recurrence in double. Tolerances are those of bf16 operands with fp32 sums.
#include "kernels/wkv/cuda/chunked.cu"

#include "kernels/wkv/chunked_reference.h"
#include "kernels/wkv/cuda/test_problem.h"

namespace radlads::cuda {
namespace {

Result RunKernels(const Problem& p) {
  const WkvShape& s = p.shape;
  const size_t delta = p.delta ? s.keys() : 0, updates = p.delta ? s.values() : 0;
  const size_t checkpoints = s.states() * WkvChunks(s.time);
  const DeviceArray<Bf16> r(p.r), k(p.k), v(p.v), a(p.a), b(p.b), d_output(p.d_output);
  const DeviceArray<float> log_w(p.log_w), initial_state(p.initial_state),
      d_final_state(p.d_final_state);
  const GuardedBuffer reset(p.reset.size());
  std::copy(p.reset.begin(), p.reset.end(), reset.As<uint8_t>().begin());
  const WkvChunkedInputs in = {.shape = s,
                               .r = r.data(),
                               .k = k.data(),
                               .v = v.data(),
                               .a = a.data(),
                               .b = b.data(),
                               .log_w = log_w.data(),
                               .scale = static_cast<float>(p.scale),
                               .initial_state = initial_state.data(),
                               .reset = p.reset.empty() ? nullptr : reset.As<uint8_t>().data()};
  const DeviceArray<Bf16> output(s.values()), states(checkpoints), u(updates);
  const DeviceArray<float> final_state(s.states());
  EXPECT_EQ(
      WkvChunkedForward(in, output.data(), final_state.data(), {states.data(), u.data()}, nullptr),
      0);

  const DeviceArray<Bf16> d_states(checkpoints), y(updates), d_r(s.keys()), d_k(s.keys()),
      d_v(s.values()), d_a(delta), d_b(delta);
  const DeviceArray<float> d_log_w(s.keys()), d_initial_state(s.states());
  EXPECT_EQ(WkvChunkedBackward(in, {states.data(), u.data()},
                               {.output = d_output.data(),
                                .final_state = d_final_state.data(),
                                .d_states = d_states.data(),
                                .y = y.data(),
                                .r = d_r.data(),
                                .k = d_k.data(),
                                .v = d_v.data(),
                                .a = d_a.data(),
                                .b = d_b.data(),
                                .log_w = d_log_w.data(),
                                .initial_state = d_initial_state.data()},
                               nullptr),
            0);
  return {output.Get(), final_state.Get(), d_r.Get(), d_log_w.Get(),        d_k.Get(),
          d_v.Get(),    d_a.Get(),         d_b.Get(), d_initial_state.Get()};
}

// kernels.md's table for bf16 matrix instructions: outputs and states, r k v, a b, log_w.
double Tolerance(const std::string& name) {
  if (name == "output" || name == "final state") return 5e-3;
  if (name == "gradient of log_w") return 2.5e-2;
  if (name == "gradient of a" || name == "gradient of b") return 1e-2;
  return 6e-3;
}

void ExpectMatchesReference(const Problem& p, double slack = 1) {
  SCOPED_TRACE(Describe(p));
  ExpectClose(RunKernels(p), p, [&](const std::string& name) { return slack * Tolerance(name); });
}

Result RunChunkedReference(const Problem& p, int64_t chunk, const Rounding& round) {
  Result x = EmptyResult(p);
  WkvChunkedReference(p.shape, p.Inputs(), chunk, round, {x.output, x.final_state},
                      {p.d_output, p.d_final_state},
                      {x.d_r, x.d_log_w, x.d_k, x.d_v, x.d_a, x.d_b, x.d_initial_state});
  return x;
}

// The formulas: without rounding the chunked form is the recurrence, whatever the size of a chunk.
TEST(WkvChunkedReference, WithoutRoundingEqualsRecurrence) {
  const Rounding exact = [](double x) { return x; };
  for (const bool delta : {true, false}) {
    const Problem p = Random({1, 70, 2, 6, 10}, delta, 1, true, true);
    for (const int64_t chunk : {2, 4, 16, 32, 64}) {
      SCOPED_TRACE(chunk);
      ExpectClose(RunChunkedReference(p, chunk, exact), p,
                  [](const std::string&) { return 1e-10; });
    }
  }
}

// The kernels do what the formulas with their roundings say; a wrong index would show here where
// the tolerance of bf16 hides it.
TEST(WkvChunkedCuda, MatchesChunkedFormRoundingForRounding) {
  for (const bool delta : {true, false}) {
    for (const int64_t time : {20, 75}) {
      const Problem p = Random({1, time, 1, 64, 64}, delta, 20 + time, true, time == 75);
      SCOPED_TRACE(Describe(p));
      const Result want = RunChunkedReference(p, kWkvChunkTokens, Rounded), got = RunKernels(p);
      for (const auto& [name, field] : Result::Fields())
        EXPECT_TRUE(IsClose(std::span<const double>(got.*field), want.*field, 1e-3)) << name;
    }
  }
}

TEST(WkvChunkedCuda, MatchesReference) {
  uint64_t seed = 0;
  for (const bool delta : {true, false}) {
    for (const int64_t time : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127}) {
      ++seed;
      ExpectMatchesReference(
          Random({1, time, 2, 64, 64}, delta, seed, seed % 2 == 0, seed % 3 == 0));
    }
    for (const int64_t time : {1, 33, 70}) {
      ++seed;
      ExpectMatchesReference(
          Random({1, time, 2, 128, 128}, delta, seed, seed % 2 == 0, seed % 2 == 1));
    }
    ExpectMatchesReference(Random({2, 40, 3, 64, 64}, delta, 100, true, true));
    ExpectMatchesReference(Random({1, 512, 1, 64, 64}, delta, 101, false, false));
  }
}

// Blocks and threads in another order than their numbers, with the checks for races on: the same
// bits.
TEST(WkvChunkedCuda, OrderDoesNotMatter) {
  const Problem p = Random({2, 45, 2, 64, 64}, true, 7, true, true);
  const Result want = RunKernels(p);
  for (const ThreadOrder order : {ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    SetThreadOrder(order);
    const Result got = RunKernels(p);
    SetThreadOrder(ThreadOrder::kAscending);
    ExpectEqual(got, want);
  }
}

// solo == batched, and heads do not mix.
TEST(WkvChunkedCuda, SoloEqualsBatched) {
  const Problem p = Random({2, 40, 1, 64, 64}, true, 8, true, false);
  const Result batched = RunKernels(p);
  for (int64_t row = 0; row < 2; ++row) {
    Problem solo = p;
    solo.shape.batch = 1;
    const auto half = [&](const Doubles& x) {
      return Doubles(x.begin() + row * x.size() / 2, x.begin() + (row + 1) * x.size() / 2);
    };
    for (const auto field :
         {&Problem::r, &Problem::log_w, &Problem::k, &Problem::v, &Problem::a, &Problem::b,
          &Problem::initial_state, &Problem::d_output, &Problem::d_final_state}) {
      solo.*field = half(p.*field);
    }
    Result want;
    for (const auto& [name, field] : Result::Fields()) want.*field = half(batched.*field);
    ExpectEqual(RunKernels(solo), want);
  }
}

// split == whole: bit for bit where the cut falls between chunks, within the tolerance elsewhere.
TEST(WkvChunkedCuda, SplitEqualsWhole) {
  const Problem p = Random({1, 96, 2, 64, 64}, true, 9, true, true);
  const Result whole = RunKernels(p);
  for (const int64_t cut : {1, 32, 50, 64, 95}) {
    SCOPED_TRACE(cut);
    const Result first = RunKernels(Piece(p, 0, cut, p.initial_state, p.d_final_state));
    const Result second = RunKernels(Piece(p, cut, 96, first.final_state, p.d_final_state));
    const Result back = RunKernels(Piece(p, 0, cut, p.initial_state, second.d_initial_state));
    const bool exact = cut % kWkvChunkTokens == 0;
    const auto expect = [&](const Doubles& got, const Doubles& want, const std::string& name) {
      if (exact) {
        EXPECT_EQ(got, want) << name;
      } else {
        EXPECT_TRUE(IsClose(std::span<const double>(got), want, Tolerance(name))) << name;
      }
    };
    expect(Joined(first.output, second.output), whole.output, "output");
    expect(second.final_state, whole.final_state, "final state");
    expect(Joined(back.d_r, second.d_r), whole.d_r, "gradient of r");
    expect(Joined(back.d_v, second.d_v), whole.d_v, "gradient of v");
    expect(Joined(back.d_b, second.d_b), whole.d_b, "gradient of b");
    expect(Joined(back.d_log_w, second.d_log_w), whole.d_log_w, "gradient of log_w");
    expect(back.d_initial_state, whole.d_initial_state, "gradient of the initial state");
  }
}

// packed == alone: what is before a reset does not reach what is after it, not even as a gradient.
TEST(WkvChunkedCuda, ResetForgets) {
  for (const int64_t cut : {0, 1, 20, 31, 32, 33, 69}) {
    SCOPED_TRACE(cut);
    Problem p = Random({1, 70, 1, 64, 64}, true, 10, true, false);
    p.reset.assign(70, 0);
    p.reset[cut] = 1;
    ExpectMatchesReference(p);
    const Result want = RunKernels(p);
    Problem other = p;
    for (int64_t i = 0; i < cut * 64; ++i) other.k[i] = other.b[i] = other.v[i] = 1;
    for (double& x : other.initial_state) x = 3;
    const Result got = RunKernels(other);
    for (size_t i = cut * 64; i < got.output.size(); ++i) {
      ASSERT_EQ(got.output[i], want.output[i]) << i;
      ASSERT_EQ(got.d_k[i], want.d_k[i]) << i;
      ASSERT_EQ(got.d_log_w[i], want.d_log_w[i]) << i;
    }
    EXPECT_EQ(got.final_state, want.final_state);
    if (cut == 0) {
      EXPECT_EQ(got.d_initial_state, Doubles(got.d_initial_state.size()));
    }
  }
}

TEST(WkvChunkedCuda, Causality) {
  const Problem p = Random({1, 70, 1, 64, 64}, true, 11, true, false);
  const Result want = RunKernels(p);
  for (const int64_t t : {5, 31, 32, 60}) {
    Problem other = p;
    for (int64_t i = t * 64; i < (t + 1) * 64; ++i)
      other.r[i] = other.k[i] = other.v[i] = other.a[i] = other.b[i] = 0.5;
    const Result got = RunKernels(other);
    for (int64_t i = 0; i < t * 64; ++i) ASSERT_EQ(got.output[i], want.output[i]) << i;

    // Gradients come from later outputs only.
    other = p;
    for (size_t i = t * 64; i < p.d_output.size(); ++i) other.d_output[i] = 0;
    std::fill(other.d_final_state.begin(), other.d_final_state.end(), 0);
    const Result back = RunKernels(other);
    for (size_t i = t * 64; i < p.d_output.size(); ++i) {
      ASSERT_EQ(back.d_k[i], 0) << i;
      ASSERT_EQ(back.d_v[i], 0) << i;
      ASSERT_EQ(back.d_r[i], 0) << i;
    }
  }
}

TEST(WkvChunkedCuda, ExtremeDecay) {
  for (const bool delta : {true, false}) {
    for (const double log_w : {0.0, -1e-4, -0.6065, -5.0}) {
      Problem p = Random({1, 100, 1, 64, 64}, delta, 12, true, false);
      std::fill(p.log_w.begin(), p.log_w.end(), static_cast<float>(log_w));
      SCOPED_TRACE(log_w);
      ExpectMatchesReference(p, log_w == -5 ? 2 : 1);
    }
    Problem p = Random({1, 100, 1, 64, 64}, delta, 13, true, false);
    for (size_t i = 0; i < p.log_w.size(); ++i) p.log_w[i] = i / 64 % 2 == 0 ? -5 : 0;
    ExpectMatchesReference(p, 2);
    p.log_w[64 * 50] = -80;
    const Result got = RunKernels(p);
    for (const auto& [name, field] : Result::Fields()) {
      for (const double x : got.*field) ASSERT_TRUE(std::isfinite(x)) << name;
    }
  }
}

// Repeated keys with a rate near 1: hard on any method that inverts I - ab.
TEST(WkvChunkedCuda, RepeatedKeys) {
  Problem p = Random({1, 128, 1, 64, 64}, true, 14, false, false);
  for (size_t i = 0; i < p.a.size(); ++i) {
    p.a[i] = p.a[i % 64];
    p.b[i] = Rounded(-0.99 * p.a[i]);
    p.k[i] = -p.a[i];
    p.log_w[i] = -1e-3f;
  }
  ExpectMatchesReference(p, 20);
}

// NaN stays in its row and head, and does not reach earlier chunks.
TEST(WkvChunkedCuda, NanStaysInItsHead) {
  const Problem p = Random({2, 70, 2, 64, 64}, true, 15, true, false);
  const Result want = RunKernels(p);
  for (const auto field :
       {&Problem::r, &Problem::k, &Problem::v, &Problem::a, &Problem::b, &Problem::log_w}) {
    Problem bad = p;
    const int64_t token = 40, head = 1;
    (bad.*field)[(token * 2 + head) * 64 + 3] = kNaN;  // row 0
    const Result got = RunKernels(bad);
    bool seen = false;
    for (int64_t i = 0; i < static_cast<int64_t>(want.output.size()); ++i) {
      const int64_t row = i / (70 * 2 * 64), t = i / (2 * 64) % 70, h = i / 64 % 2;
      if (row == 0 && h == head && t >= 32) {
        seen |= t >= token && std::isnan(got.output[i]);
        continue;
      }
      ASSERT_EQ(got.output[i], want.output[i]) << "row " << row << " token " << t << " head " << h;
      if (row == 1 || h != head) {
        ASSERT_EQ(got.d_k[i], want.d_k[i]);
        ASSERT_EQ(got.d_log_w[i], want.d_log_w[i]);
      }
    }
    EXPECT_TRUE(seen) << "a NaN disappeared";
  }
}

TEST(WkvChunkedCuda, AbsentGradientsAreZero) {
  Problem p = Random({1, 40, 1, 64, 64}, true, 16, false, false);
  const Doubles zero_output(p.d_output.size()), zero_state(p.d_final_state.size());
  Problem zeros = p;
  zeros.d_output = zero_output;
  p.d_output.clear();
  ExpectEqual(RunKernels(p), RunKernels(zeros));
  zeros.d_final_state = zero_state;
  p.d_final_state.clear();
  ExpectEqual(RunKernels(p), RunKernels(zeros));
}

TEST(WkvChunkedCuda, EmptyShapes) {
  const Problem p = Random({1, 0, 2, 64, 64}, true, 17, true, false);
  const Result got = RunKernels(p);
  EXPECT_EQ(got.final_state, p.initial_state);
  EXPECT_EQ(got.d_initial_state, p.d_final_state);
  RunKernels(Random({0, 5, 2, 64, 64}, true, 18, false, false));
}

}  // namespace
}  // namespace radlads::cuda
