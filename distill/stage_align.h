// Stage 1 of RADLADS: every student mixer learns to give what the teacher's attention gives on the same input.
//
// The residual stream is the teacher's all the way; layer by layer, attention and mixer read the same normed input and
// the loss is the mean over layers of L2Distance (kernels/l2_distance). A layer's graph is walked backward
// and freed before the next layer runs, so activations of one layer are alive at a time. What layers share (the
// value of the first RAD-RWKV7 layer, MixContext::v_first) is cut into a leaf for each reader; the gradients are summed
// in fp32 and sent through the first layer's graph last. The result equals one backward pass over the whole.
#ifndef RADLADS_DISTILL_STAGE_ALIGN_H_
#define RADLADS_DISTILL_STAGE_ALIGN_H_

#include "distill/stage.h"

namespace radlads {

class AlignStage : public Stage {
 public:
  static absl::StatusOr<std::unique_ptr<Stage>> Create(Transformer& student, Transformer& teacher);

  std::string name() const override { return "align"; }
  std::string description() const override;
  // The mixers of all layers that are not softmax attention in the student.
  std::vector<NamedParameter> Trainable() const override;
  // Labels are not used. Layers that keep softmax attention count as loss 0.
  absl::StatusOr<BatchLoss> AccumulateGradients(const Tensor& ids, const Tensor& labels, double scale) override;

 private:
  AlignStage(Transformer& student, Transformer& teacher, std::vector<bool> aligned)
      : student_(student), teacher_(teacher), aligned_(std::move(aligned)) {}

  Transformer& student_;
  Transformer& teacher_;
  std::vector<bool> aligned_;  // one for each layer
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_STAGE_ALIGN_H_
