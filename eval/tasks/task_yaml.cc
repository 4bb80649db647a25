#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/nearest_name.h"
#include "base/status.h"
#include "base/yaml.h"
#include "eval/tasks/task_config.h"
#include "eval/tasks/yaml_reader.h"

namespace radlads {
namespace {

struct MetricKind {
  const char* name;
  std::vector<OutputType> of;
  Aggregation aggregation;
  bool higher_is_better;
};

using enum OutputType;
const std::vector<MetricKind>& MetricKinds() {
  static const auto& kinds = *new std::vector<MetricKind>{
      {"acc", {kMultipleChoice, kLoglikelihood}, Aggregation::kMean, true},
      {"acc_norm", {kMultipleChoice}, Aggregation::kMean, true},
      {"acc_bytes", {kMultipleChoice}, Aggregation::kMean, true},
      {"acc_mutual_info", {kMultipleChoice}, Aggregation::kMean, true},
      {"exact_match", {kMultipleChoice, kGenerateUntil}, Aggregation::kMean, true},
      {"perplexity", {kLoglikelihood}, Aggregation::kPerplexity, false},
      {"word_perplexity", {kLoglikelihoodRolling}, Aggregation::kWeightedPerplexity, false},
      {"byte_perplexity", {kLoglikelihoodRolling}, Aggregation::kWeightedPerplexity, false},
      {"bits_per_byte", {kLoglikelihoodRolling}, Aggregation::kBitsPerByte, false}};
  return kinds;
}

// What lm_eval measures where the task names no metric.
std::vector<std::string> DefaultMetrics(OutputType type) {
  switch (type) {
    case kMultipleChoice:
      return {"acc", "acc_norm"};
    case kLoglikelihood:
      return {"perplexity", "acc"};
    case kLoglikelihoodRolling:
      return {"word_perplexity", "byte_perplexity", "bits_per_byte"};
    case kGenerateUntil:
      return {"exact_match"};
  }
  return {};
}

const std::vector<std::pair<std::string, OutputType>> kOutputTypes = {{"multiple_choice", kMultipleChoice},
                                                                      {"loglikelihood", kLoglikelihood},
                                                                      {"loglikelihood_rolling", kLoglikelihoodRolling},
                                                                      {"generate_until", kGenerateUntil}};
const std::vector<std::pair<std::string, Aggregation>> kAggregations = {
    {"mean", Aggregation::kMean},
    {"perplexity", Aggregation::kPerplexity},
    {"weighted_perplexity", Aggregation::kWeightedPerplexity},
    {"bits_per_byte", Aggregation::kBitsPerByte}};

class TaskReader : private YamlReader {
 public:
  explicit TaskReader(const std::string& path) : YamlReader(path) { config_.path = path; }

  absl::StatusOr<TaskConfig> Read(const YamlNode& root) {
    config_.doc_to_text = config_.doc_to_target = config_.doc_to_choice = config_.description = JinjaValue(nullptr);
    const Keys keys = {
        {"task", [&](const auto& n) { return Text(n, &config_.task); }},
        {"dataset_path", [&](const auto& n) { return DatasetPath(n); }},
        {"dataset_name",
         [&](const auto& n) { return n.IsNull() ? absl::OkStatus() : Wrong(n, "null, as local files need no name"); }},
        {"dataset_kwargs",
         [&](const auto& n) {
           return Map(n, {{"data_files", [&](const auto& m) { return DataFiles(m); }}}, {});
         }},
        {"training_split", [&](const auto& n) { return OptionalText(n, &config_.training_split); }},
        {"validation_split", [&](const auto& n) { return OptionalText(n, &config_.validation_split); }},
        {"test_split", [&](const auto& n) { return OptionalText(n, &config_.test_split); }},
        {"fewshot_split", [&](const auto& n) { return OptionalText(n, &config_.fewshot_split); }},
        {"output_type", [&](const auto& n) { return Choice(n, kOutputTypes, &config_.output_type); }},
        {"doc_to_text", [&](const auto& n) { return Value(n, &config_.doc_to_text); }},
        {"doc_to_target", [&](const auto& n) { return Value(n, &config_.doc_to_target); }},
        {"doc_to_choice", [&](const auto& n) { return Choices(n); }},
        {"description", [&](const auto& n) { return Value(n, &config_.description); }},
        {"target_delimiter", [&](const auto& n) { return Text(n, &config_.target_delimiter); }},
        {"fewshot_delimiter", [&](const auto& n) { return Text(n, &config_.fewshot_delimiter); }},
        {"fewshot_config", [&](const auto& n) { return FewshotConfig(n); }},
        {"num_fewshot", [&](const auto& n) { return n.IsNull() ? absl::OkStatus() : Integer(n, 0, &config_.num_fewshot); }},
        {"generation_kwargs", [&](const auto& n) { return Generation(n); }},
        {"metric_list", [&](const auto& n) { return Metrics(n); }},
        {"repeats", [&](const auto& n) { return One(n); }},
        {"metadata", [&](const auto& n) { return Metadata(n); }},
        {"tag", Ignored},
        {"task_alias", Ignored},
        {"should_decontaminate", Ignored},
        {"doc_to_decontamination_query", Ignored},
        {"unsafe_code", Ignored}};
    // output_type decides which metrics there are, whatever the order of the keys.
    RADLADS_RETURN_IF_ERROR(Map(root, keys,
                                {"process_docs", "process_results", "filter_list", "gen_prefix", "use_prompt",
                                 "doc_to_image", "doc_to_audio", "custom_dataset", "include", "group", "class"},
                                {"output_type"}));
    if (config_.task.empty()) return Missing("task");
    if (config_.data_files.empty()) return Missing("dataset_kwargs.data_files");
    if (config_.doc_to_text.is_none()) return Missing("doc_to_text");
    if (config_.doc_to_target.is_none()) return Missing("doc_to_target");
    if (config_.output_type == kMultipleChoice && config_.doc_to_choice.is_none()) return Missing("doc_to_choice");
    if (!config_.test_split && !config_.validation_split) return Missing("test_split or validation_split");
    for (const auto& split :
         {config_.training_split, config_.validation_split, config_.test_split, config_.fewshot_split}) {
      if (split && !config_.data_files.contains(*split)) {
        return InvalidArgument(config_.path, ": the split ", *split, " has no files in dataset_kwargs.data_files");
      }
    }
    if (!until_given_) config_.generation.until = {config_.fewshot_delimiter};
    if (config_.metrics.empty()) {
      for (const std::string& name : DefaultMetrics(config_.output_type)) {
        RADLADS_RETURN_IF_ERROR(AddMetric(root, name));
      }
    }
    return config_;
  }

 private:
  static absl::Status Ignored(const YamlNode&) { return absl::OkStatus(); }

  absl::Status Missing(const char* key) const { return InvalidArgument(config_.path, ": ", key, " is missing"); }

  absl::Status Choices(const YamlNode& node) {
    if (!node.IsMap()) return Value(node, &config_.doc_to_choice);
    JinjaValue::List list;
    for (const auto& [key, choice] : node.entries) RADLADS_RETURN_IF_ERROR(Scalar(*choice, &list.emplace_back()));
    config_.doc_to_choice = JinjaValue(std::move(list));
    return absl::OkStatus();
  }

  absl::Status DatasetPath(const YamlNode& node) const {
    return node.IsScalar() && node.text == "json"
               ? absl::OkStatus()
               : Wrong(node,
                       "json: only local files are read (dataset_kwargs.data_files); download the data set first");
  }

  absl::Status DataFiles(const YamlNode& node) {
    if (!node.IsMap()) return Texts(node, &config_.data_files["train"]);
    for (const auto& [split, files] : node.entries) {
      RADLADS_RETURN_IF_ERROR(Texts(*files, &config_.data_files[split->text]));
    }
    return absl::OkStatus();
  }

  absl::Status FewshotConfig(const YamlNode& node) {
    const std::vector<std::pair<std::string, bool>> samplers = {{"default", false}, {"first_n", true}};
    return Map(node,
               {{"sampler", [&](const auto& n) { return Choice(n, samplers, &config_.fewshot_first_n); }},
                {"split", [&](const auto& n) { return OptionalText(n, &config_.fewshot_split); }}},
               {"process_docs", "fewshot_indices", "samples", "doc_to_text", "doc_to_choice", "doc_to_target",
                "gen_prefix", "fewshot_delimiter", "target_delimiter"});
  }

  absl::Status One(const YamlNode& node) const {
    int64_t repeats;
    RADLADS_RETURN_IF_ERROR(Integer(node, 1, &repeats));
    return repeats == 1 ? absl::OkStatus() : Wrong(node, "1: answers are not sampled, so repeats would be equal");
  }

  absl::Status Greedy(const YamlNode& node) const {
    bool sample = true;
    RADLADS_RETURN_IF_ERROR(Bool(node, &sample));
    return sample ? Wrong(node, "false: sampled answers are not reproducible across harnesses") : absl::OkStatus();
  }

  absl::Status Zero(const YamlNode& node) const {
    const YamlScalar scalar = node.IsScalar() ? ReadYamlScalar(node) : YamlScalar();
    const bool number = scalar.type == YamlScalar::Type::kInt || scalar.type == YamlScalar::Type::kFloat;
    return number && scalar.integer == 0 && scalar.real == 0
               ? absl::OkStatus()
               : Wrong(node, "0: sampled answers are not reproducible across harnesses");
  }

  absl::Status Generation(const YamlNode& node) {
    const auto tokens = [&](const auto& n) { return Integer(n, 1, &config_.generation.max_new_tokens); };
    return Map(node,
               {{"until",
                 [&](const auto& n) {
                   until_given_ = true;
                   return Texts(n, &config_.generation.until);
                 }},
                // The later wins, as in lm_eval's normalize_gen_kwargs.
                {"max_completion_tokens", tokens},
                {"max_tokens", tokens},
                {"max_new_tokens", tokens},
                {"max_gen_toks", tokens},
                {"do_sample", [&](const auto& n) { return Greedy(n); }},
                {"temperature", [&](const auto& n) { return Zero(n); }}},
               {"top_p", "top_k", "num_beams", "repetition_penalty"});
  }

  absl::Status Metrics(const YamlNode& node) {
    if (!node.IsList() || node.items.empty()) return Wrong(node, "a list of metrics");
    for (const YamlPointer& entry : node.items) {
      const YamlNode* named = entry->Find("metric");
      if (named == nullptr) return Wrong(*entry, "a map with the key metric");
      std::string name;
      RADLADS_RETURN_IF_ERROR(Text(*named, &name));
      RADLADS_RETURN_IF_ERROR(AddMetric(*named, name));
      MetricConfig& metric = config_.metrics.back();
      Keys keys = {{"metric", Ignored},
                   {"aggregation", [&](const auto& n) { return Aggregated(n, &metric); }},
                   {"higher_is_better", [&](const auto& n) { return Bool(n, &metric.higher_is_better); }}};
      if (name == "exact_match" && config_.output_type == kGenerateUntil) {
        keys.emplace_back("ignore_case", [&](const auto& n) { return Bool(n, &metric.ignore_case); });
        keys.emplace_back("ignore_punctuation", [&](const auto& n) { return Bool(n, &metric.ignore_punctuation); });
        keys.emplace_back("ignore_numbers", [&](const auto& n) { return Bool(n, &metric.ignore_numbers); });
        keys.emplace_back("regexes_to_ignore", [&](const auto& n) { return Texts(n, &metric.regexes_to_ignore); });
      }
      RADLADS_RETURN_IF_ERROR(Map(*entry, keys, {"hf_evaluate"}));
    }
    return absl::OkStatus();
  }

  absl::Status Aggregated(const YamlNode& node, MetricConfig* metric) const {
    const Aggregation natural = metric->aggregation;
    RADLADS_RETURN_IF_ERROR(Choice(node, kAggregations, &metric->aggregation));
    const auto weighted = [](Aggregation a) {
      return a == Aggregation::kWeightedPerplexity || a == Aggregation::kBitsPerByte;
    };
    return weighted(natural) == weighted(metric->aggregation)
               ? absl::OkStatus()
               : Wrong(node, "an aggregation of what " + metric->name + " gives for a document");
  }

  absl::Status AddMetric(const YamlNode& node, const std::string& name) {
    std::vector<std::string> names;
    for (const MetricKind& kind : MetricKinds()) {
      if (std::find(kind.of.begin(), kind.of.end(), config_.output_type) == kind.of.end()) continue;
      names.push_back(kind.name);
      if (name != kind.name) continue;
      if (config_.HasMetric(name)) return InvalidArgument(At(node), "the metric ", name, " is listed twice");
      config_.metrics.push_back(
          {.name = name, .aggregation = kind.aggregation, .higher_is_better = kind.higher_is_better});
      return absl::OkStatus();
    }
    const std::string nearest = NearestName(name, names);
    std::string all;
    for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
    return InvalidArgument(At(node), "unknown metric ", name, " for ", OutputTypeName(config_.output_type),
                           nearest.empty() ? "; there are " + all : "; did you mean " + nearest + "?");
  }

  absl::Status Metadata(const YamlNode& node) {
    const YamlNode* version = node.Find("version");
    if (version == nullptr || !version->IsScalar()) return absl::OkStatus();
    const YamlScalar scalar = ReadYamlScalar(*version);
    config_.version = scalar.type == YamlScalar::Type::kInt     ? JinjaValue(scalar.integer)
                      : scalar.type == YamlScalar::Type::kFloat ? JinjaValue(scalar.real)
                                                                : JinjaValue(version->text);
    return absl::OkStatus();
  }

  TaskConfig config_;
  bool until_given_ = false;
};

}  // namespace

const char* OutputTypeName(OutputType type) {
  for (const auto& [name, value] : kOutputTypes) {
    if (value == type) return name.c_str();
  }
  return "";
}

bool TaskConfig::HasMetric(std::string_view name) const {
  return std::any_of(metrics.begin(), metrics.end(), [&](const MetricConfig& metric) { return metric.name == name; });
}

absl::StatusOr<TaskConfig> ParseTaskConfig(const std::string& text, const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const YamlPointer root, ParseYaml(text, path));
  return TaskReader(path).Read(*root);
}

absl::StatusOr<TaskConfig> ReadTaskConfig(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseTaskConfig(text, path);
}

}  // namespace radlads
