#include "testing/full_disk_trial.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <random>

#include "base/file.h"
#include "testing/run_program.h"
#include "testing/small_disk.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;  // what is compared, by name

class Trial {
 public:
  explicit Trial(const FullDiskTrial& trial) : trial_(trial), random_(trial.command.size()) {}

  int Run() {
    std::string shown;
    for (const std::string& argument : trial_.command) shown += argument + " ";
    SCOPED_TRACE(shown);
    MeasureUndisturbed();
    for (int round = 0; round < trial_.rounds && !::testing::Test::HasFatalFailure(); ++round) Round(round);
    return full_;
  }

 private:
  static Outcome RunOn(const SmallDisk& disk, FullDiskTrial::Command command) {
    for (std::string& argument : command) {
      if (const size_t at = argument.find("DISK"); at != std::string::npos) argument.replace(at, 4, disk.path());
    }
    return RunProgram(command);
  }

  std::unique_ptr<SmallDisk> NewDisk() const {
    auto disk = std::make_unique<SmallDisk>(trial_.disk_bytes);
    for (const auto& command : trial_.before) {
      const Outcome outcome = RunOn(*disk, command);
      EXPECT_EQ(outcome.code, 0) << outcome.errors;
    }
    return disk;
  }

  Files FilesOn(const SmallDisk& disk) const {
    Files files;
    for (const auto& entry : fs::recursive_directory_iterator(disk.path())) {
      const std::string name = fs::relative(entry.path(), disk.path());
      if (!entry.is_regular_file() || name == "ballast") continue;
      auto contents = ReadFile(entry.path());
      EXPECT_TRUE(contents.ok()) << contents.status();
      if (trial_.compared) contents = trial_.compared(name, *std::move(contents));
      if (!contents->empty()) files[name] = *std::move(contents);
    }
    return files;
  }

  void MeasureUndisturbed() {
    const auto disk = NewDisk();
    const Outcome outcome = RunOn(*disk, trial_.command);
    ASSERT_EQ(outcome.code, 0) << outcome.errors;
    expected_ = FilesOn(*disk);
    taken_ = trial_.disk_bytes - disk->free_bytes();
  }

  void Round(int round) {
    const auto disk = NewDisk();
    const Files old = FilesOn(*disk);
    // As somebody makes room who does not know how much is wanted.
    for (int64_t room = round == 0 ? 0 : random_() % (taken_ + 1); true; room += 1 + random_() % (taken_ + 1)) {
      SCOPED_TRACE("room for " + std::to_string(room) + " of " + std::to_string(taken_) + " bytes, round " +
                   std::to_string(round));
      disk->FillBut(room);
      const Outcome outcome = RunOn(*disk, trial_.command);
      if (outcome.code == 0) break;
      ++full_;
      ASSERT_EQ(outcome.code, 1) << outcome.errors;
      ASSERT_NE(outcome.errors.find("No space left on device"), std::string::npos) << outcome.errors;
      ASSERT_NE(outcome.errors.find("make room"), std::string::npos) << outcome.errors;
      for (const auto& [name, contents] : FilesOn(*disk)) {
        if (name.find(".partial") != std::string::npos) {
          ASSERT_EQ(name.find(".partial-"), std::string::npos) << name << " was left behind";
          continue;  // of what is continued
        }
        // What was there, or a part of several that was whole before the disk was full.
        const auto was = old.find(name);
        const auto is = expected_.find(name);
        ASSERT_TRUE((was != old.end() && was->second == contents) || (is != expected_.end() && is->second == contents))
            << name << " is half written, with " << contents.size() << " bytes";
      }
      for (const auto& [name, contents] : old) ASSERT_TRUE(FileExists(disk->path() + "/" + name)) << name << " is gone";
    }
    const Files made = FilesOn(*disk);
    for (const auto& [name, contents] : made) ASSERT_TRUE(expected_.contains(name)) << name << " was left behind";
    for (const auto& [name, contents] : expected_) {
      ASSERT_TRUE(made.contains(name)) << name << " is missing";
      ASSERT_TRUE(made.at(name) == contents) << name << " is another than on a large disk";
    }
  }

  const FullDiskTrial& trial_;
  std::mt19937_64 random_;
  Files expected_;
  int64_t taken_ = 0;  // of the disk, in the end
  int full_ = 0;
};

}  // namespace

int TryFullDisks(const FullDiskTrial& trial) {
  return Trial(trial).Run();
}

}  // namespace radlads
