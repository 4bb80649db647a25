#include "model/pretrained.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "base/status.h"
#include "data/tokenizer/tokenizer_files.h"
#include "kernels/quantized_linear/weight_memory.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/match_tensors.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"
#include "model/time_mixers/softmax_attention.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

bool IsGguf(const std::string& path) {
  auto mapped = MappedFile::Open(path);
  return mapped.ok() && (*mapped)->bytes().size() >= 4 && std::equal(std::begin("GGUF"), std::begin("GGUF") + 4, (*mapped)->bytes().begin());
}

absl::StatusOr<std::unique_ptr<TensorSource>> OpenModelTensors(const std::string& path) {
  return IsGguf(path) ? OpenGgufAsHuggingFace(path) : OpenTensors(path);
}

// Gathers every disagreement about tensors, so that all are reported at once.
class Mismatches {
 public:
  void Add(const std::string& line) { lines_.push_back(line); }
  absl::Status ToStatus(const std::string& where) const {
    if (lines_.empty()) return absl::OkStatus();
    std::string message = Concatenate(where, ": ", lines_.size(), lines_.size() == 1 ? " tensor does" : " tensors do", " not fit the model:");
    for (const std::string& line : lines_) message += "\n  " + line;
    return InvalidArgument(message);
  }

 private:
  std::vector<std::string> lines_;
};

bool HasConfig(const fs::path& directory) {
  std::error_code error;
  return fs::exists(directory / "config.json", error);
}

// "OWNER/NAME" as models are called on Hugging Face, and nothing that says where a file is.
bool IsHubName(const std::string& path) {
  const size_t slash = path.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < path.size() && path.find('/', slash + 1) == path.npos &&
         path[0] != '.' && path[0] != '~' && !FileExists(path.substr(0, slash));
}

}  // namespace

absl::StatusOr<std::string> ResolveModelDirectory(const std::string& path) {
  if (!FileExists(path)) {
    return NotFound("no model at ", path, ": no such file or directory",
                    IsHubName(path) ? Concatenate("; if it is a name on Hugging Face, fetch it first: hf download ", path,
                                                  " --local-dir DIR, and give DIR (//tools:import_checkpoint makes a ",
                                                  "directory of a GGUF file)")
                                    : "");
  }
  if (!IsDirectory(path) || HasConfig(path)) return path;
  if (HasConfig(fs::path(path) / "final")) return JoinPath(path, "final");
  std::string newest;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    // Zero-padded step numbers: longer is later, then the larger text.
    if (name.rfind("step-", 0) == 0 && name.find(".partial") == std::string::npos && HasConfig(entry.path()) &&
        std::pair(name.size(), name) > std::pair(newest.size(), newest)) {
      newest = name;
    }
  }
  if (newest.empty()) {
    return NotFound(path, " holds no model: expected config.json (a Hugging Face directory), or final/ or step-*/ (a run)");
  }
  return JoinPath(path, newest);
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string model, ResolveModelDirectory(path));
  if (!IsDirectory(model)) {
    if (IsGguf(model)) {
      RADLADS_ASSIGN_OR_RETURN(auto file, GgufFile::Open(model));
      return ModelConfigFromGguf(*file);
    }
    return LoadModelConfig(fs::path(model).parent_path().string());
  }
  const std::string file = JoinPath(model, "config.json");
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  return ModelConfigFromJson(text, file);
}

// Memory that decoding reads fast, for what a parameter holds.
void MoveToWeightMemory(Tensor parameter) {
  const std::shared_ptr<uint8_t> memory = AllocateWeightMemory(parameter.nbytes());
  parameter.set_data(at::from_blob(memory.get(), parameter.sizes(), [memory](void*) {}, parameter.options()));
}

// LoadWeights. `for_inference`: into weights that do not learn and are packed.
absl::Status LoadWeightsInto(const std::string& path, Transformer& model, bool for_inference) {
  RADLADS_ASSIGN_OR_RETURN(const std::string resolved, ResolveModelDirectory(path));
  RADLADS_ASSIGN_OR_RETURN(auto source, OpenModelTensors(resolved));
  const auto parameters = model.NamedParameters();
  std::vector<NamedShape> shapes;
  for (const auto& [name, parameter] : parameters) shapes.push_back({name, parameter.sizes().vec()});
  RADLADS_ASSIGN_OR_RETURN(const std::vector<TensorInfo> matched,
                           MatchTensors(resolved, shapes, model.config().tie_word_embeddings(), *source));
  std::map<std::string, std::optional<WeightKind>> blocks_of;
  for (const TensorInfo& info : matched) blocks_of[info.name] = info.blocks;

  torch::NoGradGuard no_grad;
  const std::map<std::string, Linear*> linears = model.LinearsByWeight();
  for (const auto& [name, parameter] : parameters) {
    const auto linear = linears.find(name);
    const std::optional<WeightKind> kind = blocks_of[name];
    if (for_inference && linear != linears.end() && kind) {
      RADLADS_ASSIGN_OR_RETURN(const Tensor blocks, source->ReadBlocks(name));
      linear->second->SetPacked(WeightMatrix::Pack(*kind, parameter.size(0), parameter.size(1), blocks.contiguous().const_data_ptr<uint8_t>()));
      continue;
    }
    RADLADS_ASSIGN_OR_RETURN(const Tensor tensor, source->Read(name));
    if (for_inference && linear != linears.end() && parameter.scalar_type() == at::kFloat) {
      const Tensor numbers = tensor.to(at::kFloat).contiguous();
      linear->second->SetPacked(WeightMatrix::Pack(numbers.size(0), numbers.size(1), numbers.const_data_ptr<float>()));
      continue;
    }
    if (for_inference) MoveToWeightMemory(parameter);
    Tensor(parameter).copy_(tensor);
  }
  if (for_inference) model.SetForInference();
  return absl::OkStatus();
}

absl::Status LoadWeights(const std::string& path, Transformer& model) { return LoadWeightsInto(path, model, /*for_inference=*/false); }

absl::StatusOr<std::shared_ptr<Transformer>> LoadForInference(const std::string& path, at::ScalarType dtype,
                                                              at::Device device) {
  if (!device.is_cpu()) {
    RADLADS_ASSIGN_OR_RETURN(auto model, LoadTransformer(path, dtype));
    model->to(device);
    model->SetForInference();
    return model;
  }
  RADLADS_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(path));
  RADLADS_ASSIGN_OR_RETURN(auto model, Transformer::Create(config, dtype));
  RADLADS_RETURN_IF_ERROR(LoadWeightsInto(path, *model, /*for_inference=*/true));
  return model;
}

absl::StatusOr<std::shared_ptr<Transformer>> LoadTransformer(const std::string& path, at::ScalarType dtype) {
  RADLADS_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(path));
  RADLADS_ASSIGN_OR_RETURN(auto model, Transformer::Create(config, dtype));
  RADLADS_RETURN_IF_ERROR(LoadWeights(path, *model));
  return model;
}

absl::StatusOr<std::shared_ptr<Transformer>> CreateStudent(const ModelConfig& config, Transformer& teacher, int64_t seed,
                                                           at::ScalarType dtype) {
  if (teacher.HasPackedWeights()) {
    return FailedPrecondition("the teacher was loaded for inference and has packed weights; a student is made of numbers: load it with LoadTransformer");
  }
  RADLADS_ASSIGN_OR_RETURN(auto student, Transformer::Create(config, dtype));
  if (student->layers() != teacher.layers()) {
    return InvalidArgument("the student has ", student->layers(), " layers, its teacher ", teacher.layers());
  }
  const auto theirs = teacher.NamedParameters();
  const std::map<std::string, Tensor> source(theirs.begin(), theirs.end());
  Mismatches mismatches;
  for (const auto& [name, parameter] : student->NamedParameters()) {
    auto entry = source.find(name);
    const bool in_mixer = name.find(".self_attn.") != std::string::npos;
    if (entry != source.end() && entry->second.sizes() != parameter.sizes()) {
      mismatches.Add(Concatenate(name, " is ", entry->second.sizes(), " in the teacher, ", parameter.sizes(), " in the student"));
    } else if (entry == source.end() && !in_mixer) {
      mismatches.Add(Concatenate(name, " ", parameter.sizes(), " is missing in the teacher"));
    }
  }
  // Biases and norms of the attention that the student has no place for would be lost without a word.
  const auto mine = student->NamedParameters();
  const std::map<std::string, Tensor> target(mine.begin(), mine.end());
  for (const auto& [name, parameter] : theirs) {
    if (!target.count(name)) mismatches.Add(Concatenate(name, " ", parameter.sizes(), " of the teacher has no place in the student"));
  }
  RADLADS_RETURN_IF_ERROR(mismatches.ToStatus("student and teacher"));

  torch::NoGradGuard no_grad;
  torch::manual_seed(seed);
  for (const auto& [name, parameter] : mine) {
    if (name.find(".self_attn.") == std::string::npos) Tensor(parameter).copy_(source.at(name));
  }
  for (int64_t layer = 0; layer < student->layers(); ++layer) {
    auto* attention = dynamic_cast<SoftmaxAttention*>(&teacher.block(layer).mixer());
    if (attention == nullptr) {
      return InvalidArgument("layer ", layer, " of the teacher is ", teacher.block(layer).mixer_name(), ", expected softmax attention");
    }
    student->block(layer).mixer().InitializeFrom(attention);
  }
  return student;
}

absl::StatusOr<std::shared_ptr<Transformer>> CreateRandom(const ModelConfig& config, int64_t seed, at::ScalarType dtype) {
  constexpr double kDeviation = 0.02;
  RADLADS_ASSIGN_OR_RETURN(auto model, Transformer::Create(config, dtype));
  torch::NoGradGuard no_grad;
  torch::manual_seed(seed);
  for (const auto& [name, parameter] : model->NamedParameters()) {
    const bool in_mixer = name.find(".self_attn.") != std::string::npos;
    if (!in_mixer && parameter.dim() > 1) Tensor(parameter).normal_(0, kDeviation);
  }
  for (int64_t layer = 0; layer < model->layers(); ++layer) model->block(layer).mixer().InitializeFrom(nullptr);
  return model;
}

absl::StatusOr<ModelConfig> StudentConfig(const ModelConfig& student, const ModelConfig& teacher) {
  RADLADS_ASSIGN_OR_RETURN(const ModelSizes sizes, ResolveSizes(teacher));
  std::string problems;
  auto agree = [&](const char* name, bool set, int64_t mine, int64_t theirs) {
    if (set && mine != 0 && mine != theirs) {
      problems += Concatenate(problems.empty() ? "" : "; ", "model.", name, " is ", mine, ", the teacher's is ", theirs);
    }
  };
  agree("n_layer", student.has_n_layer(), student.n_layer(), teacher.n_layer());
  agree("n_embd", student.has_n_embd(), student.n_embd(), sizes.width);
  agree("dim_att", student.has_dim_att(), student.dim_att(), sizes.attention);
  agree("dim_ffn", student.has_dim_ffn(), student.dim_ffn(), sizes.feed_forward);
  agree("head_size", student.has_head_size(), student.head_size(), sizes.head_dim);
  agree("num_key_value_heads", student.has_num_key_value_heads(), student.num_key_value_heads(), sizes.kv_heads);
  agree("vocab_size", student.has_vocab_size(), student.vocab_size(), teacher.vocab_size());
  if (!problems.empty()) return InvalidArgument(problems, ". Leave the sizes out to take the teacher's");

  ModelConfig merged = teacher;
  merged.MergeFrom(student);
  // A zero of the student asks for the derived size, which is the teacher's.
  merged.set_n_embd(sizes.width);
  merged.set_dim_att(sizes.attention);
  merged.set_dim_ffn(sizes.feed_forward);
  merged.set_num_key_value_heads(sizes.kv_heads);
  if (!student.has_attention_bias()) merged.set_attention_bias(sizes.attention_bias);
  if (!student.has_qk_norm()) merged.set_qk_norm(sizes.qk_norm);
  if (!student.has_tie_word_embeddings()) merged.set_tie_word_embeddings(teacher.tie_word_embeddings());
  RADLADS_ASSIGN_OR_RETURN(const ModelSizes resolved, ResolveSizes(merged));
  return WithSizes(merged, resolved);
}

absl::Status SaveTransformer(Transformer& model, const std::string& directory, at::ScalarType dtype,
                             const std::string& tokenizer_from) {
  if (model.HasPackedWeights()) {
    return FailedPrecondition("the model was loaded for inference and has packed weights, which are not written; ",
                              "//tools:import_checkpoint copies such a model, LoadTransformer makes numbers of it");
  }
  RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "config.json"), ModelConfigToJson(model.config(), dtype)));
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const auto& [name, parameter] : model.NamedParameters()) tensors.emplace_back(name, parameter.detach().to(dtype));
  RADLADS_RETURN_IF_ERROR(WriteSafetensors(JoinPath(directory, "model.safetensors"), tensors, {{"format", "pt"}}));
  if (tokenizer_from.empty()) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const TokenizerFiles files, TokenizerFilesToCopy(tokenizer_from));
  return WriteTokenizerFiles(files, directory);
}

}  // namespace radlads
