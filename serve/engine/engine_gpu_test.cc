// The engine on a GPU: recorded steps against the CPU's, and texts from prompt to end. Where there is no GPU, the tests
// say so and skip.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <utility>
#include <vector>

#include "kernels/testing/compare.h"
#include "model/device.h"
#include "model/testing.h"
#include "serve/engine/decode_batch.h"
#include "serve/engine/engine.h"

namespace radlads {
namespace {

class EngineGpuTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!ChooseDevice("cuda").ok()) GTEST_SKIP() << "no GPU here: " << ChooseDevice("cuda").status();
    on_cpu_ = SmallModel(GetParam());
    on_gpu_ = SmallModel(GetParam());
    on_gpu_->to(at::kCUDA);
    for (const auto& model : {on_cpu_, on_gpu_}) model->SetForInference();
  }

  std::shared_ptr<Transformer> on_cpu_, on_gpu_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, EngineGpuTest, ::testing::ValuesIn(SmallKinds()),
                         [](const auto& info) { return info.param; });

TEST_P(EngineGpuTest, RecordedStepsMatchTheCpu) {
  const at::NoGradGuard no_grad;
  DecodeBatch cpu(*on_cpu_, /*room=*/64, nullptr), gpu(*on_gpu_, 64, RecorderFor(on_gpu_->device()));
  std::vector<int64_t> last;
  for (int64_t step = 0; step < 30; ++step) {
    if (step < 9) {  // more rows than the first memory holds
      ModelState of_cpu, of_gpu;
      const Tensor ids = at::arange(1 + step, 4 + 3 * step, at::kLong).unsqueeze(0);
      on_cpu_->Forward(ids, &of_cpu);
      on_gpu_->Forward(ids, &of_gpu);
      cpu.rows().Add(of_cpu);
      gpu.rows().Add(of_gpu);
      last.push_back(5);
    } else if (step == 20) {
      cpu.rows().Remove(2);
      gpu.rows().Remove(2);
      last.pop_back();
    }
    const Tensor want = cpu.Step(last), got = gpu.Step(last);
    ASSERT_TRUE(got.is_cuda());
    ASSERT_TRUE(IsClose(got.cpu(), want, 1e-4)) << "step " << step;
    for (int64_t& id : last) id = 1 + (id * 31 + 7) % 96;
  }
  const ModelState state = gpu.rows().Copy(0).To(at::kCPU);
  EXPECT_EQ(state.position.item<int64_t>(), cpu.rows().Copy(0).position.item<int64_t>());
}

TEST_P(EngineGpuTest, TextsGoOnFromTheirSnapshots) {
  auto engine = Engine::Create(*on_gpu_, {.prompt_tokens = 7});
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto run = [&](EngineRequest request, std::vector<int64_t>* tokens) {
    std::promise<EngineResult> end;
    request.on_token = [&](int64_t id, const Tensor& logits) {
      EXPECT_TRUE(logits.is_cpu());
      tokens->push_back(id);
      return true;
    };
    request.on_done = [&](EngineResult result) { end.set_value(std::move(result)); };
    EXPECT_TRUE((*engine)->Submit(std::move(request)).ok());
    return end.get_future().get();
  };
  std::vector<int64_t> begun, rest;
  const EngineResult first = run({.prompt = {5, 6, 7, 8, 9, 10, 11, 12, 13}, .max_tokens = 80}, &begun);
  ASSERT_EQ(first.finish, FinishReason::kLength) << first.status;
  EXPECT_EQ(begun.size(), 80u);
  EXPECT_TRUE(first.snapshot->state.position.is_cpu());
  EXPECT_EQ(first.snapshot->tokens, 9 + 80 - 1);
  const EngineResult second = run({.from = first.snapshot, .max_tokens = 20}, &rest);
  ASSERT_EQ(second.finish, FinishReason::kLength) << second.status;
  EXPECT_EQ(second.snapshot->tokens, 9 + 100 - 1);
}

}  // namespace
}  // namespace radlads
