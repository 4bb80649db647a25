// make_binidx on a disk that is full before it is done, at random sizes: every verb that writes says what it wanted,
// leaves what was there, and makes the same bytes as on a large disk when the same command is given again with room.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/file.h"
#include "testing/full_disk_trial.h"
#include "testing/run_program.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// All but locks, what the database of a catalog keeps, and when a dataset was made.
std::string Compared(const std::string& name, std::string contents) {
  if (name.ends_with(".lock") || name.starts_with("catalog/index/")) return "";
  return name.ends_with(".json") ? "a description" : contents;
}

class MakeBinidxFullDiskTest : public ::testing::Test {
 protected:
  MakeBinidxFullDiskTest() : directory_(::testing::TempDir() + "/full_disk"), random_(1) {
    fs::remove_all(directory_);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    for (const auto& [name, documents] : {std::pair("a.jsonl", 600), {"b.jsonl", 500}}) {
      std::string text;
      for (int i = 0; i < documents; ++i) {
        text += "{\"text\": \"" + std::string(random_() % 1500, 'a' + random_() % 26) + "\"}\n";
      }
      EXPECT_TRUE(WriteFileAtomically(directory_ + "/" + name, text).ok());
    }
    for (const std::string name : {"a", "b"}) {
      const Outcome built =
          RunProgram({"data/make_binidx", "build", directory_ + "/" + name + ".jsonl", "--tokenizer",
                      "data/testdata/byte_tokenizer", "--output", directory_ + "/" + name, "--no_eos"});
      EXPECT_EQ(built.code, 0) << built.errors;
    }
  }

  std::vector<std::string> MakeBinidx(std::vector<std::string> arguments) const {
    for (std::string& argument : arguments) {
      if (argument.starts_with("DIR/")) argument.replace(0, 3, directory_);
    }
    arguments.insert(arguments.begin(), "data/make_binidx");
    return arguments;
  }

  // `arguments` on a disk where `before` was done before.
  void TryEveryRoom(const std::vector<std::string>& arguments,
                    const std::vector<std::vector<std::string>>& before = {}) {
    FullDiskTrial trial{.command = MakeBinidx(arguments), .before = {}, .rounds = 6, .compared = Compared};
    for (const auto& command : before) trial.before.push_back(MakeBinidx(command));
    EXPECT_GT(TryFullDisks(trial), 2);
  }

  const std::vector<std::string> kCopy = {"merge", "DIR/a", "--output", "DISK/made"};
  std::string directory_;
  std::mt19937_64 random_;
};

TEST_F(MakeBinidxFullDiskTest, Build) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  const std::vector<std::string> build = {
      "build", "DIR/a.jsonl", "DIR/b.jsonl", "--tokenizer", "data/testdata/byte_tokenizer", "--output", "DISK/made"};
  TryEveryRoom(build);
  // With points from which it is continued.
  std::vector<std::string> often = build;
  often.insert(often.end(), {"--checkpoint_seconds", "0"});
  TryEveryRoom(often);
  // An older dataset of the name stays until the new one is whole.
  std::vector<std::string> anew = build;
  anew.push_back("--restart");
  TryEveryRoom(anew, {kCopy});
}

TEST_F(MakeBinidxFullDiskTest, VerbsThatReadDatasets) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  TryEveryRoom({"append", "DISK/made", "DIR/b.jsonl"}, {kCopy});
  TryEveryRoom({"merge", "DIR/a", "DIR/b", "DIR/a", "--output", "DISK/made", "--checkpoint_seconds", "0"});
  TryEveryRoom({"split", "DIR/a", "--output", "DISK/part", "--tokens", "100000"});
  TryEveryRoom({"fix_eos", "DISK/made", "--eos", "256"}, {kCopy});
}

TEST_F(MakeBinidxFullDiskTest, Catalogs) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  const std::vector<std::string> import = {"import", "DIR/a", "--catalog", "DISK/catalog/one"};
  TryEveryRoom(import);
  TryEveryRoom({"import", "DIR/b", "--catalog", "DISK/catalog/two", "--copy"}, {import});
  TryEveryRoom({"build", "DIR/b.jsonl", "--tokenizer", "data/testdata/byte_tokenizer", "--output", "DISK/made",
                "--catalog", "DISK/catalog/two"},
               {import});
}

// What a catalog said is in it stays in it, whatever was refused in between; reading needs no room.
TEST_F(MakeBinidxFullDiskTest, ACatalogKeepsWhatItTook) {
  RADLADS_SKIP_WITHOUT_SMALL_DISKS();
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE(round);
    SmallDisk disk(4 << 20);
    const std::string catalog = disk.path() + "/catalog";
    std::vector<std::string> taken;
    int refused = 0;
    for (int i = 0; i < 12; ++i) {
      disk.FillBut(i % 4 == 3 ? INT64_MAX : random_() % 40'000);
      const std::string name = "d" + std::to_string(i);
      const Outcome outcome = RunProgram(MakeBinidx({"import", "DIR/a", "--catalog", catalog + "/" + name}));
      ASSERT_TRUE(outcome.code == 0 || outcome.code == 1) << outcome.code << ": " << outcome.errors;
      if (outcome.code == 0) {
        taken.push_back(name);
      } else {
        ++refused;
        ASSERT_THAT(outcome.errors, HasSubstr("make room"));
      }
      if (taken.empty()) continue;
      disk.FillBut(0);
      const Outcome list = RunProgram(MakeBinidx({"catalog", "list", catalog}));
      ASSERT_EQ(list.code, 0) << list.errors;
      for (const std::string& known : taken) ASSERT_THAT(list.output, HasSubstr(known + " ")) << i;
      ASSERT_EQ(RunProgram(MakeBinidx({"catalog", "check", catalog + "/" + taken.front()})).code, 0);
    }
    EXPECT_GT(refused, 0);
    disk.FillBut(INT64_MAX);
    const Outcome check = RunProgram(MakeBinidx({"catalog", "check", catalog}));
    EXPECT_EQ(check.code, 0) << check.errors;
  }
}

TEST_F(MakeBinidxFullDiskTest, WhatIsPrinted) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"info", "--json"}, {"stat"}, {"check"}, {"primes"}, {"sample"}}) {
    std::vector<std::string> arguments = MakeBinidx(command);
    arguments.insert(arguments.begin() + 2, directory_ + "/a");
    const Outcome outcome = RunProgram(arguments, "/dev/null", "/dev/full");
    EXPECT_EQ(outcome.code, 1) << command[0] << outcome.errors;
    EXPECT_THAT(outcome.errors, HasSubstr("cannot write standard output: ")) << command[0];
  }
}

}  // namespace
}  // namespace radlads
