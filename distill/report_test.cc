#include "distill/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "distill/metrics_log.h"

namespace radlads {
namespace {

class ReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    run_ = ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(run_);
    ASSERT_TRUE(MakeDirectories(run_).ok());
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(run_ + "/" + name, text).ok());
  }

  void WriteStage(const std::string& name, int kind, double first_perplexity, double last_perplexity, bool log_before) {
    const std::string directory = run_ + "/" + name;
    ASSERT_TRUE(MakeDirectories(directory).ok());
    Write(name + "/config.yaml",
          "model:\n  tmix: rad_rwkv7\ntrain:\n  attention_distillation_stage: " + std::to_string(kind) +
              "\n  teacher:\n    path: " + run_ + "/teacher/TinyTeacher\n  note: \"<b>\"\n");
    auto log = MetricsLog::Open(directory, 0);
    ASSERT_TRUE(log.ok()) << log.status();
    if (log_before) {
      ASSERT_TRUE(
          (*log)
              ->Write(0, 0, {{"validation_perplexity", first_perplexity}, {"teacher_validation_perplexity", 10}})
              .ok());
    }
    for (int step = 1; step <= 50; ++step) {
      ASSERT_TRUE(
          (*log)
              ->Write(step, step * 1000, {{"loss", 1.0 / step}, {"lr", 1e-3 / step}, {"tokens_per_second", 500}})
              .ok());
    }
    ASSERT_TRUE((*log)->Write(50, 50000, {{"validation_perplexity", last_perplexity}}).ok());
  }

  std::string Report() {
    const absl::Status status = WriteReport(run_);
    EXPECT_TRUE(status.ok()) << status;
    auto html = ReadFile(run_ + "/report.html");
    EXPECT_TRUE(html.ok()) << html.status();
    return html.ok() ? *html : "";
  }

  std::string run_;
};

#define EXPECT_CONTAINS(html, text) \
  EXPECT_NE((html).find(text), std::string::npos) << "no " << (text) << " in the report"

TEST_F(ReportTest, PipelineShowsStagesInOrderWithPerplexities) {
  Write("config.yaml", "pipeline:\n- name: second_by_name\n- name: first_by_name\n- name: not_run_yet\n");
  WriteStage("second_by_name", 1, 5000, 40, true);
  WriteStage("first_by_name", 2, 0, 16, false);
  ASSERT_TRUE(MakeDirectories(run_ + "/teacher/TinyTeacher").ok());
  Write("teacher/TinyTeacher/config.json", R"({"model_type":"llama","num_hidden_layers":30,"hidden_size":576})");
  const std::string html = Report();
  EXPECT_LT(html.find("after second_by_name"), html.find("after first_by_name"));
  EXPECT_CONTAINS(html, "TinyTeacher distilled into rad_rwkv7, 100 k tokens in 2 stages, 3m20s of training");
  EXPECT_CONTAINS(html, "<th scope=\"row\">before training</th><td>5000</td><td>10.00</td><td>500 ×</td>");
  EXPECT_CONTAINS(html, "<th scope=\"row\">after first_by_name</th><td>16.00</td><td>10.00</td><td>1.60 ×</td>");
  EXPECT_CONTAINS(html, "<td>576</td>");
  EXPECT_CONTAINS(html, "&lt;b&gt;");
  EXPECT_EQ(html.find("not_run_yet</h3>"), std::string::npos);
}

TEST_F(ReportTest, NeedsNoNetwork) {
  WriteStage("", 1, 5000, 40, true);
  const std::string html = Report();
  for (const char* foreign : {"http:", "https:", "src=", "@import", "url("}) {
    EXPECT_EQ(html.find(foreign), std::string::npos) << foreign;
  }
}

TEST_F(ReportTest, SamplesAndScoresAreShownEscaped) {
  WriteStage("", -1, 20, 15, true);
  Write("samples.json",
        R"([{"prompt":"Is 1 < 2?","teacher":"Yes & yes.","student":"<script>alert(1)</script>"},
            {"prompt":"Say nothing.","student":""}])");
  Write("perplexity.json", R"({"data":"held_out","ctx":512,"models":[{"name":"teacher","tokens":1000,"nll":2.5,
    "perplexity":12.18,"ratio":1,"tokens_per_second":900},{"name":"student","tokens":1000,"nll":2.8,"perplexity":16.44,"ratio":1.35}]})");
  const std::string html = Report();
  EXPECT_CONTAINS(html, "Is 1 &lt; 2?");
  EXPECT_CONTAINS(html, "Yes &amp; yes.");
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
  EXPECT_CONTAINS(html, "it ended at once");  // an empty answer is an answer
  EXPECT_CONTAINS(html, "<td>16.44</td><td>1.35 ×</td>");
}

TEST_F(ReportTest, DirectoryWithoutARunIsNotFound) {
  const absl::Status status = WriteReport(run_);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("metrics.jsonl"), std::string::npos) << status;
  EXPECT_FALSE(WriteReport(run_ + "/absent").ok());
}

TEST_F(ReportTest, MalformedSamplesNameTheFile) {
  WriteStage("", -1, 20, 15, true);
  for (const char* text : {"{", "{}", "[1]", R"([{"prompt":3}])"}) {
    Write("samples.json", text);
    const absl::Status status = WriteReport(run_);
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_NE(status.message().find("samples.json"), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace radlads
