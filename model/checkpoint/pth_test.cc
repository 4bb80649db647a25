#include "model/checkpoint/pth.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/checked_pickle.h"

namespace radlads {
namespace {

std::string TestFile(const std::string& name) { return "model/checkpoint/testdata/pth/" + name; }

// The tensors of both are the same, bit for bit.
void ExpectSame(const TensorSource& got, const TensorSource& want) {
  EXPECT_EQ(got.tensors().size(), want.tensors().size());
  for (const TensorInfo& info : want.tensors()) {
    ASSERT_TRUE(got.Has(info.name)) << info.name;
    const auto a = got.Read(info.name), b = want.Read(info.name);
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(a->scalar_type(), b->scalar_type()) << info.name;
    EXPECT_TRUE(a->equal(*b)) << info.name;
  }
}

void ExpectFile(const std::string& name, const std::string& expected) {
  const auto got = OpenTensors(TestFile(name)), want = OpenTensors(TestFile(expected));
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_TRUE(want.ok()) << want.status();
  ExpectSame(**got, **want);
}

// Refused with `words` in the message.
void ExpectRefused(const std::string& name, const std::string& words) {
  const auto source = OpenTensors(TestFile(name));
  ASSERT_FALSE(source.ok()) << name;
  EXPECT_NE(source.status().message().find(words), std::string::npos) << source.status();
  EXPECT_NE(source.status().message().find(name), std::string::npos) << source.status();
}

TEST(PthTest, ReadsWhatTorchSaves) {
  ExpectFile("state_dict.pth", "state_dict.safetensors");
  ExpectFile("nested.pth", "state_dict.safetensors");
  ExpectFile("plain.pth", "plain.safetensors");
}

TEST(PthTest, ReadsParameters) {
  const auto source = OpenTensors(TestFile("parameters.pth")), want = OpenTensors(TestFile("state_dict.safetensors"));
  ASSERT_TRUE(source.ok()) << source.status();
  for (const TensorInfo& info : (*want)->tensors()) {
    const auto tensor = (*source)->Read(info.name);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_TRUE(tensor->equal((*want)->Read(info.name)->to(at::kFloat))) << info.name;
  }
}

TEST(PthTest, RefusesWhatIsNoCheckpoint) {
  ExpectRefused("evil.pth", "system, which weights do not need and which is never run");
  ExpectRefused("old.pth", "before PyTorch 1.6");
  ExpectRefused("list.pth", "expected a dict of tensors");
  ExpectRefused("mixed.pth", "optimizer is a");
  ExpectRefused("compressed.pth", "is compressed");
  ExpectRefused("outside.pth", "weight lies outside of its storage");
  EXPECT_FALSE(FileExists("/tmp/this_must_not_be"));
}

// Every file that is cut, or in which one byte is changed, is read or refused, and never crashes.
TEST(PthTest, SurvivesDamage) {
  for (const char* name : {"state_dict.pth", "plain.pth", "nested.pth", "parameters.pth"}) {
    const auto text = ReadFile(TestFile(name));
    ASSERT_TRUE(text.ok());
    const std::string path = testing::TempDir() + "/damaged.pth";
    uint64_t random = 12345;
    for (int i = 0; i < 1500; ++i) {
      std::string damaged = *text;
      random = random * 6364136223846793005u + 1442695040888963407u;
      const size_t at = (random >> 33) % damaged.size();
      if (i % 4 == 0) {
        damaged.resize(at);
      } else {
        damaged[at] = static_cast<char>(random >> 20);
      }
      std::ofstream(path, std::ios::binary) << damaged;
      const auto source = OpenTensors(path);
      if (!source.ok()) continue;
      for (const TensorInfo& info : (*source)->tensors()) {
        const auto tensor = (*source)->Read(info.name);
        if (tensor.ok() && tensor->numel() > 0) tensor->clone();
      }
    }
  }
}

std::string Checked(std::string_view program) {
  const std::string text = "\x80\x02" + std::string(program);
  const auto checked = CheckedPickle({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "test");
  return std::string(checked.ok() ? "ok" : checked.status().message());
}

TEST(PthTest, ChecksPickles) {
  using namespace std::string_literals;
  EXPECT_EQ(Checked("}."), "ok");
  EXPECT_EQ(Checked("ccollections\nOrderedDict\nq\0)Rq\1."s), "ok");
  EXPECT_EQ(Checked("K\1\x85."), "ok");
  EXPECT_NE(Checked("."), "ok");
  EXPECT_NE(Checked("\x85."), "ok");
  EXPECT_NE(Checked("(K\1."), "ok");
  EXPECT_NE(Checked("}(K\1u."), "ok");                       // a key without a value
  EXPECT_NE(Checked("K\1r\xff\xff\xff\x7f."), "ok");         // a memo of 2^31 entries
  EXPECT_NE(Checked("}q\0h\0K\1K\1s."s), "ok");              // a dict that is changed through the memo
  EXPECT_NE(Checked("}q\0K\1h\0s."s), "ok");                 // a dict within itself
  EXPECT_NE(Checked("cos\nsystem\n."), "ok");
  EXPECT_NE(Checked("ccollections\nOrderedDict\n."), "ok");
  EXPECT_NE(Checked("ccollections\nOrderedDict\n\x85."), "ok");
  EXPECT_NE(Checked("K\1" + std::string(100, '\x85') + "."), "ok");
}

TEST(PthTest, WritesWhatItReads) {
  const auto source = OpenTensors(TestFile("plain.pth"));
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : (*source)->tensors()) {
    tensors.push_back({info.name, *SafetensorsDtype(info.dtype), info.shape, [&, name = info.name](int64_t first, int64_t count) { return (*source)->ReadRows(name, first, count); }});
  }
  const std::string path = testing::TempDir() + "/written.pth";
  ASSERT_TRUE(WritePth(path, tensors).ok());
  const auto written = OpenTensors(path);
  ASSERT_TRUE(written.ok()) << written.status();
  ExpectSame(**written, **source);
  caffe2::serialize::PyTorchStreamReader torch(path);
  for (const std::string& record : torch.getAllRecords()) torch.getRecord(record);  // throws when a checksum is wrong
}

TEST(PthTest, ReadsShards) {
  const std::string directory = testing::TempDir() + "/sharded", index = directory + "/pytorch_model.bin.index.json";
  ASSERT_TRUE(MakeDirectories(directory).ok());
  const auto source = OpenTensors(TestFile("state_dict.pth"));
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<TensorToWrite> shards[2];
  std::string map;
  for (const TensorInfo& info : (*source)->tensors()) {
    const size_t shard = map.empty() ? 0 : 1;
    shards[shard].push_back({info.name, *SafetensorsDtype(info.dtype), info.shape,
                             [&, name = info.name](int64_t first, int64_t count) { return (*source)->ReadRows(name, first, count); }});
    map += Concatenate(map.empty() ? "" : ", ", "\"", info.name, "\": \"part-", shard, ".bin\"");
  }
  for (int shard : {0, 1}) ASSERT_TRUE(WritePth(Concatenate(directory, "/part-", shard, ".bin"), shards[shard]).ok());
  const auto open = [&](const std::string& weight_map) {
    EXPECT_TRUE(WriteFileAtomically(index, Concatenate("{\"weight_map\": {", weight_map, "}}")).ok());
    return OpenTensors(directory);
  };
  const auto read = open(map);
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(**read, **source);
  for (const auto& [weight_map, words] : {std::pair<std::string, const char*>(map + ", \"x\": \"../../x\"", "beside the index"),
                                          {map + ", \"x\": \"part-2.bin\"", "a shard is missing"},
                                          {map + ", \"x\": \"part-1.bin\"", "not of one checkpoint"}}) {
    const absl::Status status = open(weight_map).status();
    EXPECT_NE(status.message().find(words), std::string::npos) << status;
  }
  shards[0].push_back(shards[1][0]);
  ASSERT_TRUE(WritePth(directory + "/part-0.bin", shards[0]).ok());
  const absl::Status status = open(map).status();
  EXPECT_NE(status.message().find("is both in part-0.bin and in part-1.bin"), std::string::npos) << status;
}

TEST(PthTest, FullDisk) {
  const std::string path = testing::TempDir() + "/full.pth";
  SetDiskSpaceForTesting(1000);
  const absl::Status status = WritePth(path, {{"x", at::kFloat, {1000}, [](int64_t, int64_t count) { return at::ones({count}); }}});
  SetDiskSpaceForTesting(-1);
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(FileExists(path));
}

}  // namespace
}  // namespace radlads
