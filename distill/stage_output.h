// The stages that train a student on what it says: stage 2 (KL with the teacher's logits), stage 3 and plain
// pretraining (cross entropy with the data). They differ in their weights only:
//   loss = kl_weight * KL(teacher || student) + ce_weight * CE(data)
#ifndef RADLADS_DISTILL_STAGE_OUTPUT_H_
#define RADLADS_DISTILL_STAGE_OUTPUT_H_

#include "distill/stage.h"

namespace radlads {

class OutputStage : public Stage {
 public:
  enum class Learns { kEverything, kMixers };
  // `teacher` may be null when kl_weight is 0; a teacher whose weight is 0 is not run.
  static absl::StatusOr<std::unique_ptr<Stage>> Create(const std::string& name, Transformer& student,
                                                       Transformer* teacher, double kl_weight, double ce_weight,
                                                       Learns learns = Learns::kEverything);

  std::string name() const override { return name_; }
  std::string description() const override;
  std::vector<NamedParameter> Trainable() const override;
  // Parts: "kl" when the teacher runs, "ce" always.
  absl::StatusOr<BatchLoss> AccumulateGradients(const Tensor& ids, const Tensor& labels, double scale) override;

 private:
  OutputStage(std::string name, Transformer& student, Transformer* teacher, double kl_weight, double ce_weight)
      : name_(std::move(name)), student_(student), teacher_(teacher), kl_weight_(kl_weight), ce_weight_(ce_weight) {}

  std::string name_;
  Transformer& student_;
  Transformer* teacher_;
  double kl_weight_, ce_weight_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_STAGE_OUTPUT_H_
