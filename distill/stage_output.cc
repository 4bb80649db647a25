#include "distill/stage_output.h"

#include <ATen/ATen.h>

#include "base/status.h"
#include "distill/stopwatch.h"
#include "kernels/linear_loss/linear_loss.h"

namespace radlads {

absl::StatusOr<std::unique_ptr<Stage>> OutputStage::Create(const std::string& name, Transformer& student,
                                                           Transformer* teacher, double kl_weight, double ce_weight,
                                                           Learns learns) {
  if (kl_weight < 0 || ce_weight < 0 || kl_weight + ce_weight <= 0) {
    return InvalidArgument("train.teacher.kl_weight ", kl_weight, " and ce_weight ", ce_weight,
                           " must not be negative, and one of them must be positive");
  }
  if (kl_weight == 0) teacher = nullptr;
  if (kl_weight > 0 && teacher == nullptr) return InvalidArgument("a kl_weight of ", kl_weight, " needs a teacher");
  const int64_t vocabulary = student.HeadWeight().size(0);
  if (teacher != nullptr && teacher->HeadWeight().size(0) != vocabulary) {
    return InvalidArgument("KL(teacher || student) needs one vocabulary, but the teacher has ",
                           teacher->HeadWeight().size(0), " entries and the student ", vocabulary,
                           ": use a teacher of the same family, or import it with its embedding padded to ",
                           vocabulary);
  }
  for (const auto& [parameter_name, tensor] : student.NamedParameters()) {
    tensor.set_requires_grad(learns == Learns::kEverything || parameter_name.find(".self_attn.") != std::string::npos);
  }
  return std::unique_ptr<Stage>(new OutputStage(name, student, teacher, kl_weight, ce_weight));
}

std::string OutputStage::description() const {
  std::string line;
  if (kl_weight_ > 0) line = Concatenate(kl_weight_, " KL(teacher || student)");
  if (ce_weight_ > 0) line += Concatenate(line.empty() ? "" : " + ", ce_weight_, " cross entropy with the data");
  return line + (student_.HeadWeight().requires_grad() ? ", all parameters" : ", the mixers' parameters");
}

std::vector<NamedParameter> OutputStage::Trainable() const {
  std::vector<NamedParameter> trainable;
  for (const auto& [name, tensor] : student_.NamedParameters()) {
    if (tensor.requires_grad()) trainable.push_back({name, tensor});
  }
  return trainable;
}

absl::StatusOr<BatchLoss> OutputStage::AccumulateGradients(const Tensor& ids, const Tensor& labels, double scale) {
  RADLADS_RETURN_IF_ERROR(CheckBatch(ids, labels, student_.HeadWeight().size(0)));
  times_ = {};
  Stopwatch stopwatch;
  LinearLossInputs inputs;
  if (teacher_ != nullptr) {
    at::NoGradGuard no_grad;
    inputs.teacher_hidden = teacher_->Forward(ids).flatten(0, 1);
    inputs.teacher_weight = teacher_->HeadWeight();
  }
  times_.teacher = stopwatch.Lap();
  inputs.hidden = student_.Forward(ids).flatten(0, 1);
  inputs.weight = student_.HeadWeight();
  times_.student = stopwatch.Lap();
  inputs.labels = labels.flatten();
  inputs.kl_weight = kl_weight_;
  inputs.ce_weight = ce_weight_;
  const LinearLossResult loss = LinearLoss(inputs);
  BatchLoss result;
  result.loss = loss.loss.item<double>();
  if (teacher_ != nullptr) result.parts.emplace_back("kl", loss.kl);
  result.parts.emplace_back("ce", loss.ce);
  times_.loss = stopwatch.Lap();
  (loss.loss * scale).backward();
  times_.backward = stopwatch.Lap();
  return result;
}

}  // namespace radlads
