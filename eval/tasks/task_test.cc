#include "eval/tasks/task.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/tasks/requests.h"
#include "eval/tasks/task_config.h"

namespace radlads {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int64_t>;

constexpr const char* kTasks[] = {"arc_easy", "piqa", "science", "lambada", "blanks", "prose", "sums",
                                  "digits", "digit_columns", "digit_works", "digit_labels", "line_feeds"};

const Json& Golden() {
  static const Json& golden = *new Json(Json::parse(std::ifstream("eval/testdata/tasks_golden.json")));
  return golden;
}

Task LoadTask(const std::string& name) {
  auto config = ReadTaskConfig("eval/testdata/" + name + ".yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  auto task = Task::Load(*std::move(config));
  EXPECT_TRUE(task.ok()) << task.status();
  return *std::move(task);
}

TEST(Requests, TextsAndIdsAreThoseOfLmEval) {
  const auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/smollm2");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const int64_t prefix = (*tokenizer)->bos_id().value();
  RequestEncoder encoder(**tokenizer, prefix);
  for (const char* name : kTasks) {
    const Task task = LoadTask(name);
    const auto requests = BuildRequests(task, {});
    ASSERT_TRUE(requests.ok()) << requests.status();
    size_t next = 0;
    for (const Json& document : Golden()["samples"][name]) {
      for (const Json& request : document["requests"]) {
        ASSERT_LT(next, requests->size()) << name;
        const TaskRequest& ours = (*requests)[next++];
        const Json& arguments = request["arguments"];
        switch (task.config().output_type) {
          case OutputType::kLoglikelihoodRolling:
            EXPECT_EQ(ours.continuation, arguments[0].get<std::string>()) << name;
            EXPECT_EQ(encoder.Encode(ours.continuation), request["ids"].get<Ids>()) << name << ours.continuation;
            break;
          case OutputType::kGenerateUntil:
            EXPECT_EQ(ours.context, arguments[0].get<std::string>()) << name;
            EXPECT_EQ(encoder.Encode(ours.context), request["ids"].get<Ids>()) << name << ours.context;
            break;
          default: {
            EXPECT_EQ(ours.context, arguments[0].get<std::string>()) << name;
            EXPECT_EQ(ours.continuation, arguments[1].get<std::string>()) << name;
            TokenPair pair = encoder.EncodePair(ours.context, ours.continuation);
            if (pair.context.empty()) pair.context = {prefix};
            EXPECT_EQ(pair.context, request["ids"][0].get<Ids>()) << name << ours.context;
            EXPECT_EQ(pair.continuation, request["ids"][1].get<Ids>()) << name << ours.continuation;
          }
        }
      }
    }
    EXPECT_EQ(next, requests->size()) << name;
  }
}

TEST(Requests, ALimitDoesNotChangeWhatADocumentIsAsked) {
  const Task task = LoadTask("piqa");
  const auto all = BuildRequests(task, {}), three = BuildRequests(task, {.limit = 3});
  ASSERT_TRUE(all.ok() && three.ok());
  ASSERT_EQ(three->size(), 12u);
  for (size_t i = 0; i < three->size(); ++i) EXPECT_EQ((*three)[i].context, (*all)[i].context);
  EXPECT_NE((*BuildRequests(task, {.fewshot_seed = 5}))[0].context, (*all)[0].context);
}

TEST(Requests, SpaceAtTheEndOfTheContextGoesToTheContinuation) {
  const auto tokenizer = Tokenizer::Load("data/tokenizer/testdata/smollm2");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  RequestEncoder encoder(**tokenizer, 1);
  const TokenPair spaced = encoder.EncodePair("The answer is  ", "yes"),
                  plain = encoder.EncodePair("The answer is", "  yes");
  EXPECT_EQ(spaced.context, plain.context);
  EXPECT_EQ(spaced.continuation, plain.continuation);
}

TEST(TaskConfig, ReadsWhatTheYamlSays) {
  const Task task = LoadTask("sums");
  const TaskConfig& config = task.config();
  EXPECT_EQ(config.task, "sums");
  EXPECT_EQ(config.output_type, OutputType::kGenerateUntil);
  EXPECT_EQ(config.generation.until, (std::vector<std::string>{"\n", "Q:"}));
  EXPECT_EQ(config.generation.max_new_tokens, 16);
  EXPECT_EQ(config.fewshot_delimiter, "\n");
  ASSERT_EQ(config.metrics.size(), 1u);
  EXPECT_TRUE(config.metrics[0].ignore_case);
  EXPECT_EQ(config.metrics[0].regexes_to_ignore.size(), 2u);
  EXPECT_EQ(task.documents().size(), 8u);
}

// Each replaces `from` in the YAML of arc_easy by `to`.
TEST(TaskConfig, ErrorsNameLineAndRemedy) {
  std::ifstream file("eval/testdata/arc_easy.yaml");
  const std::string yaml((std::istreambuf_iterator<char>(file)), {});
  struct Case {
    std::string from, to, message;
  };
  for (const Case& c : std::vector<Case>{
           {"num_fewshot: 0", "num_fewshots: 0", "t.yaml:8: unknown key num_fewshots; did you mean num_fewshot?"},
           {"num_fewshot: 0", "num_fewshot: few", "t.yaml:8: found \"few\", expected an integer of at least 0"},
           {"multiple_choice", "multiple_choices", "expected one of multiple_choice, loglikelihood"},
           {"metric: acc_norm", "metric: acc_nrom",
            "unknown metric acc_nrom for multiple_choice; did you mean acc_norm?"},
           {"metric: acc_norm", "metric: perplexity", "unknown metric perplexity for multiple_choice"},
           {"metric: acc_norm", "metric: acc", "listed twice"},
           {"num_fewshot: 0", "process_docs: !function utils.process_docs", "t.yaml:8: process_docs is outside"},
           {"doc_to_target: label", "doc_to_target: !function utils.target", "Python code"},
           {"doc_to_choice: choices", "doc_to_choice: [yes, no]", "put it in quotes"},
           {"dataset_path: json", "dataset_path: allenai/ai2_arc", "only local files are read"},
           {"test_split: test", "test_split: tset", "the split tset has no files"},
           {"task: arc_easy", "alias: arc_easy", "unknown key alias"},
           {"doc_to_target: label", "", "doc_to_target is missing"},
           {"task: arc_easy", "task: [", "t.yaml:"}}) {
    std::string text = yaml;
    text.replace(text.find(c.from), c.from.size(), c.to);
    const auto config = ParseTaskConfig(text, "t.yaml");
    EXPECT_NE(config.status().message().find(c.message), absl::string_view::npos) << c.to << ": " << config.status();
  }
  EXPECT_EQ(ReadTaskConfig("no/such.yaml").status().code(), absl::StatusCode::kNotFound);
}

// As Python's yaml.dump writes line feeds.
TEST(TaskConfig, QuotedLineFeedsAreRead) {
  const TaskConfig config = LoadTask("line_feeds").config();
  EXPECT_EQ(config.generation.until, (std::vector<std::string>{"\n", "Q:"}));
  EXPECT_EQ(config.fewshot_delimiter, "\n\n");
  EXPECT_EQ(config.target_delimiter, "\n");
}

Task WithDocuments(const std::string& lines, const std::string& target, const std::string& choices) {
  auto config = ReadTaskConfig("eval/testdata/digits.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  const std::string path = testing::TempDir() + "/documents.jsonl";
  std::ofstream(path) << lines;
  config->data_files["test"] = {path};
  config->doc_to_target = JinjaValue(target);
  config->doc_to_choice = JinjaValue(choices);
  auto task = Task::Load(*std::move(config));
  EXPECT_TRUE(task.ok()) << task.status();
  return *std::move(task);
}

TEST(Task, ColumnsKeepTheirTypeAndTemplatesSpellNumbers) {
  const std::string lines =
      "{\"question\": \"a\", \"s\": \"2\", \"i\": 2, \"f\": 1, \"l\": [\"0\", \"1\"], \"n\": null, \"big\": 12345678901234567890}\n"
      "{\"question\": \"b\", \"s\": \"3\", \"i\": 3, \"f\": 1.5, \"l\": [\"2\"], \"n\": null, \"big\": 1}\n";
  const auto repr = [&](const std::string& target) {
    const Task task = WithDocuments(lines, target, "l");
    return task.Target(task.documents()[0])->Repr().value();
  };
  EXPECT_EQ(repr("s"), "'2'");
  EXPECT_EQ(repr("{{s}}"), "2");
  EXPECT_EQ(repr("i"), "2");
  EXPECT_EQ(repr("f"), "1.0") << "the other document has a float";
  EXPECT_EQ(repr("{{f}}"), "'1.0'");
  EXPECT_EQ(repr("l"), "['0', '1']");
  EXPECT_EQ(repr("{{l}}"), "['0', '1']");
  EXPECT_EQ(repr("[{{i}}, 1]"), "[2, 1]");
  EXPECT_EQ(repr("[{{i}}, x]"), "'[2, x]'");
  EXPECT_EQ(repr("n"), "None");
  EXPECT_EQ(repr("big"), "1.2345678901234567e+19");
  const Task task = WithDocuments(lines, "{{['a'].index('a')}}", "['x', '{{s}}']");
  EXPECT_EQ(*task.Choices(task.documents()[1]), (std::vector<std::string>{"x", "3"}));
  const Task zeros = WithDocuments(lines, "s", "l");
  auto config = zeros.config();
  config.doc_to_target = JinjaValue(std::string("0{{s}}"));
  EXPECT_NE(Task::Load(config).status().message().find("doc_to_target of document 0: found 02, expected a number"),
            absl::string_view::npos);
}

TEST(Task, ReadsJsonAsPython) {
  const Task task = WithDocuments(
      "{\"question\": \"a\", \"x\": NaN, \"y\": [Infinity, -Infinity, 1e999]}\n\n{\"question\": \"b\", \"question\": \"c\"}\n",
      "{{x}} {{y}}", "['a']");
  EXPECT_EQ(task.Target(task.documents()[0])->as_string(), "nan [inf, -inf, inf]");
  EXPECT_EQ(task.Target(task.documents()[1])->as_string(), "None None");
  EXPECT_EQ(task.Text(task.documents()[1])->as_string(), "c\nA:");
}

TEST(Task, ErrorsOfDataNameFileAndLine) {
  auto config = ReadTaskConfig("eval/testdata/arc_easy.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  config->data_files["test"] = {"eval/testdata/arc_easy.yaml"};
  auto task = Task::Load(*config);
  EXPECT_NE(task.status().message().find("eval/testdata/arc_easy.yaml:1: not JSON: at byte 1, "), absl::string_view::npos)
      << task.status();
  config->data_files["test"] = {"no/such.jsonl"};
  EXPECT_EQ(Task::Load(*config).status().code(), absl::StatusCode::kNotFound);

  config = ReadTaskConfig("eval/testdata/arc_easy.yaml");
  config->doc_to_text = JinjaValue(std::string("{{querry}}"));
  task = Task::Load(*config);
  EXPECT_NE(task.status().message().find("\"querry\" is undefined"), absl::string_view::npos) << task.status();
}

}  // namespace
}  // namespace radlads
