// Real disks of a few MiB, for tests of what a full one does: tmpfs, mounted where only the test and the programs that
// it starts see them. No privileges are needed where the system lets a process have a user and a mount namespace.
//
//   int main(int argc, char** argv) {
//     radlads::AllowSmallDisks();  // or depend on //testing:small_disk_main, which is this main
//     ::testing::InitGoogleTest(&argc, argv);
//     return RUN_ALL_TESTS();
//   }
//   TEST(ReportTest, AFullDiskIsTold) {
//     RADLADS_SKIP_WITHOUT_SMALL_DISKS();
//     SmallDisk disk(4 << 20);
//     disk.FillBut(100'000);
//     EXPECT_EQ(WriteReport(disk.path() + "/report.json").code(), ...);
//   }
#ifndef RADLADS_TESTING_SMALL_DISK_H_
#define RADLADS_TESTING_SMALL_DISK_H_

#include <cstdint>
#include <string>

namespace radlads {

// Gives this process a user and a mount namespace of its own, with the same user. To be called at the beginning of
// main: the system refuses it to a process of several threads.
void AllowSmallDisks();
// Why there are none here ("unshare: Operation not permitted ..."); empty where they can be made.
const std::string& WhyNoSmallDisks();

#define RADLADS_SKIP_WITHOUT_SMALL_DISKS() \
  if (!::radlads::WhyNoSmallDisks().empty()) GTEST_SKIP() << ::radlads::WhyNoSmallDisks()

// Mounted with the object, and gone with it. What fails aborts. Sizes are rounded up to pages of 4096 bytes, and a file
// takes whole pages.
class SmallDisk {
 public:
  explicit SmallDisk(int64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // An empty folder of the test's own.
  const std::string& path() const { return path_; }
  int64_t free_bytes() const;
  // Files stay; not below what they take.
  void Resize(int64_t bytes);
  // A file of somebody else, "ballast", takes all but `bytes`; or as much as there is, where less is free. It takes the
  // place of the one before; FillBut(INT64_MAX) takes it away.
  void FillBut(int64_t bytes);

 private:
  std::string path_;
};

}  // namespace radlads

#endif  // RADLADS_TESTING_SMALL_DISK_H_
