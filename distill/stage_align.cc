#include "distill/stage_align.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/status.h"
#include "distill/stopwatch.h"
#include "kernels/l2_distance/l2_distance.h"
#include "model/layer_plan.h"

namespace radlads {
namespace {

std::string LayerPart(int64_t layer) {
  return Concatenate("layer.", layer < 10 ? "0" : "", layer);
}

// v_first as the layers of one batch pass it on, cut so that each layer's graph stands alone.
class SharedValue {
 public:
  // To be called around a layer's forward pass. Returns whether the layer produced the value: its graph must wait.
  void Lend(MixContext& context) {
    if (!source_.defined()) return;
    leaf_ = source_.detach().requires_grad_();
    context.v_first = leaf_;
  }
  bool TakeBack(MixContext& context) {
    if (source_.defined() || !context.v_first.defined()) return false;
    source_ = context.v_first;
    return true;
  }
  // After a reader's backward pass.
  void CollectGradient() {
    if (!leaf_.defined() || !leaf_.grad().defined()) return;
    const Tensor gradient = leaf_.grad().to(at::promote_types(leaf_.scalar_type(), at::kFloat));
    gradient_ = gradient_.defined() ? gradient_.add_(gradient) : gradient.clone();
    leaf_ = Tensor();
  }
  // <gradient, value>: what to add to the producer's loss so that its backward pass carries the readers' gradient on.
  Tensor Pullback() const {
    if (!gradient_.defined()) return Tensor();
    return (source_.to(gradient_.scalar_type()) * gradient_).sum();
  }

 private:
  Tensor source_, leaf_, gradient_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stage>> AlignStage::Create(Transformer& student, Transformer& teacher) {
  if (student.layers() != teacher.layers() || student.config().n_embd() != teacher.config().n_embd()) {
    return InvalidArgument("stage 1 needs a student as deep and wide as its teacher: student ", student.layers(), " x ",
                           student.config().n_embd(), ", teacher ", teacher.layers(), " x ", teacher.config().n_embd());
  }
  std::vector<bool> aligned;
  for (int64_t layer = 0; layer < student.layers(); ++layer) {
    if (!IsSoftmax(teacher.block(layer).mixer_name())) {
      return InvalidArgument("stage 1 imitates softmax attention, but layer ", layer, " of the teacher is ",
                             teacher.block(layer).mixer_name(), "; is train.load_model the teacher?");
    }
    aligned.push_back(!IsSoftmax(student.block(layer).mixer_name()));
  }
  if (std::find(aligned.begin(), aligned.end(), true) == aligned.end()) {
    return InvalidArgument("every layer of the student keeps softmax attention: stage 1 has nothing to learn");
  }
  std::unique_ptr<AlignStage> stage(new AlignStage(student, teacher, std::move(aligned)));
  for (const auto& [name, tensor] : student.NamedParameters()) tensor.set_requires_grad(false);
  for (const NamedParameter& parameter : stage->Trainable()) parameter.tensor.set_requires_grad(true);
  return stage;
}

std::string AlignStage::description() const {
  const int64_t aligned = std::count(aligned_.begin(), aligned_.end(), true);
  std::string line = Concatenate("align ", aligned, " mixers with the attention they replace");
  if (aligned < static_cast<int64_t>(aligned_.size())) {
    line += "; layers that keep softmax attention are skipped:";
    for (size_t layer = 0; layer < aligned_.size(); ++layer) {
      if (!aligned_[layer]) line += Concatenate(" ", layer);
    }
  }
  return line;
}

std::vector<NamedParameter> AlignStage::Trainable() const {
  std::vector<NamedParameter> trainable;
  for (const auto& [name, tensor] : student_.NamedParameters()) {
    for (size_t layer = 0; layer < aligned_.size(); ++layer) {
      if (aligned_[layer] && name.starts_with(Concatenate("model.layers.", layer, ".self_attn."))) {
        trainable.push_back({name, tensor});
      }
    }
  }
  return trainable;
}

absl::StatusOr<BatchLoss> AlignStage::AccumulateGradients(const Tensor& ids, const Tensor& labels, double scale) {
  RADLADS_RETURN_IF_ERROR(CheckBatch(ids, labels, teacher_.HeadWeight().size(0)));
  const at::ScalarType compute = student_.compute_dtype();
  const double weight = 1.0 / static_cast<double>(aligned_.size());
  times_ = {};
  Stopwatch stopwatch;

  MixContext teacher_context = teacher_.MakeContext(ids, nullptr);
  MixContext student_context = student_.MakeContext(ids, nullptr);
  SharedValue value;
  Tensor stream, waiting;  // the teacher's residual stream; the loss of the layer that provides v_first
  {
    at::NoGradGuard no_grad;
    stream = teacher_.Embed(ids);
  }
  BatchLoss result;
  for (int64_t layer = 0; layer < student_.layers(); ++layer) {
    Tensor input, target;
    {
      at::NoGradGuard no_grad;
      input = teacher_.block(layer).MixerInput(stream, teacher_.compute_dtype());
      target = teacher_.block(layer).mixer().Forward(input, teacher_context, nullptr);
      stream = teacher_.block(layer).Continue(stream, target, teacher_.compute_dtype());
    }
    times_.teacher += stopwatch.Lap();
    if (!aligned_[layer]) continue;
    value.Lend(student_context);
    const Tensor output = student_.block(layer).mixer().Forward(input.to(compute), student_context, nullptr);
    const bool provides = value.TakeBack(student_context);
    times_.student += stopwatch.Lap();
    Tensor distance = L2Distance(target, output);
    result.parts.emplace_back(LayerPart(layer), distance.item<double>());
    result.loss += weight * result.parts.back().second;
    times_.loss += stopwatch.Lap();
    distance = distance * (scale * weight);
    if (provides) {
      waiting = distance;
    } else {
      distance.backward();
      value.CollectGradient();
    }
    times_.backward += stopwatch.Lap();
  }
  if (waiting.defined()) {
    const Tensor pullback = value.Pullback();
    (pullback.defined() ? waiting + pullback : waiting).backward();
    times_.backward += stopwatch.Lap();
  }
  return result;
}

}  // namespace radlads
