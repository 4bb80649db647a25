#include "distill/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/status.h"

namespace radlads {
namespace {

double Lr2Init(const TrainConfig& config) {
  return config.lr2_init() < 0 ? config.lr_init() : config.lr2_init();
}
double Lr2Final(const TrainConfig& config) {
  return config.lr2_final() < 0 ? config.lr_final() : config.lr2_final();
}
// RADLADS' default of -1 stands for "no warm-up".
int64_t WarmupSteps(const TrainConfig& config) {
  return std::max<int64_t>(0, config.warmup_steps());
}

}  // namespace

absl::StatusOr<Schedule> Schedule::Create(const TrainConfig& config, int64_t tokens_per_step, int64_t total_tokens) {
  if (tokens_per_step <= 0 || total_tokens <= 0) {
    return InvalidArgument("a run needs tokens: got ", total_tokens, " in all and ", tokens_per_step, " per step");
  }
  const std::string& type = config.lr_decay_type();
  Decay decay;
  if (type == "linear") {
    decay = Decay::kLinear;
  } else if (type == "exp") {
    decay = Decay::kExp;
  } else if (type == "cos") {
    decay = Decay::kCos;
  } else if (type == "oneminussqrt") {
    decay = Decay::kOneMinusSqrt;
  } else {
    return InvalidArgument("train.lr_decay_type is '", type, "', expected linear, exp, cos or oneminussqrt");
  }
  if (decay == Decay::kExp && std::min({config.lr_init(), config.lr_final(), Lr2Init(config), Lr2Final(config)}) <= 0) {
    return InvalidArgument("train.lr_decay_type exp needs rates above 0: lr ", config.lr_init(), " to ",
                           config.lr_final(), ", lr2 ", Lr2Init(config), " to ", Lr2Final(config));
  }
  if (config.lr_wait() > config.lr_endpoint()) {
    return InvalidArgument("train.lr_wait ", config.lr_wait(), " is after train.lr_endpoint ", config.lr_endpoint());
  }
  return Schedule(config, tokens_per_step, total_tokens, decay);
}

double Schedule::Progress(int64_t steps) const {
  const double warmup_tokens = static_cast<double>(WarmupSteps(config_) * tokens_per_step_);
  const double decay_tokens = static_cast<double>(total_tokens_) - warmup_tokens;
  if (decay_tokens <= 0) return 0;  // the run ends within its warm-up
  const double done =
      std::clamp((static_cast<double>(steps * tokens_per_step_) - warmup_tokens) / decay_tokens, 0.0, 1.0);
  const double span = config_.lr_endpoint() - config_.lr_wait();
  if (span <= 0) return done >= config_.lr_endpoint() ? 1 : 0;
  return std::clamp((done - config_.lr_wait()) / span, 0.0, 1.0);
}

double Schedule::Decayed(double init, double final_rate, double progress) const {
  switch (decay_) {
    case Decay::kExp:
      return init * std::exp(std::log(final_rate / init) * progress);
    case Decay::kLinear:
      return final_rate + (init - final_rate) * (1 - progress);
    case Decay::kCos:
      return final_rate + (init - final_rate) * std::cos(std::numbers::pi / 2 * progress);
    case Decay::kOneMinusSqrt:
      return final_rate + (init - final_rate) * (1 - std::sqrt(progress));
  }
  return init;
}

Rates Schedule::At(int64_t steps) const {
  const double progress = Progress(steps);
  Rates rates;
  rates.lr = Decayed(config_.lr_init(), config_.lr_final(), progress);
  rates.lr2 = Decayed(Lr2Init(config_), Lr2Final(config_), progress);
  const int64_t warmup = WarmupSteps(config_);
  if (steps < warmup) {
    const double rise = 0.01 + 0.99 * static_cast<double>(steps) / static_cast<double>(warmup);
    rates.lr *= rise;
    rates.lr2 *= rise;
  }
  rates.weight_decay = config_.weight_decay();
  if (config_.weight_decay() > 0 && config_.weight_decay_final() > 0) {
    rates.weight_decay *= std::exp(std::log(config_.weight_decay_final() / config_.weight_decay()) * progress);
  }
  return rates;
}

}  // namespace radlads
