// Learning rates and weight decay as pure functions of how far a run has come.
//
// The formulae are those of RADLADS (src/trainer.py on_train_batch_start and src/lit.py get_lr_progress of
// Codys12/NASQAR-paper at 1b362eb). With p the fraction of the tokens after warm-up that are done:
//   progress = clamp((p - lr_wait) / (lr_endpoint - lr_wait), 0, 1)
//   linear        final + (init - final) (1 - progress)
//   exp           init (final / init)^progress
//   cos           final + (init - final) cos(pi/2 progress)      a quarter wave: it arrives steeply
//   oneminussqrt  final + (init - final) (1 - sqrt(progress))
// and during warm-up the rate is that times 0.01 + 0.99 step / warmup_steps.
#ifndef RADLADS_DISTILL_SCHEDULE_H_
#define RADLADS_DISTILL_SCHEDULE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "configs/config.pb.h"

namespace radlads {

struct Rates {
  // Everything outside the time mixers, and the time mixers (RADLADS' lr2).
  double lr = 0, lr2 = 0;
  double weight_decay = 0;
};

class Schedule {
 public:
  // `tokens_per_step` is the global batch times the context length; `total_tokens` is where the run ends.
  // INVALID_ARGUMENT for an unknown lr_decay_type, exp between rates that are not positive, or a lr_wait after
  // lr_endpoint.
  static absl::StatusOr<Schedule> Create(const TrainConfig& config, int64_t tokens_per_step, int64_t total_tokens);

  // Rates of the step that follows `steps` finished ones.
  Rates At(int64_t steps) const;

  // Steps of the whole run: the first number of steps that covers `total_tokens`.
  int64_t TotalSteps() const { return (total_tokens_ + tokens_per_step_ - 1) / tokens_per_step_; }

 private:
  enum class Decay { kLinear, kExp, kCos, kOneMinusSqrt };
  Schedule(const TrainConfig& config, int64_t tokens_per_step, int64_t total_tokens, Decay decay)
      : config_(config), tokens_per_step_(tokens_per_step), total_tokens_(total_tokens), decay_(decay) {}
  double Progress(int64_t steps) const;
  double Decayed(double init, double final_rate, double progress) const;

  TrainConfig config_;
  int64_t tokens_per_step_, total_tokens_;
  Decay decay_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_SCHEDULE_H_
