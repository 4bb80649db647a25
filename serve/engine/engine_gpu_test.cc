// The engine on a GPU: recorded steps against the CPU's, and texts from prompt to end. Where there is no GPU, the tests
// say so and skip.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/testing/compare.h"
#include "model/decode/decode_batch.h"
#include "model/decode/recorder.h"
#include "model/device.h"
#include "model/testing.h"
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
  DecodeBatch cpu(*on_cpu_, nullptr), gpu(*on_gpu_, RecorderFor(on_gpu_->device()));
  std::map<uint64_t, int64_t> last;
  const auto next = [&](uint64_t text) { return last.at(text); };
  for (int64_t step = 0; step < 30; ++step) {
    if (step < 9) {  // more rows than the first memory holds
      ModelState of_cpu, of_gpu;
      const Tensor ids = at::arange(1 + step, 4 + 9 * step, at::kLong).unsqueeze(0);
      on_cpu_->Forward(ids, &of_cpu);
      on_gpu_->Forward(ids, &of_gpu);
      cpu.Add(step, of_cpu);
      gpu.Add(step, of_gpu);
      last[step] = 5;
    } else if (step == 20) {
      cpu.Remove(2);
      gpu.Remove(2);
      last.erase(2);
    }
    const Tensor want = cpu.Step(next), got = gpu.Step(next);
    ASSERT_TRUE(got.is_cuda());
    ASSERT_EQ(gpu.texts(), cpu.texts());
    ASSERT_TRUE(IsClose(got.cpu(), want, 1e-4)) << "step " << step;
    for (auto& [text, id] : last) id = 1 + (id * 31 + 7) % 96;
  }
  const ModelState state = gpu.StateOf(0).To(at::kCPU);
  EXPECT_EQ(state.position.item<int64_t>(), cpu.StateOf(0).position.item<int64_t>());
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
