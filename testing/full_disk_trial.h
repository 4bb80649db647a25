// A program that writes, on disks that are full before it is done: it is to say what it wanted, leave what was there,
// and end with the same files as on a large disk when the same command is given again with room.
#ifndef RADLADS_TESTING_FULL_DISK_TRIAL_H_
#define RADLADS_TESTING_FULL_DISK_TRIAL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace radlads {

struct FullDiskTrial {
  using Command = std::vector<std::string>;  // "DISK" in an argument stands for the folder of the disk
  Command command;
  std::vector<Command> before;  // what is done on each disk before it is filled
  int rounds = 1;               // disks, each with more and more room until the command succeeds
  int64_t disk_bytes = 16 << 20;
  // What of a file of the disk (its name in it, its contents) is compared; default: all. Names for which nothing is
  // returned need not even be there each time.
  std::function<std::string(const std::string& name, std::string contents)> compared;
};

// Reports what goes otherwise to GoogleTest. Returns how often the disk was full. Where there are no small disks
// (WhyNoSmallDisks) this must not be called.
int TryFullDisks(const FullDiskTrial& trial);

}  // namespace radlads

#endif  // RADLADS_TESTING_FULL_DISK_TRIAL_H_
