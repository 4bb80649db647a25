// Readers of files from elsewhere, with files that are made to take much memory: each keeps to the bound of its header,
// and reads the file or says what is wrong with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/compressed_file.h"
#include "data/dataset_info.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "data/tokenizer/tokenizer.h"
#include "model/checkpoint/tensor_source.h"
#include "model/pretrained.h"
#include "testing/memory_limit.h"

namespace radlads {
namespace {

using ::testing::AnyOf;
using ::testing::StartsWith;

constexpr int64_t kMiB = 1 << 20, kGiB = 1 << 30;
constexpr int64_t kFile = 16 * kMiB;
constexpr int64_t kAnyJson = 112 * 4'000'000 + 2 * kFile;  // base/json.h
constexpr int64_t kOther = 64 * kMiB;                      // of the allocator and the libraries

std::string Filled(const std::string& begin, const std::string& unit, const std::string& end = "") {
  std::string text = begin;
  while (static_cast<int64_t>(text.size()) < kFile) text += unit;
  return text + end;
}

template <typename T>
std::string Bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

class ForeignFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!CanLimitMemory()) GTEST_SKIP() << "sanitizers take terabytes of address space";
    directory_ = ::testing::TempDir() + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    ASSERT_TRUE(MakeDirectories(directory_).ok());
  }
  std::string Path(const std::string& name) const { return JoinPath(directory_, name); }
  std::string Write(const std::string& name, const std::string& contents) const {
    EXPECT_TRUE(WriteFileAtomically(Path(name), contents).ok());
    return Path(name);
  }
  // `bytes`: the bound of the reader.
  static std::string Check(const std::string& what, int64_t bytes, const std::function<absl::Status()>& read) {
    std::string said = RunWithin(bytes + kOther, read);
    EXPECT_THAT(said, AnyOf(StartsWith("OK"), StartsWith("INVALID_ARGUMENT"), StartsWith("UNIMPLEMENTED"),
                            StartsWith("DATA_LOSS"), StartsWith("FAILED_PRECONDITION"), StartsWith("NOT_FOUND")))
        << what;
    EXPECT_LT(said.size(), 4000u) << what;
    return said;
  }
  // JSON of every shape that costs more than its bytes.
  static std::vector<std::pair<std::string, std::string>> Jsons() {
    return {{"brackets", Filled("", "[")},
            {"deep", Filled("", R"({"a":)")},
            {"numbers", Filled("[0", ",0", "]")},
            {"strings", Filled(R"([""))", R"(,"")", "]")},
            {"lists", Filled(R"({"model":[[])", ",[]", "]}")},
            {"objects", Filled(R"({"model":[{})", ",{}", "]}")},
            {"equal keys", Filled(R"({"a":0)", R"(,"a":0)", "}")},
            {"text", Filled(R"({"a":")", "a", "\"}")},
            {"spaces", Filled("{", " ", "}")}};
  }
  std::string directory_;
};

TEST_F(ForeignFilesTest, Tokenizers) {
  std::vector<std::pair<std::string, std::string>> files = Jsons();
  std::string vocabulary = R"({"model":{"type":"BPE","vocab":{"a":0)", merges = R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[)";
  for (int i = 1; i < 900'000; ++i) vocabulary += Concatenate(",\"", i, "\":", i);
  for (int i = 0; i < 900'000; ++i) merges += R"(["a","a"],)";
  files.emplace_back("vocabulary", vocabulary + R"(},"merges":[]}})");
  files.emplace_back("merges", merges + R"(["a","a"]]}})");
  std::string added = R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[)";
  for (int i = 1; i < 200'000; ++i) added += Concatenate(i > 1 ? "," : "", R"({"content":"x)", i, R"(","id":)", i, "}");
  files.emplace_back("added tokens", added + "]}");
  for (const auto& [name, text] : files) {
    Write("tokenizer.json", text);
    Check(name, kGiB + 4 * kFile, [&] { return Tokenizer::Load(directory_).status(); });
  }
  for (const char* beside : {"tokenizer_config.json", "special_tokens_map.json", "generation_config.json"}) {
    WriteSmallTokenizer(directory_);
    for (const auto& [name, text] : Jsons()) {
      Write(beside, text);
      Check(Concatenate(beside, ", ", name), kGiB + 4 * kFile, [&] { return Tokenizer::Load(directory_).status(); });
    }
    std::filesystem::remove(Path(beside));
  }
}

TEST_F(ForeignFilesTest, JsonBesideWeights) {
  for (const auto& [name, text] : Jsons()) {
    Write("config.json", text);
    Check(name, kAnyJson + 3 * kFile, [&] { return LoadModelConfig(directory_).status(); });
  }
  std::filesystem::remove(Path("config.json"));
  std::vector<std::pair<std::string, std::string>> indices = Jsons();
  indices.emplace_back("weights", Filled(R"({"weight_map":{"a":"b")", R"(,"a":"b")", "}}"));
  for (const auto& [name, text] : indices) {
    const std::string path = Write("model.safetensors.index.json", text);
    Check(name, kAnyJson + 3 * kFile, [&] { return OpenTensors(path).status(); });
  }
}

TEST_F(ForeignFilesTest, Safetensors) {
  std::vector<std::pair<std::string, std::string>> headers = Jsons();
  std::string tensors = "{";
  for (int i = 0; static_cast<int64_t>(tensors.size()) < kFile; ++i) {
    tensors += Concatenate(i > 0 ? "," : "", "\"", i, R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})");
  }
  headers.emplace_back("tensors", tensors + "}");
  headers.emplace_back("a shape", Filled(R"({"a":{"dtype":"F32","data_offsets":[0,0],"shape":[0)", ",1", "]}}"));
  headers.emplace_back("metadata", Filled(R"({"__metadata__":{"a":"b")", R"(,"c":"")", "}}"));
  for (const auto& [name, header] : headers) {
    const std::string path = Write("a.safetensors", Bytes<uint64_t>(header.size()) + header);
    Check(name, kAnyJson + 12 * kFile, [&] { return OpenTensors(path).status(); });
  }
  const std::string path = Write("b.safetensors", Bytes<uint64_t>(uint64_t{1} << 60) + "{}");
  EXPECT_THAT(Check("a header longer than the file", 0, [&] { return OpenTensors(path).status(); }),
              StartsWith("INVALID_ARGUMENT"));
}

TEST_F(ForeignFilesTest, Gguf) {
  const auto file = [](uint64_t tensors, uint64_t keys, const std::string& rest) {
    return "GGUF" + Bytes<uint32_t>(3) + Bytes(tensors) + Bytes(keys) + rest;
  };
  const auto text = [](const std::string& text) { return Bytes<uint64_t>(text.size()) + text; };
  std::string keys, tensors;
  uint64_t key_count = 0, tensor_count = 0;
  for (; static_cast<int64_t>(keys.size()) < kFile; ++key_count) {
    keys += text(std::to_string(key_count)) + Bytes<uint32_t>(7) + Bytes<uint8_t>(1);
  }
  for (; static_cast<int64_t>(tensors.size()) < kFile; ++tensor_count) {
    tensors += text(std::to_string(tensor_count)) + Bytes<uint32_t>(0) + Bytes<uint32_t>(0) + Bytes<uint64_t>(0);
  }
  const uint64_t strings = kFile / 8;
  const std::pair<const char*, std::string> files[] = {
      {"keys", file(0, key_count, keys)},
      {"tensors", file(tensor_count, 0, tensors)},
      {"empty strings",
       file(0, 1, text("a") + Bytes<uint32_t>(9) + Bytes<uint32_t>(8) + Bytes(strings) + std::string(8 * strings, 0))},
      {"numbers", file(0, 1, text("a") + Bytes<uint32_t>(9) + Bytes<uint32_t>(0) + Bytes(strings) + std::string(strings, 0))},
      {"more strings than the file has", file(0, 1, text("a") + Bytes<uint32_t>(9) + Bytes<uint32_t>(8) + Bytes(UINT64_MAX / 8))},
      {"more keys than the file has", file(0, UINT64_MAX, "")},
      {"more tensors than the file has", file(UINT64_MAX, 0, "")},
      {"a long key", file(0, 1, Bytes(UINT64_MAX))}};
  for (const auto& [name, contents] : files) {
    const std::string path = Write("a.gguf", contents);
    Check(name, 40 * kFile, [&] { return OpenTensors(path).status(); });
  }
}

// An archive of stored entries, as torch.save's.
std::string Archive(const std::string& pickle) {
  std::string files, directory;
  const auto add = [&](const std::string& name, const std::string& contents) {
    const auto crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(contents.data()), contents.size()));
    const std::string middle = Bytes<uint16_t>(0) + Bytes<uint16_t>(0) + Bytes<uint32_t>(0) + Bytes(crc) +
                               Bytes<uint32_t>(contents.size()) + Bytes<uint32_t>(contents.size()) +
                               Bytes<uint16_t>(name.size()) + Bytes<uint16_t>(0);
    directory += "PK\x01\x02" + Bytes<uint16_t>(20) + Bytes<uint16_t>(20) + middle + std::string(10, 0) +
                 Bytes<uint32_t>(files.size()) + name;
    files += "PK\x03\x04" + Bytes<uint16_t>(20) + middle + name + contents;
  };
  add("archive/data.pkl", pickle);
  add("archive/version", "3\n");
  const std::string end = "PK\x05\x06" + std::string(4, 0) + Bytes<uint16_t>(2) + Bytes<uint16_t>(2) +
                          Bytes<uint32_t>(directory.size()) + Bytes<uint32_t>(files.size()) + Bytes<uint16_t>(0);
  return files + directory + end;
}

TEST_F(ForeignFilesTest, Pickles) {
  const std::string begin = "\x80\x02";
  const std::pair<const char*, std::string> pickles[] = {
      {"empty tuples", Filled(begin, ")", ".")},
      {"empty lists", Filled(begin, "]", ".")},
      {"empty dicts", Filled(begin, "}", ".")},
      {"a dict of empty lists", Filled(begin + "}(", std::string("K\0]", 3), "u.")},
      {"marks", Filled(begin, "(", ".")},
      {"nested lists", Filled(begin, "](", ".")},
      {"tuples of tuples", Filled(begin + ")", "\x85", ".")},
      {"none", Filled(begin + "]", "N", ".")},
      {"a memo of the largest number", begin + "}r" + std::string("\xff\xff\xff\xff", 4) + "."},
      {"memos", [&] {
         std::string pickle = begin + "}";
         for (uint32_t i = 0; static_cast<int64_t>(pickle.size()) < kFile; ++i) pickle += "r" + Bytes(i);
         return pickle + ".";
       }()},
      {"a long string", begin + "}X" + std::string("\xff\xff\xff\x7f", 4) + "."},
      {"an integer of many bytes", begin + "}\x8b" + std::string("\xff\xff\xff\x7f", 4) + "."}};
  for (const auto& [name, pickle] : pickles) {
    const std::string path = Write("a.pth", Archive(pickle));
    Check(name, 160 * kFile, [&]() -> absl::Status {
      RADLADS_ASSIGN_OR_RETURN(const auto source, OpenTensors(path));
      for (const TensorInfo& info : source->tensors()) RADLADS_RETURN_IF_ERROR(source->Read(info.name).status());
      return absl::OkStatus();
    });
  }
}

TEST_F(ForeignFilesTest, TokenFiles) {
  const std::string head = std::string("MMIDIDX\0\0", 9) + Bytes<uint64_t>(1) + Bytes<uint8_t>(8);
  Write("a.bin", "");
  for (const auto& [name, index] : {std::pair<const char*, std::string>{"counts", head + Bytes(UINT64_MAX) + Bytes(UINT64_MAX)},
                                    {"half counts", head + Bytes<uint64_t>(UINT64_MAX / 12) + Bytes<uint64_t>(1)},
                                    {"empty documents", head + Bytes<uint64_t>(kFile / 12) + Bytes<uint64_t>(0) + std::string(kFile / 12 * 12, 0)}}) {
    Write("a.idx", index);
    Check(name, 2 * kFile, [&] { return TokenDataset::Open(Path("a")).status(); });
  }
  for (const auto& [name, text] : Jsons()) {
    Write("a.json", text);
    Check(name, kAnyJson + 2 * kFile, [&] { return ReadDatasetInfo(Path("a")).status(); });
  }
}

TEST_F(ForeignFilesTest, CompressedFiles) {
  // A window of 2 GiB.
  const std::string zstd = std::string("\x28\xb5\x2f\xfd\x00\xa8\x29\x00\x00hello", 14);
  // xz of a dictionary of 4 GiB: stream header, block header with LZMA2, nothing after it.
  std::string block = std::string("\x02\x00\x21\x01\x28\x00\x00\x00", 8);
  const auto check = [](const std::string& bytes) {
    return Bytes<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
  };
  const std::string flags("\x00\x00", 2);
  const std::string xz = std::string("\xfd" "7zXZ\0", 6) + flags + check(flags) + block + check(block) + std::string(64, 1);
  const std::string zeros(kFile, 0);
  std::string gzip(1 << 20, 0);
  z_stream stream{};
  ASSERT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
  stream.avail_in = zeros.size();
  stream.next_out = reinterpret_cast<Bytef*>(gzip.data());
  stream.avail_out = gzip.size();
  ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  gzip.resize(stream.total_out);
  deflateEnd(&stream);
  for (const auto& [name, contents] : {std::pair<const char*, std::string>{"zstd", zstd}, {"xz", xz}, {"gzip", gzip}}) {
    const std::string path = Write(name, contents);
    const std::string said = Check(name, 64 * kMiB, [&]() -> absl::Status {
      RADLADS_ASSIGN_OR_RETURN(const auto file, CompressedFile::Open(path));
      std::string buffer(1 << 16, 0);
      while (true) {
        RADLADS_ASSIGN_OR_RETURN(const size_t got, file->Read(buffer.data(), buffer.size()));
        if (got == 0) return absl::OkStatus();
      }
    });
    EXPECT_THAT(said, std::string(name) == "gzip" ? StartsWith("OK") : StartsWith("DATA_LOSS")) << name;
  }
}

}  // namespace
}  // namespace radlads
