#include "kernels/linear_loss/linear_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/status.h"
#include "kernels/linear_loss/linear_loss_kernels.h"
#include "kernels/linear_loss/linear_loss_reference.h"
#include "kernels/tensor_arguments.h"

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

// hidden weight^T by chunks of rows, in hidden's dtype, into one buffer.
class ChunkedLogits {
 public:
  ChunkedLogits(const at::Tensor& hidden, const at::Tensor& weight, int64_t chunk_rows)
      : hidden_(hidden.detach().contiguous()),
        weight_(weight.detach().to(hidden.scalar_type()).contiguous()),
        buffer_(at::empty({std::min(chunk_rows, hidden.size(0)), weight.size(0)}, hidden_.options())) {}

  at::Tensor Compute(int64_t first, int64_t rows) {
    at::Tensor logits = buffer_.narrow(0, 0, rows);
    at::mm_out(logits, hidden_.narrow(0, first, rows), weight_.t());
    return logits;
  }
  bool bf16() const { return hidden_.scalar_type() == at::kBFloat16; }
  const at::Tensor& hidden() const { return hidden_; }
  const at::Tensor& weight() const { return weight_; }

 private:
  const at::Tensor hidden_, weight_, buffer_;
};

// More rows at a time cost memory; fewer let the sum of the weight's gradient be read and written more often.
int64_t ChunkRows(int64_t chosen, const at::Tensor& hidden, const at::Tensor& weight) {
  if (chosen > 0) return chosen;
  if (!hidden.is_cuda()) return 512;
  constexpr int64_t kBytes = 1'250'000'000;
  const int64_t rows = kBytes / std::max<int64_t>(weight.size(0) * hidden.element_size(), 1);
  return std::max<int64_t>(rows / 128 * 128, 128);
}

int64_t CountScored(const at::Tensor& labels, int64_t vocabulary) {
  const at::Tensor contiguous = labels.cpu().contiguous();
  const int64_t* data = contiguous.const_data_ptr<int64_t>();
  int64_t scored = 0;
  for (int64_t i = 0; i < labels.numel(); ++i) {
    RADLADS_CHECK(data[i] == kIgnoredLabel || (data[i] >= 0 && data[i] < vocabulary))
        << "label " << i << " is " << data[i] << ", expected " << kIgnoredLabel << " or 0 to " << vocabulary - 1;
    scored += data[i] != kIgnoredLabel;
  }
  return scored;
}

// Of doubles, one after the other: the same for any number of threads.
double InOrderSum(const at::Tensor& x) {
  const at::Tensor here = x.cpu();
  return std::accumulate(here.const_data_ptr<double>(), here.const_data_ptr<double>() + here.numel(), 0.0);
}

struct FusedResult {
  LinearLossResult result;
  at::Tensor d_hidden, d_weight;  // defined where asked for
};

FusedResult FusedLinearLoss(const LinearLossInputs& inputs, bool needs_hidden, bool needs_weight) {
  const int64_t rows = inputs.hidden.size(0), vocabulary = inputs.weight.size(0), width = inputs.hidden.size(1),
                chunk_rows = ChunkRows(inputs.chunk_rows, inputs.hidden, inputs.weight);
  ChunkedLogits student(inputs.hidden, inputs.weight, chunk_rows);
  std::unique_ptr<ChunkedLogits> teacher;
  if (inputs.teacher_hidden.defined()) {
    teacher = std::make_unique<ChunkedLogits>(inputs.teacher_hidden, inputs.teacher_weight, chunk_rows);
  }
  const at::Tensor labels = inputs.labels.defined() ? inputs.labels.contiguous() : inputs.labels;
  const int64_t scored = labels.defined() ? CountScored(labels, vocabulary) : 0;

  FusedResult fused;
  const at::TensorOptions fp32 = inputs.hidden.options().dtype(at::kFloat).requires_grad(false);
  if (needs_hidden) fused.d_hidden = at::empty({rows, width}, student.hidden().options());
  if (needs_weight) {
    fused.d_weight = rows > 0 ? at::empty({vocabulary, width}, fp32) : at::zeros({vocabulary, width}, fp32);
  }
  at::Tensor share;  // of a chunk in the gradient of a bf16 weight
  const at::Device device = inputs.hidden.device();
  const at::Tensor row_kl = at::empty({teacher ? rows : 0}, fp32.dtype(at::kDouble)),
                   row_ce = at::empty({labels.defined() ? rows : 0}, fp32.dtype(at::kDouble));
  for (int64_t first = 0; first < rows; first += chunk_rows) {
    const int64_t count = std::min(chunk_rows, rows - first);
    at::Tensor logits = student.Compute(first, count);
    loss_rows(device,
              {.rows = count,
               .vocabulary = vocabulary,
               .student = logits.mutable_data_ptr(),
               .student_bf16 = student.bf16(),
               .teacher = teacher ? teacher->Compute(first, count).const_data_ptr() : nullptr,
               .teacher_bf16 = teacher && teacher->bf16(),
               .labels = labels.defined() ? labels.const_data_ptr<int64_t>() + first : nullptr,
               .differentiate = needs_hidden || needs_weight,
               .kl_scale = teacher ? inputs.kl_weight / rows : 0,
               .ce_scale = scored > 0 ? inputs.ce_weight / scored : 0},
              teacher ? row_kl.mutable_data_ptr<double>() + first : nullptr,
              labels.defined() ? row_ce.mutable_data_ptr<double>() + first : nullptr);
    if (needs_hidden) {
      at::Tensor d_rows = fused.d_hidden.narrow(0, first, count);
      at::mm_out(d_rows, logits, student.weight());
    }
    if (!needs_weight) continue;
    const at::Tensor hidden = student.hidden().narrow(0, first, count);
    if (!student.bf16()) {
      if (first == 0) {
        at::mm_out(fused.d_weight, logits.t(), hidden);
      } else {
        fused.d_weight.addmm_(logits.t(), hidden);
      }
    } else if (device.is_cuda()) {
      // cuBLAS adds up in fp32 where the sum is.
      at::addmm_out(fused.d_weight, fused.d_weight, logits.t(), hidden, at::kFloat, /*beta=*/first == 0 ? 0 : 1);
    } else {
      if (!share.defined()) share = at::empty({vocabulary, width}, student.hidden().options());
      at::mm_out(share, logits.t(), hidden);
      if (first == 0) {
        fused.d_weight.copy_(share);
      } else {
        AddBf16Cpu(share.const_data_ptr(), fused.d_weight.mutable_data_ptr<float>(), share.numel());
      }
    }
  }
  fused.result.kl = InOrderSum(row_kl) / std::max<int64_t>(rows, 1);
  fused.result.ce = InOrderSum(row_ce) / std::max<int64_t>(scored, 1);
  double loss = 0;
  if (inputs.kl_weight != 0) loss += inputs.kl_weight * fused.result.kl;
  if (inputs.ce_weight != 0) loss += inputs.ce_weight * fused.result.ce;
  fused.result.loss = at::scalar_tensor(loss, fp32);
  if (needs_weight) fused.d_weight = fused.d_weight.to(inputs.weight.scalar_type());
  return fused;
}

// Hands over gradients that were computed with the loss.
class PrecomputedGradients : public torch::autograd::Function<PrecomputedGradients> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& hidden,
                            const at::Tensor& weight, const FusedResult* fused) {
    if (fused->d_hidden.defined()) context->saved_data["hidden"] = fused->d_hidden;
    if (fused->d_weight.defined()) context->saved_data["weight"] = fused->d_weight;
    context->saved_data["fresh"] = true;
    return fused->result.loss;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    CheckFirstDerivative("LinearLoss");
    RADLADS_CHECK(context->saved_data["fresh"].toBool())
        << "LinearLoss: backward was called a second time; the gradients were handed over at the first";
    context->saved_data["fresh"] = false;
    const double scale = gradients[0].item<double>();
    // Moved out, so that the leaf takes the memory instead of copying it.
    auto take = [&](const char* name) {
      const auto found = context->saved_data.find(name);
      if (found == context->saved_data.end()) return at::Tensor();
      at::Tensor gradient = std::move(found->second).toTensor();
      context->saved_data.erase(found);
      if (scale != 1) gradient.mul_(scale);
      return gradient;
    };
    return {take("hidden"), take("weight"), at::Tensor()};
  }
};

}  // namespace

LinearLossResult LinearLoss(const LinearLossInputs& inputs) {
  CheckProjection("LinearLoss (student)", inputs.hidden, inputs.weight);
  RADLADS_CHECK(inputs.chunk_rows >= 0) << "LinearLoss: chunk_rows must not be negative, got " << inputs.chunk_rows;
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
  if (!loss_rows.Takes(
          {inputs.hidden, inputs.weight, inputs.teacher_hidden, inputs.teacher_weight, inputs.labels})) {
    return LinearLossReference(inputs);
  }
  const bool records = RecordsGradient({inputs.hidden, inputs.weight});
  FusedResult fused;
  {
    at::NoGradGuard no_grad;
    fused = FusedLinearLoss(inputs, records && inputs.hidden.requires_grad(), records && inputs.weight.requires_grad());
  }
  if (records) {
    fused.result.loss =
        PrecomputedGradients::apply(inputs.hidden, inputs.weight, static_cast<const FusedResult*>(&fused));
  }
  return fused.result;
}

at::Tensor TokenLogProbabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                 int64_t chunk_rows) {
  CheckProjection("TokenLogProbabilities", hidden, weight);
  CheckLabels("TokenLogProbabilities", labels, hidden.size(0));
  RADLADS_CHECK(chunk_rows >= 0) << "TokenLogProbabilities: chunk_rows must not be negative, got " << chunk_rows;
  if (!loss_rows.Takes({hidden, weight, labels})) return TokenLogProbabilitiesReference(hidden, weight, labels);
  at::NoGradGuard no_grad;
  CountScored(labels, weight.size(0));
  chunk_rows = ChunkRows(chunk_rows, hidden, weight);
  const at::Tensor contiguous = labels.contiguous();
  ChunkedLogits logits(hidden, weight, chunk_rows);
  const int64_t rows = hidden.size(0);
  const at::Tensor ce = at::empty({rows}, hidden.options().dtype(at::kDouble).requires_grad(false));
  for (int64_t first = 0; first < rows; first += chunk_rows) {
    const int64_t count = std::min(chunk_rows, rows - first);
    loss_rows(hidden.device(),
              {.rows = count,
               .vocabulary = weight.size(0),
               .student = logits.Compute(first, count).mutable_data_ptr(),
               .student_bf16 = logits.bf16(),
               .labels = contiguous.const_data_ptr<int64_t>() + first},
              nullptr, ce.mutable_data_ptr<double>() + first);
  }
  return ce.neg_().to(at::kFloat);
}

}  // namespace radlads
