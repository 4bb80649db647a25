#include "distill/report_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

using nlohmann::json;

absl::StatusOr<json> ReadJson(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  auto parsed = ParseJson(text, {.where = path});
  if (!parsed.ok()) return DataLoss(parsed.status().message(), "; remove the file or make it anew");
  return parsed;
}

std::string Text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double Number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : kUnknown;
}

// The scalar at these keys, one within the other, as text; "" when absent.
std::string Knob(const YamlPointer& config, std::initializer_list<std::string_view> keys) {
  const YamlNode* node = config.get();
  for (const std::string_view key : keys) node = node == nullptr ? nullptr : node->Find(key);
  return node != nullptr && node->IsScalar() && !node->IsNull() ? node->text : "";
}

std::string TeacherPath(const YamlPointer& config) {
  const std::string path = Knob(config, {"train", "teacher", "path"});
  if (!path.empty()) return path;
  return Knob(config, {"train", "attention_distillation_stage"}) == "1" ? Knob(config, {"train", "load_model"}) : "";
}

absl::StatusOr<YamlPointer> ReadConfig(const std::string& text, const std::string& path) {
  auto config = ParseYaml(text, path);
  if (!config.ok()) return DataLoss(config.status().message());
  return config;
}

absl::StatusOr<ReportStage> ReadStage(const std::string& directory, const std::string& name) {
  ReportStage stage;
  stage.name = name;
  RADLADS_ASSIGN_OR_RETURN(stage.lines, ReadMetrics(directory));
  const std::string path = JoinPath(directory, "config.yaml");
  if (!FileExists(path)) return stage;
  RADLADS_ASSIGN_OR_RETURN(stage.config_text, ReadFile(path));
  RADLADS_ASSIGN_OR_RETURN(stage.config, ReadConfig(stage.config_text, path));
  stage.kind = std::atoi(Knob(stage.config, {"train", "attention_distillation_stage"}).c_str());
  return stage;
}

// Names of the stages of a pipeline: as its config lists them, else the subdirectories with a log, by name.
absl::StatusOr<std::vector<std::string>> StageNames(const std::string& directory, const std::string& config_text) {
  std::vector<std::string> listed, found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (FileExists(entry->path().string() + "/metrics.jsonl")) found.push_back(entry->path().filename().string());
  }
  if (error) return NotFound("cannot list the run directory ", directory, ": ", error.message());
  std::sort(found.begin(), found.end());
  RADLADS_ASSIGN_OR_RETURN(const YamlPointer config, ReadConfig(config_text, JoinPath(directory, "config.yaml")));
  if (const YamlNode* pipeline = config->Find("pipeline")) {
    for (const YamlPointer& stage : pipeline->items) {
      const std::string name = Knob(stage, {"name"});
      if (!name.empty()) listed.push_back(name);
    }
  }
  std::vector<std::string> ordered;
  for (const std::string& name : listed) {
    if (std::find(found.begin(), found.end(), name) != found.end()) ordered.push_back(name);
  }
  return listed.empty() ? found : ordered;
}

// Elements of all tensors in the safetensors files of `directory`, from their headers.
int64_t CountParameters(const std::string& directory) {
  int64_t parameters = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() != ".safetensors") continue;
    const auto file = MappedFile::Open(entry->path().string());
    if (!file.ok() || (*file)->bytes().size() < 8) return 0;
    const auto bytes = (*file)->bytes();
    uint64_t size;
    std::memcpy(&size, bytes.data(), 8);
    if (size > bytes.size() - 8) return 0;
    const auto header = ParseJson({reinterpret_cast<const char*>(bytes.data()) + 8, size});
    if (!header.ok() || !header->is_object()) return 0;
    for (const auto& [name, tensor] : header->items()) {
      if (name == "__metadata__" || !tensor.is_object() || !tensor.contains("shape")) continue;
      int64_t elements = 1;
      for (const auto& size : tensor["shape"]) elements *= size.is_number_integer() ? size.get<int64_t>() : 0;
      parameters += elements;
    }
  }
  return parameters;
}

absl::StatusOr<ReportModel> ReadModel(const std::string& directory) {
  ReportModel model;
  if (directory.empty()) return model;
  const std::filesystem::path path = std::filesystem::path(directory).lexically_normal();
  model.name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  const std::string config_path = JoinPath(directory, "config.json");
  if (!FileExists(config_path)) return model;
  RADLADS_ASSIGN_OR_RETURN(const json config, ReadJson(config_path));
  if (!config.is_object()) return DataLoss(config_path, ": expected a JSON object");
  static const std::pair<const char*, const char*> kFacts[] = {
      {"model_type", "architecture"},
      {"num_hidden_layers", "layers"},
      {"hidden_size", "width"},
      {"intermediate_size", "inner width"},
      {"num_attention_heads", "heads"},
      {"num_key_value_heads", "key-value heads"},
      {"head_dim", "head size"},
      {"vocab_size", "vocabulary"},
      {"tie_word_embeddings", "tied embeddings"},
  };
  for (const auto& [key, label] : kFacts) {
    const auto value = config.find(key);
    if (value == config.end() || value->is_null()) continue;
    std::string text = value->is_string() ? value->get<std::string>() : value->dump();
    if (value->is_boolean()) text = value->get<bool>() ? "yes" : "no";
    model.facts.emplace_back(label, text);
  }
  model.parameters = CountParameters(directory);
  return model;
}

absl::Status ReadSamples(const std::string& path, ReportData& data) {
  RADLADS_ASSIGN_OR_RETURN(const json samples, ReadJson(path));
  if (!samples.is_array()) return DataLoss(path, ": expected an array of {\"prompt\", \"teacher\", \"student\"}");
  for (const json& sample : samples) {
    if (!sample.is_object() || Text(sample, "prompt").empty()) {
      return DataLoss(path, ": expected {\"prompt\", \"teacher\", \"student\"}, found: ", sample.dump().substr(0, 80));
    }
    auto answer = [&](const char* who) {
      return sample.contains(who) ? std::optional<std::string>(Text(sample, who)) : std::nullopt;
    };
    data.samples.push_back({Text(sample, "prompt"), answer("teacher"), answer("student")});
  }
  return absl::OkStatus();
}

absl::Status ReadScores(const std::string& path, ReportData& data) {
  RADLADS_ASSIGN_OR_RETURN(const json scores, ReadJson(path));
  if (!scores.is_object() || !scores.contains("models") || !scores["models"].is_array()) {
    return DataLoss(path, ": expected {\"data\", \"models\": [...]} as //eval:run perplexity --json writes it");
  }
  data.scored_text = Text(scores, "data");
  for (const json& model : scores["models"]) {
    if (!model.is_object())
      return DataLoss(path, ": expected an object for each model, found: ", model.dump().substr(0, 80));
    data.scores.push_back({Text(model, "name"), Number(model, "tokens"), Number(model, "nll"),
                           Number(model, "perplexity"), Number(model, "ratio"), Number(model, "tokens_per_second")});
  }
  return absl::OkStatus();
}

}  // namespace

double ReportStage::Seconds() const {
  double seconds = 0;
  int64_t before = 0;
  for (const MetricsLine& line : lines) {
    const auto rate = line.values.find("tokens_per_second");
    if (rate == line.values.end() || !(rate->second > 0)) continue;
    seconds += (line.tokens - before) / rate->second;
    before = line.tokens;
  }
  return seconds > 0 ? seconds : kUnknown;
}

std::vector<std::pair<double, double>> ReportStage::Series(const std::string& metric) const {
  std::vector<std::pair<double, double>> series;
  for (const MetricsLine& line : lines) {
    const auto value = line.values.find(metric);
    if (value != line.values.end()) series.emplace_back(first_token + line.tokens, value->second);
  }
  return series;
}

double ReportStage::Last(const std::string& metric) const {
  const auto series = Series(metric);
  return series.empty() ? kUnknown : series.back().second;
}

double ReportStage::First(const std::string& metric) const {
  const auto series = Series(metric);
  return series.empty() ? kUnknown : series.front().second;
}

absl::StatusOr<ReportData> ReadReportData(const std::string& run_directory) {
  ReportData data;
  std::filesystem::path path = std::filesystem::path(run_directory).lexically_normal();
  data.name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();

  if (FileExists(JoinPath(run_directory, "metrics.jsonl"))) {
    RADLADS_ASSIGN_OR_RETURN(ReportStage stage, ReadStage(run_directory, ""));
    data.stages.push_back(std::move(stage));
  } else {
    const std::string config_path = JoinPath(run_directory, "config.yaml");
    if (FileExists(config_path)) {
      RADLADS_ASSIGN_OR_RETURN(data.config_text, ReadFile(config_path));
    }
    RADLADS_ASSIGN_OR_RETURN(const auto names, StageNames(run_directory, data.config_text));
    double tokens = 0;
    for (const std::string& name : names) {
      RADLADS_ASSIGN_OR_RETURN(ReportStage stage, ReadStage(JoinPath(run_directory, name), name));
      stage.first_token = tokens;
      tokens += stage.Tokens();
      data.stages.push_back(std::move(stage));
    }
  }
  if (data.stages.empty()) {
    return NotFound("no metrics.jsonl in ", run_directory,
                    " or in a directory below it: is this the directory of a run?");
  }

  std::string teacher, student = JoinPath(run_directory, "final");
  for (const ReportStage& stage : data.stages) {
    if (teacher.empty()) teacher = TeacherPath(stage.config);
    const std::string candidate = JoinPath(JoinPath(run_directory, stage.name), "final");
    if (!stage.name.empty() && IsDirectory(candidate)) student = candidate;
  }
  if (IsDirectory(JoinPath(run_directory, "final"))) student = JoinPath(run_directory, "final");
  RADLADS_ASSIGN_OR_RETURN(data.teacher, ReadModel(teacher));
  RADLADS_ASSIGN_OR_RETURN(data.student, ReadModel(student));
  data.student.name = Knob(data.stages.back().config, {"model", "tmix"});

  const std::string samples = JoinPath(run_directory, "samples.json"),
                    scores = JoinPath(run_directory, "perplexity.json");
  if (FileExists(samples)) RADLADS_RETURN_IF_ERROR(ReadSamples(samples, data));
  if (FileExists(scores)) RADLADS_RETURN_IF_ERROR(ReadScores(scores, data));
  return data;
}

}  // namespace radlads
