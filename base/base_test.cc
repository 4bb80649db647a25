#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <numeric>
#include <set>
#include <vector>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/parallel_for.h"
#include "base/progress.h"
#include "base/status.h"

namespace radlads {
namespace {

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

int EntriesStartingWith(const std::string& directory, const std::string& prefix) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().filename().string().rfind(prefix, 0) == 0) ++count;
  }
  return count;
}

TEST(FileTest, WriteThenReadThenMap) {
  const std::string path = TestPath("round_trip");
  ASSERT_TRUE(WriteFileAtomically(path, std::string("a\0b", 3)).ok());
  auto read = ReadFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, std::string("a\0b", 3));
  auto mapped = MappedFile::Open(path);
  ASSERT_TRUE(mapped.ok()) << mapped.status();
  EXPECT_EQ((*mapped)->bytes().size(), 3u);
  EXPECT_EQ((*mapped)->bytes()[2], 'b');
}

// What reads a map too far gets zeros of its last page otherwise, and nobody notices.
TEST(FileDeathTest, AddressSanitizerSeesReadsBeyondAMap) {
#if defined(__SANITIZE_ADDRESS__)
  const std::string path = TestPath("mapped");
  ASSERT_TRUE(WriteFileAtomically(path, std::string(13, 'x')).ok());
  for (int time = 0; time < 2; ++time) {
    auto mapped = MappedFile::Open(path);
    ASSERT_TRUE(mapped.ok()) << mapped.status();
    const volatile uint8_t* bytes = (*mapped)->bytes().data();
    EXPECT_EQ(bytes[12], 'x');
    for (const int beyond : {13, 16, 4095}) EXPECT_DEATH((void)bytes[beyond], "AddressSanitizer") << beyond;
  }
#else
  GTEST_SKIP() << "built without --config=asan";
#endif
}

TEST(FileTest, MissingFileSaysWhich) {
  auto read = ReadFile(TestPath("nowhere"));
  EXPECT_EQ(read.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(read.status().message()).find("nowhere"), std::string::npos);
  EXPECT_EQ(MappedFile::Open(TestPath("nowhere")).status().code(), absl::StatusCode::kNotFound);
}

TEST(FileTest, FullDiskLeavesTheOldFileAndNoRubbish) {
  const std::string path = TestPath("full_disk");
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  SetDiskSpaceForTesting(10);
  absl::Status status = WriteFileAtomically(path, std::string(11, 'x'));
  SetDiskSpaceForTesting(-1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(*ReadFile(path), "old");
  EXPECT_EQ(EntriesStartingWith(::testing::TempDir(), "full_disk"), 1);
}

TEST(FileTest, DirectoryAppearsWholeOrNotAtAll) {
  const std::string path = TestPath("step-1");
  auto write = [](const std::string& text, bool fail) {
    return [=](const std::string& directory) -> absl::Status {
      RADLADS_RETURN_IF_ERROR(WriteFileAtomically(JoinPath(directory, "a"), text));
      return fail ? InvalidArgument("stop here") : absl::OkStatus();
    };
  };
  ASSERT_TRUE(WriteDirectoryAtomically(path, write("one", false)).ok());
  EXPECT_FALSE(WriteDirectoryAtomically(path, write("two", true)).ok());
  EXPECT_EQ(*ReadFile(JoinPath(path, "a")), "one");
  ASSERT_TRUE(WriteDirectoryAtomically(path, write("three", false)).ok());
  EXPECT_EQ(*ReadFile(JoinPath(path, "a")), "three");
  EXPECT_EQ(EntriesStartingWith(::testing::TempDir(), "step-1"), 1);
}

TEST(ParallelForTest, EveryItemOnce) {
  SetThreads(3);
  for (int64_t count : {0, 1, 2, 3, 7, 1000}) {
    std::vector<int> seen(count, 0);
    ParallelFor(count, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) ++seen[i];
    });
    EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), count);
    ParallelForDynamic(count, [&](int64_t i) { ++seen[i]; });
    for (int value : seen) EXPECT_EQ(value, 2);
  }
}

TEST(TeamTest, EveryLoopIsSharedByAllThreads) {
  SetThreads(3);
  constexpr int64_t kLoops = 200;
  for (int64_t count : {1, 2, 3, 7, 100}) {
    std::vector<std::atomic<int>> seen(count * kLoops);
    std::atomic<int> bodies{0};
    RunTeam([&] {
      ++bodies;
      EXPECT_TRUE(InTeam());
      for (int64_t loop = 0; loop < kLoops; ++loop) {
        const auto item = [&](int64_t i) {
          EXPECT_FALSE(InTeam()) << "inside a loop";
          // A loop inside a loop is the thread's own.
          ParallelFor(1, 1, [&](int64_t, int64_t) { ++seen[loop * count + i]; });
        };
        const auto range = [&](int64_t first, int64_t last) {
          for (int64_t i = first; i < last; ++i) item(i);
        };
        loop % 3 == 0 ? ParallelFor(count, 1000, range) : ParallelForDynamic(count, item);
      }
    });
    EXPECT_EQ(bodies, 3);
    for (int64_t i = 0; i < count * kLoops; ++i) ASSERT_EQ(seen[i], 1) << "item " << i % count << " of loop " << i / count;
  }
  EXPECT_FALSE(InTeam());
}

TEST(TeamTest, ALoopEndsBeforeTheNextBegins) {
  SetThreads(3);
  constexpr int64_t kItems = 30, kLoops = 300;
  std::vector<int64_t> values(kItems, 0);
  RunTeam([&] {
    for (int64_t loop = 0; loop < kLoops; ++loop) {
      // Each item reads what another thread has written in the loop before.
      const SharedMemory before(kItems * sizeof(int64_t));
      int64_t* const copy = static_cast<int64_t*>(before.data());
      ParallelFor(kItems, 1, [&](int64_t first, int64_t last) { std::copy(&values[first], &values[last], copy + first); });
      ParallelForDynamic(kItems, [&](int64_t i) { values[i] = copy[(i + 11) % kItems] + 1; });
    }
  });
  for (const int64_t value : values) EXPECT_EQ(value, kLoops);
}

TEST(TeamTest, MemoryIsSharedAndOnceIsOnce) {
  SetThreads(3);
  for (const size_t bytes : {size_t{100}, size_t{1} << 20}) {  // more than a fresh team has, and then what it has kept
    for (int round = 0; round < 3; ++round) {
      std::mutex mutex;
      std::set<void*> first, second;
      std::atomic<int> once{0};
      RunTeam([&] {
        const SharedMemory a(bytes);
        {
          const SharedMemory b(bytes);
          const std::lock_guard lock(mutex);
          first.insert(a.data());
          second.insert(b.data());
          EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 64, 0u);
        }
        RunOnce([&] { ++once; });
        EXPECT_EQ(once, 1) << "a thread went on before it was done";
        RunOnce([&] { std::memset(a.data(), 1, bytes); });
      });
      EXPECT_EQ(first.size(), 1u);
      EXPECT_EQ(second.size(), 1u);
      EXPECT_NE(first, second);
    }
  }
  const SharedMemory alone(100);
  std::memset(alone.data(), 1, 100);
  int runs = 0;
  RunOnce([&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(ProgressTest, HumanNumbers) {
  EXPECT_EQ(HumanCount(7), "7");
  EXPECT_EQ(HumanCount(1234567), "1.23 M");
  EXPECT_EQ(HumanCount(52400, "B"), "52.4 kB");
  EXPECT_EQ(HumanDuration(3725), "1h02m05s");
  EXPECT_EQ(HumanDuration(75), "1m15s");
  EXPECT_EQ(HumanDuration(1.25), "1.2s");
}

TEST(Crc32cTest, KnownValuesAndPieces) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i * 7919);
  for (size_t cut : {size_t{0}, size_t{1}, size_t{13}, text.size()}) {
    EXPECT_EQ(Crc32c(text.substr(cut), Crc32c(text.substr(0, cut))), Crc32c(text)) << cut;
    EXPECT_EQ(internal::Crc32cPortable(text.substr(cut), 5), Crc32c(text.substr(cut), 5)) << cut;
  }
}

TEST(FileTest, AppendFileContinuesWhereItIsTold) {
  const std::string path = TestPath("continued");
  std::filesystem::remove(path);
  {
    auto file = AppendFile::Open(path, 0);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append("abcdef").ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  auto file = AppendFile::Open(path, 4);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append("XY").ok());
  EXPECT_EQ((*file)->size(), 6u);
  EXPECT_EQ(*ReadFile(path), "abcd") << "what is appended is written when it is synced";
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_EQ(*ReadFile(path), "abcdXY");
  EXPECT_EQ(AppendFile::Open(path, 7).status().code(), absl::StatusCode::kDataLoss);
  SetDiskSpaceForTesting(1);
  ASSERT_TRUE((*file)->Append("many").ok());
  EXPECT_EQ((*file)->Sync().code(), absl::StatusCode::kResourceExhausted);
  SetDiskSpaceForTesting(-1);
  EXPECT_FALSE((*file)->Append("more").ok()) << "a file that lacks bytes takes no further ones";
}

TEST(StatusTest, AnnotateKeepsTheCode) {
  absl::Status status = Annotate(NotFound("tensor x"), "model.safetensors");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "model.safetensors: tensor x");
}

TEST(StatusDeathTest, CheckPrintsTheConditionAndMessage) {
  EXPECT_DEATH(RADLADS_CHECK(1 == 2) << "because " << 42, "1 == 2 because 42");
}

}  // namespace
}  // namespace radlads
