// Expected values were computed by hand from the formulae of RADLADS (see schedule.h).
#include "distill/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace radlads {
namespace {

TrainConfig Recipe(const char* type) {
  TrainConfig config;
  config.set_lr_decay_type(type);
  config.set_lr_init(1e-3);
  config.set_lr_final(1e-5);
  config.set_warmup_steps(0);
  return config;
}

// 100 steps of 1000 tokens.
Schedule Hundred(const TrainConfig& config) {
  auto schedule = Schedule::Create(config, 1000, 100'000);
  EXPECT_TRUE(schedule.ok()) << schedule.status();
  return *schedule;
}

TEST(ScheduleTest, EveryCurveBeginsAtInitAndEndsAtFinal) {
  for (const char* type : {"linear", "exp", "cos", "oneminussqrt"}) {
    const Schedule schedule = Hundred(Recipe(type));
    EXPECT_DOUBLE_EQ(schedule.At(0).lr, 1e-3) << type;
    EXPECT_NEAR(schedule.At(100).lr, 1e-5, 1e-18) << type;
    EXPECT_NEAR(schedule.At(1000).lr, 1e-5, 1e-18) << type;
  }
}

TEST(ScheduleTest, AQuarterOfTheWay) {
  EXPECT_NEAR(Hundred(Recipe("linear")).At(25).lr, 7.525e-4, 1e-12);       // 1e-5 + 9.9e-4 * 0.75
  EXPECT_NEAR(Hundred(Recipe("exp")).At(25).lr, 3.16227766017e-4, 1e-14);  // 1e-3 * 100^-0.25
  EXPECT_NEAR(Hundred(Recipe("cos")).At(25).lr, 9.24640737147e-4, 1e-13);  // 1e-5 + 9.9e-4 * cos(pi/8)
  EXPECT_NEAR(Hundred(Recipe("oneminussqrt")).At(25).lr, 5.05e-4, 1e-12);  // 1e-5 + 9.9e-4 * 0.5
}

TEST(ScheduleTest, CosIsAQuarterWave) {
  // A half wave would be at 5.05e-4 here.
  EXPECT_NEAR(Hundred(Recipe("cos")).At(50).lr, 7.10035713376e-4, 1e-13);  // 1e-5 + 9.9e-4 * cos(pi/4)
}

TEST(ScheduleTest, WaitsAndArrivesEarly) {
  TrainConfig config = Recipe("linear");
  config.set_lr_wait(0.2);
  config.set_lr_endpoint(0.6);
  const Schedule schedule = Hundred(config);
  EXPECT_DOUBLE_EQ(schedule.At(20).lr, 1e-3);
  EXPECT_NEAR(schedule.At(40).lr, 5.05e-4, 1e-12);
  EXPECT_NEAR(schedule.At(60).lr, 1e-5, 1e-15);
  EXPECT_NEAR(schedule.At(80).lr, 1e-5, 1e-15);
}

TEST(ScheduleTest, PublishedStageTwoIsConstant) {
  TrainConfig config = Recipe("cos");  // distill2.yaml
  config.set_lr_wait(0.833);
  config.set_lr_endpoint(0.875);
  config.set_lr_init(1e-5);
  for (int step : {0, 50, 84, 85, 86, 99}) EXPECT_DOUBLE_EQ(Hundred(config).At(step).lr, 1e-5);
}

TEST(ScheduleTest, WarmUpRisesFromOneHundredthAndDelaysTheDecay) {
  TrainConfig config = Recipe("linear");
  config.set_warmup_steps(20);
  const Schedule schedule = Hundred(config);
  EXPECT_NEAR(schedule.At(0).lr, 1e-5, 1e-18);
  EXPECT_NEAR(schedule.At(10).lr, 1e-3 * 0.505, 1e-15);
  EXPECT_DOUBLE_EQ(schedule.At(20).lr, 1e-3);
  EXPECT_NEAR(schedule.At(60).lr, 5.05e-4, 1e-12);  // (60 - 20) / (100 - 20) = 0.5
}

TEST(ScheduleTest, MixersHaveTheirOwnRate) {
  TrainConfig config = Recipe("linear");
  EXPECT_DOUBLE_EQ(Hundred(config).At(30).lr2, Hundred(config).At(30).lr);
  config.set_lr2_init(4e-3);
  EXPECT_NEAR(Hundred(config).At(50).lr2, 0.5 * (4e-3 + 1e-5), 1e-12);
  config.set_lr2_final(2e-3);
  EXPECT_NEAR(Hundred(config).At(50).lr2, 3e-3, 1e-12);
  EXPECT_NEAR(Hundred(config).At(50).lr, 5.05e-4, 1e-12);
}

TEST(ScheduleTest, WeightDecayFallsExponentially) {
  TrainConfig config = Recipe("cos");
  config.set_weight_decay(0.1);
  EXPECT_DOUBLE_EQ(Hundred(config).At(50).weight_decay, 0.1);
  config.set_weight_decay_final(0.001);
  EXPECT_NEAR(Hundred(config).At(50).weight_decay, 0.01, 1e-15);  // 0.1 * 100^-0.5
  EXPECT_NEAR(Hundred(config).At(100).weight_decay, 0.001, 1e-15);
}

TEST(ScheduleTest, TotalStepsCoverTheTokens) {
  EXPECT_EQ(Schedule::Create(Recipe("cos"), 1000, 100'001)->TotalSteps(), 101);
  EXPECT_EQ(Hundred(Recipe("cos")).TotalSteps(), 100);
}

TEST(ScheduleTest, RefusesWhatMakesNoSense) {
  EXPECT_THAT(std::string(Schedule::Create(Recipe("cosine"), 1, 1).status().message()),
              testing::AllOf(testing::HasSubstr("'cosine'"), testing::HasSubstr("oneminussqrt")));
  TrainConfig zero = Recipe("exp");
  zero.set_lr_final(0);
  EXPECT_FALSE(Schedule::Create(zero, 1, 1).ok());
  TrainConfig crossed = Recipe("cos");
  crossed.set_lr_wait(0.9);
  crossed.set_lr_endpoint(0.8);
  EXPECT_FALSE(Schedule::Create(crossed, 1, 1).ok());
  EXPECT_FALSE(Schedule::Create(Recipe("cos"), 0, 1).ok());
}

}  // namespace
}  // namespace radlads
