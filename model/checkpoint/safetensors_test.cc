#include "model/checkpoint/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "base/file.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

const char kGoldens[] = "model/testdata/tiny_hf/";

std::string TemporaryPath(const std::string& name) {
  const std::string directory = JoinPath(::testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
  EXPECT_TRUE(MakeDirectories(directory).ok());
  return JoinPath(directory, name);
}

std::string File(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), 8);
  return file + header + std::string(data_bytes, '\0');
}

absl::Status OpenContents(const std::string& contents) {
  const std::string path = TemporaryPath("x.safetensors");
  EXPECT_TRUE(WriteFileAtomically(path, contents).ok());
  return OpenSafetensors(path).status();
}

void ExpectRefused(const std::string& contents, const std::string& message) {
  const absl::Status status = OpenContents(contents);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(status.message().find(message), status.message().npos) << "expected \"" << message << "\" in: " << status;
}

constexpr char kA[] = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";

TEST(SafetensorsReader, TakesWhatTheFormatAllows) {
  EXPECT_TRUE(OpenContents(File("{}", 0)).ok());
  EXPECT_TRUE(OpenContents(File(std::string("{") + kA + "}", 8)).ok());
  EXPECT_TRUE(OpenContents(File(std::string(" \n{") + kA + "}   ", 8)).ok());
  EXPECT_TRUE(OpenContents(File(R"({"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})", 8)).ok());
  EXPECT_TRUE(OpenContents(File(R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}})", 0)).ok());
  EXPECT_TRUE(OpenContents(File(R"({"__metadata__":{"format":"pt"},"f":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2)).ok());
}

TEST(SafetensorsReader, RefusesMalformedFiles) {
  const std::string a = kA;
  ExpectRefused("", "too few");
  ExpectRefused("1234567", "too few");
  for (uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, kMaxSafetensorsHeader + 1}) {
    ExpectRefused(std::string(reinterpret_cast<const char*>(&length), 8) + "{}", "header would be");
  }
  const uint64_t length = 1000;
  ExpectRefused(std::string(reinterpret_cast<const char*>(&length), 8) + "{}", "truncated");
  ExpectRefused(File("", 0), "not a JSON object");
  ExpectRefused(File("[]", 0), "not a JSON object");
  ExpectRefused(File("{", 0), "not JSON");
  ExpectRefused(File("{} x", 0), "not JSON");
  ExpectRefused(File(std::string("{}\0", 3), 0), "NUL");
  ExpectRefused(File("{\"\xff\":{}}", 0), "UTF-8");
  ExpectRefused(File("{\"a\":[[[[[[[[1]]]]]]]]}", 0), "nested more than 4 deep");
  ExpectRefused(File("{" + a + "," + a + "}", 8), "twice");
  EXPECT_TRUE(OpenContents(File(R"({"__metadata__":null})", 0)).ok()) << "as the library reads it";
  ExpectRefused(File(R"({"__metadata__":{"a":1}})", 0), "strings only");
  ExpectRefused(File(R"({"__metadata__":{"a":null}})", 0), "strings only");
  ExpectRefused(File(R"({"__metadata__":[]})", 0), "neither an object nor null");
  ExpectRefused(File(R"({"a":3})", 0), "not described by an object");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[2]}})", 8), "expected dtype, shape and data_offsets");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8), "unknown key");
  ExpectRefused(File(R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8), "unknown dtype \"F31\"");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "whole numbers");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8), "whole numbers");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0), "64 bits");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0), "64 bits");
  ExpectRefused(File(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1), "whole bytes");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "before they begin");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 8), "takes 8");
  ExpectRefused(File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "hole");
  ExpectRefused(File("{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "overlaps");
  ExpectRefused(File("{" + a + R"(,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "overlaps");
  ExpectRefused(File("{" + a + "}", 7), "truncated");
  ExpectRefused(File("{" + a + "}", 9), "after the last tensor");
}

// Mutations of a valid file: the reader must answer, never crash, and what it accepts must be readable.
TEST(SafetensorsReader, SurvivesRandomDamage) {
  const std::string path = TemporaryPath("x.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"weight", at::ones({3, 4})}, {"bias", at::ones({4}, at::kBFloat16)}, {"n", at::ones({}, at::kLong)}}).ok());
  const std::string valid = *ReadFile(path);
  const std::string digits = "0123456789{}[]\",:-e.";
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string file = valid;
    const int edits = 1 + random() % 4;
    for (int i = 0; i < edits; ++i) {
      const size_t at = random() % std::min<size_t>(file.size(), 320);
      switch (random() % 5) {
        case 0: file[at] = static_cast<char>(random()); break;
        case 1: file[at] ^= 1 << random() % 8; break;
        case 2: file[at] = digits[random() % digits.size()]; break;
        case 3: file.resize(random() % file.size() + 1); break;
        case 4: file.insert(at, 1 + random() % 3, digits[random() % digits.size()]); break;
      }
    }
    std::filesystem::remove(path);
    std::FILE* out = std::fopen(path.c_str(), "wb");
    ASSERT_EQ(std::fwrite(file.data(), 1, file.size(), out), file.size());
    std::fclose(out);
    auto source = OpenTensors(path);
    if (!source.ok()) {
      ASSERT_FALSE(source.status().message().empty());
      continue;
    }
    ++accepted;
    for (const TensorInfo& info : (*source)->tensors()) {
      auto tensor = (*source)->Read(info.name);
      if (tensor.ok() && tensor->is_floating_point() && tensor->itemsize() > 1) (void)tensor->to(at::kDouble).sum().item<double>();
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 4000);
}

TEST(SafetensorsWriter, RoundTripsEveryDtype) {
  NamedTensors tensors;
  using enum at::ScalarType;
  for (at::ScalarType dtype : {Bool, Byte, Char, Short, UInt16, Half, BFloat16, Int, UInt32, Float, Long, UInt64, Double, ComplexFloat,
                               Float8_e5m2, Float8_e4m3fn, Float8_e8m0fnu, Float8_e4m3fnuz, Float8_e5m2fnuz, Float4_e2m1fn_x2}) {
    at::Tensor tensor = at::empty({2, 3}, dtype);
    for (size_t i = 0; i < tensor.nbytes(); ++i) static_cast<uint8_t*>(tensor.data_ptr())[i] = dtype == Bool ? i % 2 : i * 3 + 1;
    tensors.emplace_back(std::string("t.") + c10::toString(dtype), tensor);
  }
  tensors.emplace_back("scalar", at::scalar_tensor(3.5, at::kFloat));
  tensors.emplace_back("empty", at::empty({0, 7}, at::kHalf));
  const std::string path = TemporaryPath("all.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, tensors, {{"made", "here"}}).ok());
  auto source = OpenTensors(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->tensors().size(), tensors.size());
  int64_t last_width = 16;
  for (const TensorInfo& info : (*source)->tensors()) {
    const auto read = (*source)->Read(info.name);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_LE(read->itemsize(), last_width) << info.name << ": alignment must fall";
    last_width = read->itemsize();
  }
  for (const auto& [name, tensor] : tensors) {
    const auto read = (*source)->Read(name);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(read->sizes(), tensor.sizes()) << name;
    ASSERT_EQ(read->nbytes(), tensor.nbytes()) << name;
    if (tensor.nbytes() > 0) {
      EXPECT_EQ(std::memcmp(read->data_ptr(), tensor.data_ptr(), tensor.nbytes()), 0) << name;
    }
  }
  const auto metadata = SafetensorsMetadata(path);
  ASSERT_TRUE(metadata.ok());
  EXPECT_EQ(*metadata, (SafetensorsMetadataMap{{"format", "pt"}, {"made", "here"}}));
  uint64_t header;
  std::memcpy(&header, ReadFile(path)->data(), 8);
  EXPECT_EQ(header % 8, 0);
}

TEST(SafetensorsWriter, WritesStridedTensorsInOrder) {
  const at::Tensor base = at::arange(24, at::kFloat).reshape({4, 6});
  const std::string path = TemporaryPath("strided.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"t", base.t()}, {"slice", base.slice(1, 1, 6, 2)}, {"expanded", base.slice(0, 0, 1).expand({3, 6})}}).ok());
  auto source = OpenTensors(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE(at::equal(*(*source)->Read("t"), base.t()));
  EXPECT_TRUE(at::equal(*(*source)->Read("slice"), base.slice(1, 1, 6, 2)));
  EXPECT_TRUE(at::equal(*(*source)->Read("expanded"), base.slice(0, 0, 1).expand({3, 6})));
  EXPECT_EQ((*source)->Read("absent").status().code(), absl::StatusCode::kNotFound);
}

// However large a tensor is, only so many bytes of it are asked for, and used, at a time.
TEST(SafetensorsWriter, KeepsToItsMemory) {
  constexpr int64_t kBytes = 4096, kRows = 1000, kColumns = 48;
  const at::Tensor whole = at::arange(kRows * kColumns, at::kFloat).reshape({kRows, kColumns});
  int64_t most = 0;
  const TensorToWrite tensor{"t", at::kDouble, {kRows, kColumns}, [&](int64_t first, int64_t count) -> absl::StatusOr<at::Tensor> {
                               most = std::max<int64_t>(most, count * kColumns * sizeof(float));
                               return whole.narrow(0, first, count);
                             }};
  std::vector<at::Tensor> pieces;
  ASSERT_TRUE(ForEachPiece(tensor, [&](const at::Tensor& piece) {
                pieces.push_back(piece);
                return absl::OkStatus();
              }, kBytes).ok());
  EXPECT_LE(most, kBytes);
  EXPECT_GT(most, kBytes / 2);
  EXPECT_TRUE(at::equal(at::cat(pieces), whole.to(at::kDouble)));
}

TEST(Safetensors, RowsAreThoseOfTheWhole) {
  // Data after a header of odd length is not aligned.
  const std::string path = TemporaryPath("rows.safetensors");
  std::string header = R"({"a":{"dtype":"F32","shape":[7,3],"data_offsets":[0,84]},"b":{"dtype":"F32","shape":[],"data_offsets":[84,88]}})";
  header.append(header.size() % 2 == 0, ' ');
  const uint64_t length = header.size();
  const at::Tensor numbers = at::arange(22, at::kFloat);
  std::string file(reinterpret_cast<const char*>(&length), 8);
  file += header;
  file.append(static_cast<const char*>(numbers.data_ptr()), 88);
  ASSERT_TRUE(WriteFileAtomically(path, file).ok());
  auto source = OpenTensors(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE(at::equal(*(*source)->ReadRows("a", 2, 4), numbers.slice(0, 6, 18).reshape({4, 3})));
  EXPECT_TRUE(at::equal(*(*source)->ReadRows("b", 0, 1), numbers[21]));
}

TEST(SafetensorsWriter, RefusesBadNamesAndTypes) {
  const std::string path = TemporaryPath("bad.safetensors");
  const at::Tensor one = at::ones({1});
  EXPECT_EQ(WriteSafetensors(path, {{"a", one}, {"a", one}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteSafetensors(path, {{"__metadata__", one}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteSafetensors(path, {{"\xff", one}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteSafetensors(path, {{"a", one}}, {{"k", "\xff"}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteSafetensors(path, {{"a", one.to(at::kComplexDouble)}}).code(), absl::StatusCode::kUnimplemented);
  EXPECT_FALSE(FileExists(path));
}

TEST(SafetensorsWriter, FullDiskLeavesTheOldFile) {
  const std::string path = TemporaryPath("full.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"a", at::ones({4})}}).ok());
  SetDiskSpaceForTesting(1 << 20);
  const absl::Status status = WriteSafetensors(path, {{"a", at::zeros({1 << 20})}});
  SetDiskSpaceForTesting(-1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  auto source = OpenTensors(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE(at::equal(*(*source)->Read("a"), at::ones({4})));
}

TEST(Safetensors, TensorOutlivesItsSource) {
  const std::string path = TemporaryPath("view.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, {{"a", at::arange(1000, at::kFloat)}}).ok());
  at::Tensor view;
  {
    auto source = OpenTensors(path);
    ASSERT_TRUE(source.ok()) << source.status();
    view = *(*source)->Read("a");
  }
  std::filesystem::remove(path);
  EXPECT_EQ(view.sum().item<float>(), 499500);
}

TEST(Shards, WrittenAndReadBack) {
  const std::string directory = TemporaryPath("sharded");
  ASSERT_TRUE(MakeDirectories(directory).ok());
  NamedTensors tensors;
  for (int i = 0; i < 7; ++i) tensors.emplace_back(std::string(1, 'a' + i), at::full({100}, i, at::kFloat));
  ASSERT_TRUE(WriteShardedSafetensors(directory, tensors, 1000).ok());
  EXPECT_TRUE(FileExists(JoinPath(directory, "model-00004-of-00004.safetensors")));
  auto source = OpenTensors(directory);
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ((*source)->tensors().size(), 7);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(*(*source)->Read(name), tensor)) << name;
  // One file in the place of shards would leave two sets of weights in one directory.
  EXPECT_EQ(WriteShardedSafetensors(directory, tensors, 1 << 20).code(), absl::StatusCode::kFailedPrecondition);

  const std::string index_path = JoinPath(directory, "model.safetensors.index.json");
  const nlohmann::json index = nlohmann::json::parse(*ReadFile(index_path));
  EXPECT_EQ(index["metadata"]["total_size"], 2800);
  auto expect_refused = [&](nlohmann::json changed, const std::string& message) {
    ASSERT_TRUE(WriteFileAtomically(index_path, changed.dump()).ok());
    const absl::Status status = OpenTensors(directory).status();
    EXPECT_NE(status.message().find(message), status.message().npos) << "expected \"" << message << "\" in: " << status;
  };
  nlohmann::json changed = index;
  changed["weight_map"]["z"] = "model-00001-of-00004.safetensors";
  expect_refused(changed, "not of one checkpoint");
  changed["weight_map"]["z"] = "../elsewhere.safetensors";
  expect_refused(changed, "beside the index");
  changed["weight_map"]["z"] = "absent.safetensors";
  expect_refused(changed, "absent.safetensors");
  expect_refused({{"weight_map", 3}}, "weight_map");
  changed = index;
  changed.erase("metadata");
  ASSERT_TRUE(WriteFileAtomically(index_path, changed.dump()).ok());
  EXPECT_TRUE(OpenTensors(directory).ok()) << "metadata may be missing";
}

TEST(Goldens, FilesOfTransformersOpen) {
  for (const char* name : {"llama", "llama_rope_llama3", "qwen2_rope_yarn", "qwen2_sharded", "qwen3"}) {
    auto source = OpenTensors(std::string(kGoldens) + name);
    ASSERT_TRUE(source.ok()) << name << ": " << source.status();
    EXPECT_TRUE((*source)->Has("model.layers.1.self_attn.q_proj.weight")) << name;
    for (const TensorInfo& info : (*source)->tensors()) {
      const auto tensor = (*source)->Read(info.name);
      ASSERT_TRUE(tensor.ok()) << tensor.status();
      EXPECT_EQ(tensor->sizes(), at::IntArrayRef(info.shape));
      EXPECT_TRUE(tensor->to(at::kFloat).isfinite().all().item<bool>()) << name << " " << info.name;
    }
  }
}

// What we write of a file of transformers is that file again, byte for byte.
TEST(Goldens, WrittenAsTransformersWrites) {
  const std::string original = std::string(kGoldens) + "qwen3/model.safetensors";
  auto source = OpenTensors(original);
  ASSERT_TRUE(source.ok()) << source.status();
  NamedTensors tensors;
  for (const TensorInfo& info : (*source)->tensors()) tensors.emplace_back(info.name, *(*source)->Read(info.name));
  const std::string path = TemporaryPath("copy.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, tensors).ok());
  EXPECT_TRUE(*ReadFile(path) == *ReadFile(original));
}

TEST(OpenTensors, SaysWhatIsMissing) {
  const std::string directory = TemporaryPath("empty");
  ASSERT_TRUE(MakeDirectories(directory).ok());
  EXPECT_EQ(OpenTensors(directory).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenTensors(JoinPath(directory, "none")).status().code(), absl::StatusCode::kNotFound);
  const std::string zip = TemporaryPath("pytorch_model.bin");
  ASSERT_TRUE(WriteFileAtomically(zip, "PK\3\4aaaaaaaaaaaa").ok());
  const absl::Status status = OpenTensors(zip).status();
  EXPECT_NE(status.message().find("zip"), status.message().npos) << status;
}

}  // namespace
}  // namespace radlads
