// A real model, against transformers in fp32: SmolLM2-135M-Instruct from its GGUF file (tools/fetch_teacher.sh). Logits
// are those of the operations on tensors, texts those of the pass for inference.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {
namespace {

constexpr char kModel[] = "external/smollm2/SmolLM2-135M-Instruct.gguf";
// What transformers' own fp32 run is uncertain by, with a margin.
constexpr double kLogitTolerance = 2e-3, kLogProbabilityTolerance = 1e-3;

class SmolLm2Test : public testing::Test {
 protected:
  void SetUp() override {
    if (!FileExists(kModel)) GTEST_SKIP() << "the teacher is not here: run tools/fetch_teacher.sh, then `bazel sync --only=smollm2`";
    auto text = ReadFile(TestData("smollm2/golden.json"));
    ASSERT_TRUE(text.ok()) << text.status();
    golden_ = nlohmann::json::parse(*text);
    auto loaded = LoadTransformer(kModel);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = *loaded;
  }
  static at::Tensor Ids(const nlohmann::json& prompt) {
    return torch::tensor(prompt["ids"].get<std::vector<int64_t>>(), torch::kLong).unsqueeze(0);
  }
  std::shared_ptr<Transformer> model_;
  nlohmann::json golden_;
  torch::NoGradGuard no_grad_;
};

TEST_F(SmolLm2Test, LogitsAndLogProbabilities) {
  for (const auto& prompt : golden_["prompts"]) {
    SCOPED_TRACE(prompt["name"].get<std::string>());
    const at::Tensor ids = Ids(prompt);
    const at::Tensor logits = model_->Logits(model_->Forward(ids))[0];
    const at::Tensor last = logits[-1];
    for (size_t i = 0; i < prompt["last_top20_ids"].size(); ++i) {
      EXPECT_NEAR(last[prompt["last_top20_ids"][i].get<int64_t>()].item<double>(), prompt["last_top20_logits"][i].get<double>(),
                  kLogitTolerance);
    }
    EXPECT_NEAR(last.logsumexp(0).item<double>(), prompt["last_logsumexp"].get<double>(), kLogitTolerance);
    const at::Tensor log_probabilities = at::log_softmax(logits, -1);
    for (int64_t t = 1; t < ids.size(1); ++t) {
      EXPECT_NEAR(log_probabilities[t - 1][ids[0][t].item<int64_t>()].item<double>(), prompt["token_logprobs"][t].get<double>(),
                  kLogProbabilityTolerance)
          << "token " << t;
    }
  }
}

TEST_F(SmolLm2Test, GreedyTextWithCarriedState) {
  model_->SetForInference();
  for (const auto& prompt : golden_["prompts"]) {
    SCOPED_TRACE(prompt["name"].get<std::string>());
    // Where two words are as good as equal, an implementation may differ legitimately.
    if (prompt["greedy24_min_top2_gap"].get<double>() < 2 * kLogitTolerance) continue;
    ModelState state;
    at::Tensor next = Ids(prompt);
    std::vector<int64_t> greedy;
    const auto want = prompt["greedy24_ids"].get<std::vector<int64_t>>();  // ends early at the end of the text
    while (greedy.size() < want.size()) {
      const at::Tensor hidden = model_->Forward(next, &state);
      next = model_->Logits(hidden.select(1, hidden.size(1) - 1)).argmax(-1).view({1, 1});
      greedy.push_back(next.item<int64_t>());
    }
    EXPECT_EQ(greedy, want);
  }
}

}  // namespace
}  // namespace radlads
