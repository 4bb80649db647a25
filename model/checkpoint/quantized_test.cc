#include "model/checkpoint/quantized.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/safetensors.h"

namespace radlads {
namespace {

std::string TemporaryPath(const std::string& name) {
  return JoinPath(::testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name() + ("_" + name));
}

absl::StatusOr<std::unique_ptr<TensorSource>> WriteAndOpen(const NamedTensors& tensors) {
  const std::string path = TemporaryPath("x.safetensors");
  const absl::Status written = WriteSafetensors(path, tensors);
  EXPECT_TRUE(written.ok()) << written;
  return OpenTensors(path);
}

at::Tensor Numbers(const TensorInfo& info, const at::Tensor& blocks) {
  at::Tensor w = at::empty(info.shape, at::kFloat);
  Dequantize(*info.blocks, blocks.contiguous().const_data_ptr<uint8_t>(), w.size(0), w.size(1),
             w.mutable_data_ptr<float>());
  return w;
}

// Imported blocks stand for exactly what gguf-py makes of ggml's, for every type that has a place in Q8 and Q4.
TEST(Quantized, BlocksOfGgmlAreKeptLosslessly) {
  auto file = OpenTensors("model/checkpoint/testdata/quants.gguf"),
       expected = OpenTensors("model/checkpoint/testdata/quants.safetensors");
  ASSERT_TRUE(file.ok() && expected.ok()) << file.status() << expected.status();
  std::string kept;
  for (const TensorInfo& info : (*file)->tensors()) {
    if (!info.blocks) {
      EXPECT_EQ((*file)->ReadBlocks(info.name).status().code(), absl::StatusCode::kNotFound);
      continue;
    }
    kept += info.name + " ";
    auto blocks = (*file)->ReadBlocks(info.name);
    ASSERT_TRUE(blocks.ok()) << blocks.status();
    EXPECT_EQ(blocks->sizes().vec(), StoredShape(info.shape, *info.blocks)) << info.name;
    EXPECT_TRUE(at::equal(Numbers(info, *blocks), *(*expected)->Read(info.name))) << info.name;
  }
  EXPECT_EQ(kept, "Q8_0 Q4_0 Q4_1 ");
}

TEST(Quantized, StoredTensorsAreShownUnderTheirOwnNames) {
  const at::Tensor w = at::randn({3, 64}), plain = at::randn({5});
  const auto q8 = QuantizeTensor(w, WeightKind::kQ8), q4 = QuantizeTensor(w, WeightKind::kQ4);
  ASSERT_TRUE(q8.ok() && q4.ok());
  auto source = WriteAndOpen(
      {{StoredName("a.weight", WeightKind::kQ8), *q8}, {StoredName("b.weight", WeightKind::kQ4), *q4}, {"c", plain}});
  ASSERT_TRUE(source.ok()) << source.status();
  ASSERT_EQ((*source)->tensors().size(), 3u);
  for (const TensorInfo& info : (*source)->tensors()) {
    EXPECT_TRUE((*source)->Has(info.name));
    const auto read = (*source)->Read(info.name);
    ASSERT_TRUE(read.ok()) << read.status();
    if (info.name == "c") {
      EXPECT_TRUE(at::equal(*read, plain));
      EXPECT_FALSE(info.blocks.has_value());
      continue;
    }
    EXPECT_EQ(info.shape, (std::vector<int64_t>{3, 64}));
    const bool eight = info.name == "a.weight";
    EXPECT_EQ(info.dtype, eight ? "Q8" : "Q4");
    EXPECT_EQ(info.bytes, eight ? 3 * 2 * 34 : 3 * 2 * 20);
    const auto blocks = (*source)->ReadBlocks(info.name);
    ASSERT_TRUE(blocks.ok()) << blocks.status();
    EXPECT_TRUE(at::equal(*blocks, eight ? *q8 : *q4));
    EXPECT_TRUE(at::equal(*read, Numbers(info, *blocks)));
    EXPECT_LT((*read - w).abs().max().item<float>(), eight ? 0.02 : 0.3);
  }
  EXPECT_FALSE((*source)->Has("a.weight.q8"));
  EXPECT_EQ((*source)->Read("a.weight.q8").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ((*source)->ReadBlocks("c").status().code(), absl::StatusCode::kNotFound);
}

TEST(Quantized, RefusesWhatIsNotBlocks) {
  const auto refused = [](const NamedTensors& tensors, const std::string& message) {
    const absl::Status status = WriteAndOpen(tensors).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find(message), std::string_view::npos) << status;
  };
  refused({{"w.q8", at::zeros({2, 1, 20}, at::kByte)}}, "w.q8 is [2,1,20], expected [rows,blocks,34]");
  refused({{"w.q4", at::zeros({2, 20}, at::kByte)}}, "w.q4 is [2,20], expected [rows,blocks,20]");
  refused({{"w.q4", at::zeros({2, 1, 20}, at::kByte)}, {"w", at::zeros({2, 32})}}, "w is there twice");
  refused({{"w.q4", at::zeros({2, 1, 20}, at::kByte)}, {"w.q8", at::zeros({2, 1, 34}, at::kByte)}}, "w is there twice");
  const auto other = WriteAndOpen({{"w.q4", at::zeros({2, 20})}});  // of someone else's
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_TRUE((*other)->Has("w.q4"));
  EXPECT_FALSE(QuantizeTensor(at::full({1, 32}, INFINITY), WeightKind::kQ4).ok());
}

TEST(Quantized, MatricesOfAModelAndNothingElse) {
  const auto can = [](const std::string& name, std::vector<int64_t> shape) {
    TensorInfo info;
    info.name = name;
    info.shape = std::move(shape);
    return CanBeQuantized(info);
  };
  EXPECT_TRUE(can("model.layers.3.mlp.down_proj.weight", {64, 96}));
  EXPECT_TRUE(can("model.layers.3.self_attn.q_proj.weight", {64, 96}));
  EXPECT_TRUE(can("model.layers.3.self_attn.gate.weight", {64, 96}));
  EXPECT_TRUE(can("model.embed_tokens.weight", {64, 96}));
  EXPECT_TRUE(can("lm_head.weight", {64, 96}));
  EXPECT_FALSE(can("model.layers.3.mlp.down_proj.weight", {64, 100})) << "no whole blocks";
  EXPECT_FALSE(can("model.layers.3.self_attn.q_proj.bias", {96}));
  EXPECT_FALSE(can("model.layers.3.input_layernorm.weight", {96}));
  EXPECT_FALSE(can("model.layers.3.self_attn.w1", {96, 32}));
}

}  // namespace
}  // namespace radlads
