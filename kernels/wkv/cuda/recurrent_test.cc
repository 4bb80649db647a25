// The recurrent CUDA kernels, their real source, on the CPU (kernels/testing/cuda_on_cpu.h) against
// the recurrence in double.
#include "kernels/wkv/cuda/recurrent.cu"

#include "kernels/wkv/cuda/test_problem.h"

namespace radlads::cuda {
namespace {

struct RecurrentArrays {
  explicit RecurrentArrays(const Problem& p)
      : r(p.r),
        log_w(p.log_w),
        k(p.k),
        v(p.v),
        a(p.a),
        b(p.b),
        state(p.initial_state),
        reset(p.reset.size()) {
    std::copy(p.reset.begin(), p.reset.end(), reset.As<uint8_t>().begin());
    in = {.shape = p.shape,
          .r = r.data(),
          .log_w = log_w.data(),
          .k = k.data(),
          .v = v.data(),
          .a = a.data(),
          .b = b.data(),
          .scale = static_cast<float>(p.scale),
          .initial_state = state.data(),
          .reset = p.reset.empty() ? nullptr : reset.As<uint8_t>().data()};
  }
  DeviceArray<float> r, log_w, k, v, a, b, state;
  GuardedBuffer reset;
  WkvRecurrentInputs in;
};

Result RunKernels(const Problem& p) {
  const WkvShape& s = p.shape;
  const size_t delta = p.delta ? s.keys() : 0;
  const RecurrentArrays arrays(p);
  const DeviceArray<float> output(s.values()), final_state(s.states()),
      checkpoints(WkvRecurrentCheckpointSize(s)), scratch(WkvRecurrentScratchSize(s)),
      d_output(p.d_output), d_final_state(p.d_final_state);
  EXPECT_EQ(WkvRecurrentForward(arrays.in, output.data(), final_state.data(), checkpoints.data(),
                                nullptr),
            0);
  const DeviceArray<float> d_r(s.keys()), d_log_w(s.keys()), d_k(s.keys()), d_v(s.values()),
      d_a(delta), d_b(delta), d_state(s.states());
  EXPECT_EQ(WkvRecurrentBackward(arrays.in, checkpoints.data(),
                                 {.output = d_output.data(),
                                  .final_state = d_final_state.data(),
                                  .r = d_r.data(),
                                  .log_w = d_log_w.data(),
                                  .k = d_k.data(),
                                  .v = d_v.data(),
                                  .a = d_a.data(),
                                  .b = d_b.data(),
                                  .initial_state = d_state.data()},
                                 scratch.data(), nullptr),
            0);
  return {output.Get(), final_state.Get(), d_r.Get(), d_log_w.Get(), d_k.Get(),
          d_v.Get(),    d_a.Get(),         d_b.Get(), d_state.Get()};
}

void ExpectMatchesReference(const Problem& p) {
  SCOPED_TRACE(Describe(p));
  ExpectClose(RunKernels(p), p, [](const std::string& name) {
    return name == "output" || name == "final state" ? 1e-5 : 2e-5;
  });
}

TEST(WkvRecurrentCuda, MatchesReference) {
  uint64_t seed = 0;
  for (const bool delta : {true, false}) {
    for (const auto& [K, V] : std::vector<std::pair<int64_t, int64_t>>{
             {32, 32}, {64, 64}, {96, 96}, {128, 128}, {5, 7}, {1, 1}, {33, 40}, {48, 70}}) {
      for (const int64_t time : {1, 16, 17, 40}) {
        if (K * V > 2000 && time != 17) continue;
        ++seed;
        ExpectMatchesReference(
            Random({1, time, 2, K, V}, delta, seed, seed % 2 == 0, seed % 3 == 0));
      }
    }
    ExpectMatchesReference(Random({2, 33, 3, 16, 40}, delta, 100, true, true));
  }
}

TEST(WkvRecurrentCuda, OrderDoesNotMatter) {
  const Problem p = Random({2, 20, 2, 16, 40}, true, 7, true, true);
  const Result want = RunKernels(p);
  for (const ThreadOrder order : {ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    SetThreadOrder(order);
    const Result got = RunKernels(p);
    SetThreadOrder(ThreadOrder::kAscending);
    ExpectEqual(got, want);
  }
}

// split == whole, one token at a time, with the state overwritten in place as decoding does.
TEST(WkvRecurrentCuda, StepsEqualSequence) {
  const Problem p = Random({1, 20, 2, 16, 40}, true, 8, true, true);
  const Result whole = RunKernels(p);
  const DeviceArray<float> state(p.initial_state);
  Doubles outputs;
  for (int64_t t = 0; t < p.shape.time; ++t) {
    Problem step = p;
    step.shape.time = 1;
    const auto token = [&](const Doubles& x) {
      const size_t size = x.size() / p.shape.time;
      return Doubles(x.begin() + t * size, x.begin() + (t + 1) * size);
    };
    for (const auto field :
         {&Problem::r, &Problem::log_w, &Problem::k, &Problem::v, &Problem::a, &Problem::b})
      step.*field = token(p.*field);
    step.reset = {p.reset[t]};
    RecurrentArrays arrays(step);
    arrays.in.initial_state = state.data();
    const DeviceArray<float> output(step.shape.values());
    EXPECT_EQ(WkvRecurrentForward(arrays.in, output.data(), state.data(), nullptr, nullptr), 0);
    outputs = Joined(outputs, output.Get());
  }
  EXPECT_EQ(outputs, whole.output);
  EXPECT_EQ(state.Get(), whole.final_state);
}

TEST(WkvRecurrentCuda, EmptyShapes) {
  const Result none = RunKernels(Random({1, 0, 2, 8, 8}, true, 17, false, false));
  EXPECT_EQ(none.final_state, Doubles(128));
  for (const WkvShape& shape :
       {WkvShape{0, 3, 2, 4, 4}, WkvShape{2, 3, 0, 4, 4}, WkvShape{2, 3, 2, 4, 0}})
    ExpectMatchesReference(Random(shape, true, 18, false, false));
}

TEST(WkvRecurrentCuda, DecayToZeroForgetsAndNanStaysInItsHead) {
  Problem p = Random({2, 20, 2, 8, 8}, true, 19, true, false);
  const size_t token = 2 * 8;
  for (size_t i = 0; i < p.log_w.size(); ++i) {
    if (i / token % 20 == 10) p.log_w[i] = -std::numeric_limits<double>::infinity();
  }
  const Result want = RunKernels(p);
  p.v[12 * token] = kNaN;  // row 0, token 12, head 0
  const Result got = RunKernels(p);
  for (size_t i = 0; i < want.output.size(); ++i) {
    const size_t row = i / (20 * token), t = i / token % 20, head = i / 8 % 2;
    EXPECT_TRUE(std::isfinite(want.output[i]));
    if (row == 0 && head == 0 && t >= 12) continue;
    ASSERT_EQ(got.output[i], want.output[i]) << "row " << row << " token " << t << " head " << head;
  }
  EXPECT_TRUE(std::isnan(got.output[12 * token]));
}

}  // namespace
}  // namespace radlads::cuda
