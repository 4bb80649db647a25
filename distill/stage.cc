#include "distill/stage.h"

#include <ATen/ATen.h>

#include "base/status.h"
#include "distill/stage_align.h"
#include "distill/stage_output.h"

namespace radlads {

absl::Status CheckBatch(const Tensor& ids, const Tensor& labels, int64_t vocabulary) {
  for (const auto& [what, tensor] : {std::pair("ids", &ids), std::pair("labels", &labels)}) {
    if (tensor->dim() != 2 || tensor->scalar_type() != at::kLong || tensor->numel() == 0) {
      return InvalidArgument(what, " must be [B,T] int64, got ", tensor->sizes(), " ", tensor->scalar_type());
    }
    const int64_t low = tensor->min().item<int64_t>(), high = tensor->max().item<int64_t>();
    if (low < 0 || high >= vocabulary) {
      return InvalidArgument("token id ", low < 0 ? low : high, " is outside the model's vocabulary of ", vocabulary,
                             "; was the data made with another tokenizer?");
    }
  }
  if (ids.sizes() != labels.sizes()) {
    return InvalidArgument("ids ", ids.sizes(), " and labels ", labels.sizes(), " differ in shape");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Stage>> CreateStage(const Config& config, Transformer& student, Transformer* teacher) {
  const TrainConfig& train = config.train();
  switch (train.attention_distillation_stage()) {
    case 1:
      if (teacher == nullptr) {
        return InvalidArgument(
            "stage 1 aligns the student with a teacher: set train.load_model (or train.teacher.path)");
      }
      return AlignStage::Create(student, *teacher);
    case 2:
    case 21:
      if (teacher == nullptr) return InvalidArgument("stage 2 matches a teacher's logits: set train.teacher.path");
      return OutputStage::Create("logits", student, teacher, train.teacher().kl_weight(), train.teacher().ce_weight(),
                                 train.attention_distillation_stage() == 21 ? OutputStage::Learns::kMixers
                                                                            : OutputStage::Learns::kEverything);
    case -1:
      if (teacher == nullptr) return OutputStage::Create("language", student, nullptr, 0, 1);
      return OutputStage::Create("language", student, teacher, train.teacher().kl_weight(),
                                 train.teacher().ce_weight());
    default:
      return InvalidArgument("train.attention_distillation_stage is ", train.attention_distillation_stage(),
                             ", expected 1 (align the mixers), 2 (match the logits), 21 (match them, only the mixers learn) or -1 (learn from the data)");
  }
}

}  // namespace radlads
