#include <ATen/ATen.h>

#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/status.h"
#include "distill/run.h"
#include "distill/run_files.h"
#include "model/layer_plan.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

// A run's newest checkpoint holds fp32 weights, its final/ rounded ones: training goes on from the former.
absl::StatusOr<std::string> ResolveForTraining(const std::string& path) {
  if (const std::optional<std::string> checkpoint = RunFiles(path).NewestCheckpoint()) return *checkpoint;
  return ResolveModelDirectory(path);
}

std::string TokenizerBeside(const std::string& path) {
  return FileExists(JoinPath(path, "tokenizer.json")) ? path : "";
}

bool IsSet(const std::string& path) {
  return !path.empty() && path != "auto";
}

}  // namespace

absl::StatusOr<Models> LoadModels(const Config& config, at::ScalarType compute) {
  const TrainConfig& train = config.train();
  const bool align = train.attention_distillation_stage() == 1;
  Models models;
  std::string teacher_path = train.teacher().path();

  if (!IsSet(train.load_model())) {
    if (train.attention_distillation_stage() != -1) {
      return InvalidArgument("train.load_model is '", train.load_model(), "', but stage ",
                             train.attention_distillation_stage(),
                             " starts from a model: ", align ? "the teacher" : "the result of the stage before");
    }
    RADLADS_ASSIGN_OR_RETURN(models.student, CreateRandom(config.model(), train.seed_everything()));
    models.student_from = "random weights";
  } else {
    RADLADS_ASSIGN_OR_RETURN(const std::string path, ResolveForTraining(train.load_model()));
    RADLADS_ASSIGN_OR_RETURN(const ModelConfig found, LoadModelConfig(path));
    RADLADS_ASSIGN_OR_RETURN(const ModelConfig student, StudentConfig(config.model(), found));
    models.tokenizer_from = TokenizerBeside(path);
    if (IsSoftmax(found.tmix()) && !IsSoftmax(student.tmix())) {
      if (teacher_path.empty()) teacher_path = path;
      RADLADS_ASSIGN_OR_RETURN(const auto teacher, LoadTransformer(path, at::kFloat));
      RADLADS_ASSIGN_OR_RETURN(models.student, CreateStudent(student, *teacher, train.seed_everything()));
      models.student_from = "born of " + path;
    } else {
      RADLADS_ASSIGN_OR_RETURN(models.student, Transformer::Create(student, at::kFloat));
      RADLADS_RETURN_IF_ERROR(LoadWeights(path, *models.student));
      models.student_from = path;
    }
  }
  models.student->SetComputeDtype(compute);
  models.student->SetCheckpointing(train.grad_cp());
  models.student->SetTokenGradientLimit(train.token_gradient_limit());

  if (!teacher_path.empty()) {
    RADLADS_ASSIGN_OR_RETURN(const std::string path, ResolveModelDirectory(teacher_path));
    RADLADS_ASSIGN_OR_RETURN(models.teacher, LoadTransformer(path, compute));
    for (const auto& [name, tensor] : models.teacher->NamedParameters()) tensor.set_requires_grad(false);
    if (models.tokenizer_from.empty()) models.tokenizer_from = TokenizerBeside(path);
  }
  if (train.reset_at_document()) {
    if (!models.student->config().has_eos_token_id()) {
      return InvalidArgument("train.reset_at_document needs model.eos_token_id, and the model does not say it");
    }
    models.student->SetResetAtDocument(true);
    if (models.teacher) models.teacher->SetResetAtDocument(true);
  }
  return models;
}

}  // namespace radlads
