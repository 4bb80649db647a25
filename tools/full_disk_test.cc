// Import, export, generation and evaluation on disks that are full before they are done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "testing/full_disk_trial.h"
#include "testing/run_program.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Command = std::vector<std::string>;

constexpr char kGguf[] = "model/checkpoint/testdata/tiny_llama.gguf";

// Pages and perplexities name times; the answers of a run that was continued stand in another order.
std::string Compared(const std::string& name, std::string contents) {
  if (name.ends_with("requests.jsonl")) return "";
  return name.ends_with(".html") || name.ends_with("perplexity.json") ? "written" : contents;
}

class FullDiskTest : public ::testing::Test {
 protected:
  // A small model with its tokenizer.
  static std::string Model() {
    static const std::string* const model = [] {
      auto* directory = new std::string(::testing::TempDir() + "/model");
      const Outcome imported = RunProgram({"tools/import_checkpoint", "--from", kGguf, "--to", *directory, "--force"});
      EXPECT_EQ(imported.code, 0) << imported.errors;
      return directory;
    }();
    return *model;
  }

  static void Try(const Command& command, const std::vector<Command>& before = {}) {
    EXPECT_GT(TryFullDisks({.command = command, .before = before, .rounds = 2, .compared = Compared}), 0);
  }
};

TEST_F(FullDiskTest, Import) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  const Command import = {"tools/import_checkpoint", "--from", kGguf, "--to", "DISK/model"};
  Try(import);
  // The older model stays until the new one is whole.
  Command other = import;
  other.insert(other.end(), {"--dtype", "bf16", "--force", "--max_shard_size", "60KB"});
  Try(other, {{"tools/import_checkpoint", "--from", kGguf, "--to", "DISK/model", "--dtype", "bf16", "--max_shard_size",
               "50KB"}});
}

TEST_F(FullDiskTest, Export) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  for (const char* to : {"DISK/hf", "DISK/model.gguf", "DISK/model.pth"}) {
    Try({"tools/export_checkpoint", "--from", Model(), "--to", to});
  }
}

TEST_F(FullDiskTest, Evaluation) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  const std::string text = ::testing::TempDir() + "/text.txt";
  ASSERT_TRUE(WriteFileAtomically(text, std::string(2000, 'a') + " few words more.\n").ok());
  Try({"eval/run", "perplexity", "--model", Model(), "--text", text, "--ctx", "32", "--dtype", "fp32", "--json",
       "DISK/perplexity.json", "--html", "DISK/perplexity.html"});
  Try({"eval/run", "tasks", "--model", Model(), "--tasks", "eval/testdata/arc_easy.yaml", "--limit", "6", "--dtype",
       "fp32", "--output", "DISK/tasks"});
}

TEST_F(FullDiskTest, WhatIsPrinted) {
  const std::string prompts = ::testing::TempDir() + "/prompts.txt";
  ASSERT_TRUE(WriteFileAtomically(prompts, "a question\n").ok());
  for (const Command& command : std::vector<Command>{
           {"tools/inspect", kGguf},
           {"tools/inspect", "--json", kGguf},
           {"tools/inspect", "--help"},
           {"tools/inspect", "--diff", kGguf, kGguf},
           {"tools/generate", "--model", Model(), "--prompt", "a", "--max_tokens", "2"},
           {"tools/generate", "--model", Model(), "--raw", "--prompts", prompts, "--max_tokens", "2"},
           {"tools/import_checkpoint", "--from", kGguf, "--to", ::testing::TempDir() + "/printed", "--force"},
           {"tools/export_checkpoint", "--from", kGguf, "--to", ::testing::TempDir() + "/printed.pth", "--force"}}) {
    const Outcome outcome = RunProgram(command, "/dev/null", "/dev/full");
    EXPECT_EQ(outcome.code, 1) << command[0] << " " << command[1] << ": " << outcome.errors;
    EXPECT_THAT(outcome.errors, HasSubstr("cannot write standard output: ")) << command[0] << " " << command[1];
  }
}

}  // namespace
}  // namespace radlads
