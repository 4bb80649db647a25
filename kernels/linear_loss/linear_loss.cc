#include "kernels/linear_loss/linear_loss.h"

#include "base/status.h"
#include "kernels/linear_loss/linear_loss_reference.h"

namespace radlads {
namespace {

void CheckProjection(const char* what, const at::Tensor& hidden, const at::Tensor& weight) {
  RADLADS_CHECK(hidden.dim() == 2 && weight.dim() == 2 && hidden.size(1) == weight.size(1))
      << what << ": hidden must be [N,C] and weight [W,C], got " << hidden.sizes() << " and " << weight.sizes();
}

void CheckLabels(const char* what, const at::Tensor& labels, int64_t rows) {
  RADLADS_CHECK(labels.dim() == 1 && labels.size(0) == rows && labels.scalar_type() == at::kLong)
      << what << ": labels must be [" << rows << "] int64, got " << labels.sizes() << " " << labels.scalar_type();
}

}  // namespace

LinearLossResult LinearLoss(const LinearLossInputs& inputs) {
  CheckProjection("LinearLoss (student)", inputs.hidden, inputs.weight);
  RADLADS_CHECK(inputs.chunk_rows > 0) << "LinearLoss: chunk_rows must be positive, got " << inputs.chunk_rows;
  RADLADS_CHECK(inputs.teacher_hidden.defined() == inputs.teacher_weight.defined() &&
                (inputs.kl_weight == 0 || inputs.teacher_hidden.defined()))
      << "LinearLoss: teacher_hidden and teacher_weight go together, and a kl_weight needs them";
  RADLADS_CHECK(inputs.ce_weight == 0 || inputs.labels.defined()) << "LinearLoss: a ce_weight needs labels";
  if (inputs.teacher_hidden.defined()) {
    CheckProjection("LinearLoss (teacher)", inputs.teacher_hidden, inputs.teacher_weight);
    RADLADS_CHECK(inputs.teacher_hidden.size(0) == inputs.hidden.size(0) &&
                  inputs.teacher_weight.size(0) == inputs.weight.size(0))
        << "LinearLoss: student and teacher must have the same rows and vocabulary, got hidden "
        << inputs.hidden.sizes() << " and " << inputs.teacher_hidden.sizes() << ", weight " << inputs.weight.sizes()
        << " and " << inputs.teacher_weight.sizes();
  }
  if (inputs.labels.defined()) CheckLabels("LinearLoss", inputs.labels, inputs.hidden.size(0));
  return LinearLossReference(inputs);
}

at::Tensor TokenLogProbabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                 int64_t chunk_rows) {
  CheckProjection("TokenLogProbabilities", hidden, weight);
  CheckLabels("TokenLogProbabilities", labels, hidden.size(0));
  RADLADS_CHECK(chunk_rows > 0) << "TokenLogProbabilities: chunk_rows must be positive, got " << chunk_rows;
  return TokenLogProbabilitiesReference(hidden, weight, labels);
}

}  // namespace radlads
