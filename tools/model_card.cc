#include "tools/model_card.h"

#include <cmath>
#include <cstdio>

#include "base/file.h"
#include "base/progress.h"
#include "base/status.h"
#include "distill/report_data.h"
#include "eval/compare.h"
#include "model/layer_plan.h"

namespace radlads {
namespace {

constexpr char kUse[] = R"(## How to use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("PATH"%s, dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("PATH"%s)
inputs = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0]))
```
)";

std::string Number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string Row(const std::string& key, const std::string& value) {
  return Concatenate("| ", key, " | ", value, " |\n");
}

// "RAD-RWKV7, 27 layers; softmax attention, 3 layers".
std::string Mixers(const ModelConfig& config) {
  const auto plan = PlanLayers(config);
  RADLADS_CHECK(plan.ok()) << plan.status();  // of a model that was opened
  std::vector<std::pair<std::string, int>> counted;
  for (const LayerPlan& layer : *plan) {
    const std::string name = IsSoftmax(layer.time_mixer)          ? "softmax attention"
                             : layer.time_mixer == "rad_rwkv6" ? "RAD-RWKV6"
                                                                 : "RAD-RWKV7";
    if (counted.empty() || counted.back().first != name) counted.emplace_back(name, 0);
    ++counted.back().second;
  }
  std::string text;
  for (const auto& [name, layers] : counted) {
    text += Concatenate(text.empty() ? "" : "; ", name, ", ", layers, layers == 1 ? " layer" : " layers");
  }
  return text;
}

std::string Training(const ReportData& run) {
  std::string text = "\n## Training\n\n| stage | tokens | loss |\n|---|---|---|\n";
  for (const ReportStage& stage : run.stages) {
    const double loss = stage.Last("loss");
    text += Concatenate("| ", stage.name.empty() ? "training" : stage.name, " | ", HumanCount(stage.Tokens()), " | ",
                        std::isnan(loss) ? "" : Number(loss, 4), " |\n");
  }
  if (run.scores.empty()) return text;
  text += "\nPerplexity on text that was not trained on:\n\n| model | perplexity | times the teacher's |\n|---|---|---|\n";
  for (const ReportScore& score : run.scores) {
    text += Concatenate("| ", score.name, " | ", Number(score.perplexity, 2), " | ",
                        std::isnan(score.ratio) ? "" : Number(score.ratio, 3), " |\n");
  }
  return text;
}

std::string Retention(const Comparison& comparison) {
  std::string text = "\n## What it keeps of its teacher\n\n| task | metric | teacher | student | kept beyond chance |\n|---|---|---|---|---|\n";
  auto row = [&](const std::string& task, const std::string& metric, const ComparedValue& teacher, const ComparedValue& student,
                 bool is_share) {
    const double relative = student.relative.value_or(NAN);
    text += Concatenate("| ", task, " | ", metric, " | ", Number(teacher.value, 4), " | ", Number(student.value, 4), " | ",
                        std::isnan(relative) ? "" : is_share ? Number(100 * relative, 1) + "%" : Number(relative, 3) + " x", " |\n");
  };
  for (const ComparedMetric& metric : comparison.metrics) {
    row(metric.task, metric.metric, metric.values[0], metric.values[1], metric.higher_is_better);
  }
  if (comparison.average.size() == 2) row("average", "", comparison.average[0], comparison.average[1], true);
  return text;
}

}  // namespace

absl::StatusOr<std::string> ModelCard(const Checkpoint& checkpoint, const std::string& dtype, const ModelCardSources& sources) {
  const ModelConfig& config = checkpoint.config;
  const bool is_student = !IsSoftmax(config.tmix()) || (!config.tmix2().empty() && !IsSoftmax(config.tmix2()));
  int64_t parameters = 0;
  for (const TensorInfo& info : checkpoint.parameters) {
    int64_t elements = 1;
    for (const int64_t size : info.shape) elements *= size;
    parameters += elements;
  }
  ReportData run;
  if (!sources.run.empty()) {
    auto read = ReadReportData(sources.run);
    if (!read.ok() && !absl::IsNotFound(read.status())) return read.status();
    if (read.ok()) run = *std::move(read);
  }
  const std::string teacher = !sources.base_model.empty() ? sources.base_model : run.teacher.name;

  std::string text = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n";
  if (!sources.base_model.empty()) text += "base_model: " + sources.base_model + "\n";
  if (is_student) text += "tags:\n- rwkv\n- linear-attention\n- radlads\n";
  text += "---\n# " + sources.title + "\n\n";
  if (is_student) {
    text += Concatenate("A language model whose memory per sequence does not grow with its recurrent layers, distilled", teacher.empty() ? "" : " from " + teacher,
                        " by the [RADLADS recipe](https://arxiv.org/abs/2505.03005) with radlads.\n\n");
  } else {
    text += "Exported by radlads.\n\n";
  }
  text += "| | |\n|---|---|\n";
  text += Row("time mixers", Mixers(config));
  text += Row("parameters", Concatenate(HumanCount(parameters), " (", dtype, ")"));
  text += Row("width, heads", Concatenate(config.n_embd(), ", ", config.dim_att() / config.head_size(), " of ", config.head_size()));
  text += Row("vocabulary", std::to_string(config.vocab_size()));
  if (!teacher.empty()) text += Row("teacher", teacher);
  if (!run.stages.empty()) {
    double tokens = 0;
    for (const ReportStage& stage : run.stages) tokens += stage.Tokens();
    text += Row("trained on", HumanCount(tokens) + " tokens");
  }
  text += "\n";
  char use[1024];
  const char* trust = is_student ? ", trust_remote_code=True" : "";
  std::snprintf(use, sizeof(use), kUse, trust, trust);
  text += use;
  if (is_student) {
    text += "\nThe model code beside the weights is plain PyTorch, for transformers 4.5x and 5: prompts are read in chunks, "
            "`generate()`\ncarries the state in a `RadladsCache`, padding may be on either side. Chat with it, serve it or train it on with "
            "radlads as it is.\n";
  }
  if (!run.stages.empty()) text += Training(run);
  if (!sources.results.empty()) {
    RADLADS_ASSIGN_OR_RETURN(const Comparison comparison, CompareResults(sources.teacher_results, {sources.results}));
    text += Retention(comparison);
  }
  return text;
}

}  // namespace radlads
