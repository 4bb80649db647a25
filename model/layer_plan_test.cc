#include "model/layer_plan.h"

#include <gtest/gtest.h>

namespace radlads {
namespace {

ModelConfig Config(int64_t layers, double ratio, int64_t preserved, const std::string& tmix2) {
  ModelConfig config;
  config.set_tmix("rad_rwkv7");
  config.set_tmix2(tmix2);
  config.set_n_layer(layers);
  config.set_inv_other_layer_ratio(ratio);
  config.set_preserve_last_n_layers(preserved);
  return config;
}

// One letter a layer: 7 for rad_rwkv7, 6 for rad_rwkv6, s for softmax of any kind.
std::string Letters(const ModelConfig& config) {
  auto plan = PlanLayers(config);
  if (!plan.ok()) return std::string(plan.status().message());
  std::string letters;
  for (const LayerPlan& layer : *plan) {
    letters += layer.time_mixer == "rad_rwkv7" ? '7' : layer.time_mixer == "rad_rwkv6" ? '6' : 's';
  }
  return letters;
}

TEST(LayerPlanTest, FollowsRadlads) {
  EXPECT_EQ(Letters(Config(6, 1, 0, "")), "777777");
  EXPECT_EQ(Letters(Config(6, 1, 0, "qwen2")), "777777");
  EXPECT_EQ(Letters(Config(6, 1, 2, "")), "7777ss");
  EXPECT_EQ(Letters(Config(6, 3, 0, "rad_rwkv6")), "777766");
  EXPECT_EQ(Letters(Config(6, 2, 1, "rad_rwkv6")), "77666s");
  EXPECT_EQ(Letters(Config(6, 3, 0, "qwen2")), "7777ss");
}

TEST(LayerPlanTest, NamesWhatIsWrong) {
  EXPECT_NE(Letters(Config(6, 3, 0, "")).find("tmix2"), std::string::npos);
  EXPECT_NE(Letters(Config(6, 3, 0, "mamba9")).find("'mamba9'"), std::string::npos);
  EXPECT_NE(Letters(Config(6, 1, 7, "")).find("preserve_last_n_layers is 7"), std::string::npos);
}

TEST(LayerPlanTest, OnlyTheFirstOfAKindIsFirst) {
  auto plan = PlanLayers(Config(4, 2, 0, "rad_rwkv6"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE((*plan)[0].first_of_kind);
  EXPECT_FALSE((*plan)[1].first_of_kind);
  EXPECT_TRUE((*plan)[2].first_of_kind);
  EXPECT_FALSE((*plan)[3].first_of_kind);
}

// Ranks of the published models (kernels of RADLADS round halves to even).
TEST(ModelSizesTest, LowRanksByWidth) {
  struct Row { int64_t width, decay, value, gate; };
  for (const Row& row : {Row{576, 32, 32, 96}, Row{896, 64, 32, 128}, Row{1536, 64, 64, 224}, Row{2048, 96, 64, 256},
                         Row{3584, 96, 64, 416}, Row{5120, 128, 96, 544}, Row{8192, 160, 128, 800}}) {
    ModelConfig config;
    config.set_tmix("rad_rwkv7");
    config.set_n_layer(1);
    config.set_vocab_size(10);
    config.set_n_embd(row.width);
    auto sizes = ResolveSizes(config);
    ASSERT_TRUE(sizes.ok()) << sizes.status();
    EXPECT_EQ(sizes->rank_decay, row.decay) << row.width;
    EXPECT_EQ(sizes->rank_tokenshift, row.decay) << row.width;
    EXPECT_EQ(sizes->rank_iclr, row.decay) << row.width;
    EXPECT_EQ(sizes->rank_value, row.value) << row.width;
    EXPECT_EQ(sizes->rank_gate, row.gate) << row.width;
  }
}

TEST(ModelSizesTest, HeadsThatDoNotDivide) {
  ModelConfig config;
  config.set_tmix("qwen2");
  config.set_n_layer(1);
  config.set_vocab_size(10);
  config.set_n_embd(100);
  config.set_head_size(64);
  auto sizes = ResolveSizes(config);
  ASSERT_FALSE(sizes.ok());
  EXPECT_NE(std::string(sizes.status().message()).find("not a multiple of model.head_size 64"), std::string::npos) << sizes.status();
}

}  // namespace
}  // namespace radlads
