#include "serve/sessions/session_blob.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/crc32c.h"
#include "kernels/testing/compare.h"
#include "model/testing.h"
#include "serve/sessions/model_hash.h"
#include "serve/sessions/state_layout.h"

namespace radlads {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The empty text, and one step by hand: sha256(16 zeros, 01 00 00 00).
TEST(PrefixHash, IsWhatItsHeaderSays) {
  const std::vector<PrefixHash> chain = Chain({}, std::vector<int64_t>{1, 2});
  ASSERT_EQ(chain.size(), 3u);
  EXPECT_EQ(chain[0], PrefixHash{});
  EXPECT_EQ(chain[2], Extend(chain[1], 2));
  std::string hex;
  for (const uint8_t byte : chain[1]) hex += "0123456789abcdef"[byte >> 4], hex += "0123456789abcdef"[byte & 15];
  EXPECT_EQ(hex, "7813d556ac524c47f15e6bc6c5ae0a4f");
}

// With the header's length and checksum set right, so that what lies behind them is looked at.
std::string Framed(std::string bytes) {
  const uint64_t size = bytes.size();
  std::memcpy(bytes.data() + 16, &size, 8);
  const uint32_t checksum = Crc32c(std::string_view(bytes).substr(16));
  std::memcpy(bytes.data() + 12, &checksum, 4);
  return bytes;
}

SessionBlob Example() {
  static const std::string state(2 * 3 * 4, 'x'), position(8, '\0');
  SessionBlob blob{.model_hash = std::string(32, 'a'), .read = 2, .tokens = 3, .listed = {7, 8, 9}};
  blob.prefix_hash[3] = 5;
  blob.tensors = {{"layers.0.wkv", BlobType::kF32, {1, 2, 3}, state}, {"position", BlobType::kI64, {1}, position}};
  return blob;
}

TEST(SessionBlobTest, ComesBack) {
  const std::string bytes = SerializeBlob(Example());
  auto blob = ParseBlob(bytes);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->model_hash, std::string(32, 'a'));
  EXPECT_EQ(blob->prefix_hash, Example().prefix_hash);
  EXPECT_EQ(blob->tokens, 3);
  EXPECT_EQ(blob->read, 2);
  EXPECT_EQ(blob->listed, (std::vector<int64_t>{7, 8, 9}));
  ASSERT_EQ(blob->tensors.size(), 2u);
  EXPECT_EQ(blob->tensors[0].bytes, std::string(24, 'x'));
  EXPECT_EQ(blob->tensors[0].shape, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(SerializeBlob(*blob), bytes);
  const SessionBlob empty{.model_hash = std::string(32, '0')};
  EXPECT_EQ(SerializeBlob(empty).size(), 104u);
  EXPECT_TRUE(ParseBlob(SerializeBlob(empty)).ok());
}

TEST(SessionBlobTest, EveryDamageIsSeen) {
  const std::string bytes = SerializeBlob(Example());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseBlob(bytes.substr(0, size)).ok()) << size << " bytes of " << bytes.size();
    if (size >= 24) {
      EXPECT_FALSE(ParseBlob(Framed(bytes.substr(0, size))).ok()) << size << " bytes, framed";
    }
  }
  EXPECT_FALSE(ParseBlob(bytes + "x").ok());
  EXPECT_THAT(std::string(ParseBlob(Framed(bytes + "x")).status().message()), HasSubstr("1 bytes after"));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] ^= static_cast<char>(1 << bit);
      EXPECT_FALSE(ParseBlob(damaged).ok()) << "byte " << at << ", bit " << bit;
    }
  }
}

TEST(SessionBlobTest, LiesAreNamed) {
  const std::string bytes = SerializeBlob(Example());
  const auto message = [&](size_t at, std::vector<int64_t> numbers) {
    std::string lie = bytes;
    std::memcpy(lie.data() + at, numbers.data(), 8 * numbers.size());
    return std::string(ParseBlob(Framed(lie)).status().message());
  };
  EXPECT_THAT(message(72, {-1}), HasSubstr("contradicts"));
  EXPECT_THAT(message(80, {1}), HasSubstr("contradicts"));
  EXPECT_THAT(message(72, {2, int64_t{1} << 60, int64_t{1} << 60}), HasSubstr("contradicts"));
  EXPECT_THAT(message(72, {2, int64_t{1} << 39, int64_t{1} << 39}), HasSubstr("lists"));
  EXPECT_THAT(message(96, {int64_t{1} << 62}), HasSubstr("tensors"));
  const size_t shape = 104 + 1 + 12 + 2;
  EXPECT_THAT(message(shape, {1, int64_t{1} << 40, int64_t{1} << 40}), HasSubstr("does not fit"));
  EXPECT_THAT(message(shape, {0}), HasSubstr("dimension of 0"));
  EXPECT_THAT(message(shape, {-5}), HasSubstr("dimension of -5"));
  std::string other = bytes;
  other[8] = 2;
  EXPECT_THAT(std::string(ParseBlob(other).status().message()), AllOf(HasSubstr("version 2"), HasSubstr("expected 1")));
}

class StateLayoutTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Kinds, StateLayoutTest, ::testing::ValuesIn(SmallKinds()),
                         [](const auto& info) { return info.param; });

TEST_P(StateLayoutTest, ExportedEqualsImported) {
  auto model = SmallModel(GetParam());
  model->SetForInference();
  auto layout = StateLayout::Of(*model);
  ASSERT_TRUE(layout.ok()) << layout.status();
  const at::NoGradGuard no_grad;
  ModelState state;
  model->Forward(at::arange(7).unsqueeze(0), &state);
  EXPECT_EQ(layout->grows(), GetParam() == "hybrid" || GetParam().find("rad_") != 0);
  EXPECT_EQ(layout->ByteSize(7), state.ByteSize());
  const std::string bytes = layout->Serialize({.model_hash = ModelHash(*model), .read = 7, .tokens = 7}, state);
  auto blob = ParseBlob(bytes);
  ASSERT_TRUE(blob.ok()) << blob.status();
  auto back = layout->State(*blob);
  ASSERT_TRUE(back.ok()) << back.status();
  for (size_t i = 0; i < state.layers.size(); ++i) {
    for (const auto& [name, tensor] : state.layers[i].tensors) {
      EXPECT_TRUE(BitwiseEqual(back->layers[i].tensors.at(name), tensor)) << "layer " << i << ", " << name;
    }
  }
  const Tensor next = at::full({1, 1}, 5, at::kLong);
  EXPECT_TRUE(BitwiseEqual(model->Forward(next, &*back), model->Forward(next, &state)));

  blob->tensors[0].shape.push_back(1);
  EXPECT_THAT(std::string(layout->State(*blob).status().message()),
              AllOf(HasSubstr("tensor 0"), HasSubstr("expected"), HasSubstr("another model")));
  blob->tensors.pop_back();
  EXPECT_THAT(std::string(layout->State(*blob).status().message()), HasSubstr("tensors, expected"));
}

TEST(StateLayout, APositionThatWasNeverReachedIsRefused) {
  auto model = SmallModel("qwen2");
  auto layout = StateLayout::Of(*model);
  ASSERT_TRUE(layout.ok());
  const at::NoGradGuard no_grad;
  ModelState state;
  model->Forward(at::arange(3).unsqueeze(0), &state);
  for (const int64_t position : {int64_t{4}, int64_t{-1}, int64_t{1} << 60}) {
    state.position.fill_(position);
    const std::string bytes = layout->Serialize({.model_hash = std::string(32, '0'), .read = 3, .tokens = 3}, state);
    EXPECT_THAT(std::string(layout->State(ParseBlob(bytes).value()).status().message()),
                HasSubstr("outside of [0, 3]"));
  }
}

TEST(ModelHash, TellsModelsApart) {
  const auto hash = [](const std::string& kind, at::ScalarType dtype, int64_t seed) {
    return ModelHash(*SmallModel(kind, dtype, seed));
  };
  const std::string one = hash("rad_rwkv7", at::kFloat, 1);
  EXPECT_EQ(one.size(), 32u);
  EXPECT_EQ(one, hash("rad_rwkv7", at::kFloat, 1));
  EXPECT_NE(one, hash("rad_rwkv7", at::kFloat, 2)) << "weights";
  EXPECT_NE(one, hash("rad_rwkv7", at::kBFloat16, 1)) << "dtype";
  EXPECT_NE(one, hash("rad_rwkv7_alt", at::kFloat, 1)) << "architecture";
}

}  // namespace
}  // namespace radlads
