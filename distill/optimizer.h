// AdamW (Loshchilov and Hutter, arXiv 1711.05101: weight decay decoupled from the gradient) on fp32 master weights,
// in the parameter groups of RADLADS (models/qwen2.py get_optim_groups):
//   mixers  names with ".self_attn.": rate lr2, weight decay on all of them
//   decay   other weights, when weight_decay > 0 and the name has no ".bias", "norm" or "ln": rate lr, weight decay
//   plain   the rest: rate lr, no weight decay
#ifndef RADLADS_DISTILL_OPTIMIZER_H_
#define RADLADS_DISTILL_OPTIMIZER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "configs/config.pb.h"
#include "distill/schedule.h"
#include "distill/stage.h"

namespace radlads {

class AdamW {
 public:
  enum class Group { kPlain, kMixers, kDecay };
  static Group GroupOf(const std::string& name, double weight_decay);

  // beta1, beta2, adam_eps and weight_decay > 0 or not are read from `config`. Moments are allocated like the
  // parameters and start at 0.
  AdamW(const TrainConfig& config, std::vector<NamedParameter> parameters);

  // Norms are sums of squares in double over blocks of fixed size: they do not depend on the number of threads.
  struct GradientNorm {
    double norm = 0;
    // The first parameter whose gradient is not finite; empty if all are.
    std::string first_not_finite;
  };
  GradientNorm Norm() const;

  // One step with the gradients times `gradient_scale` (clipping), then drops the gradients. A parameter without a
  // gradient does not move.
  void Step(const Rates& rates, double gradient_scale);
  void DropGradients();

  // "exp_avg.<name>" and "exp_avg_sq.<name>" in the parameter's dtype, and "step" (int64).
  std::map<std::string, Tensor> State() const;
  // INVALID_ARGUMENT that lists every name that is missing, extra or misshapen; nothing is changed then.
  absl::Status LoadState(const std::map<std::string, Tensor>& state);

  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  int64_t steps() const { return steps_; }

 private:
  double beta1_, beta2_, epsilon_;
  std::vector<NamedParameter> parameters_;
  std::vector<Group> groups_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
  int64_t steps_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_OPTIMIZER_H_
