#include "model/checkpoint/gguf.h"

#include <ATen/ATen.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "base/file.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

using nlohmann::json;

const char kTestdata[] = "model/checkpoint/testdata/";
const char kTinyLlama[] = "model/checkpoint/testdata/tiny_llama.gguf";
const char kLlama[] = "model/testdata/tiny_hf/llama";

std::string TemporaryPath(const std::string& name) {
  const std::string directory = JoinPath(::testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
  EXPECT_TRUE(MakeDirectories(directory).ok());
  return JoinPath(directory, name);
}

template <typename T>
std::string Bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}
std::string Text(const std::string& text) { return Bytes<uint64_t>(text.size()) + text; }

// Just enough of a writer to build files, right and wrong ones.
struct Builder {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t keys = 0, tensors = 0;
  std::string metadata, infos, data;

  Builder& Key(const std::string& key, GgufType type, const std::string& value) {
    ++keys;
    metadata += Text(key) + Bytes(static_cast<uint32_t>(type)) + value;
    return *this;
  }
  Builder& U32(const std::string& key, uint32_t value) { return Key(key, GgufType::kU32, Bytes(value)); }
  Builder& F32(const std::string& key, float value) { return Key(key, GgufType::kF32, Bytes(value)); }
  Builder& String(const std::string& key, const std::string& value) { return Key(key, GgufType::kString, Text(value)); }
  Builder& Strings(const std::string& key, const std::vector<std::string>& values) {
    std::string all = Bytes(static_cast<uint32_t>(GgufType::kString)) + Bytes<uint64_t>(values.size());
    for (const std::string& value : values) all += Text(value);
    return Key(key, GgufType::kArray, all);
  }
  Builder& Ints(const std::string& key, const std::vector<int32_t>& values) {
    std::string all = Bytes(static_cast<uint32_t>(GgufType::kI32)) + Bytes<uint64_t>(values.size());
    for (int32_t value : values) all += Bytes(value);
    return Key(key, GgufType::kArray, all);
  }
  // `dimensions` as in the file: innermost first.
  Builder& Tensor(const std::string& name, const std::vector<uint64_t>& dimensions, uint32_t type, uint64_t offset, size_t bytes) {
    ++tensors;
    infos += Text(name) + Bytes<uint32_t>(dimensions.size());
    for (uint64_t size : dimensions) infos += Bytes(size);
    infos += Bytes(type) + Bytes(offset);
    if (bytes > 0 && data.size() < offset + bytes) data.resize(offset + bytes);
    return *this;
  }
  std::string File() const {
    std::string file = magic + Bytes(version) + Bytes(tensors) + Bytes(keys) + metadata + infos;
    if (!data.empty()) file.resize((file.size() + 31) / 32 * 32);
    return file + data;
  }
};

absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& contents) {
  const std::string path = TemporaryPath("x.gguf");
  EXPECT_TRUE(WriteFileAtomically(path, contents).ok());
  return GgufFile::Open(path);
}

void ExpectError(const absl::Status& status, const std::string& message) {
  EXPECT_FALSE(status.ok()) << "expected \"" << message << "\"";
  EXPECT_NE(status.message().find(message), status.message().npos) << "expected \"" << message << "\" in: " << status;
  EXPECT_NE(status.message().find(".gguf"), status.message().npos) << status;
}
void ExpectRefused(const std::string& contents, const std::string& message) { ExpectError(Open(contents).status(), message); }

TEST(Gguf, ReadsEveryTypeAsGgufPyDoes) {
  auto file = OpenTensors(std::string(kTestdata) + "quants.gguf");
  ASSERT_TRUE(file.ok()) << file.status();
  auto expected = OpenTensors(std::string(kTestdata) + "quants.safetensors");
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_EQ((*file)->tensors().size(), 11);
  for (const TensorInfo& info : (*file)->tensors()) {
    EXPECT_EQ(info.name, info.dtype);
    EXPECT_EQ(info.shape, (std::vector<int64_t>{3, 512}));
    auto values = (*file)->Read(info.name);
    ASSERT_TRUE(values.ok()) << values.status();
    EXPECT_TRUE(at::equal(values->to(at::kFloat), *(*expected)->Read(info.name))) << info.name << " differs by at most "
        << (values->to(at::kFloat) - *(*expected)->Read(info.name)).abs().max().item<float>();
  }
}

TEST(Gguf, RowsAreThoseOfTheWhole) {
  auto quants = OpenTensors(std::string(kTestdata) + "quants.gguf"), llama = OpenGgufAsHuggingFace(std::string(kTinyLlama));
  ASSERT_TRUE(quants.ok() && llama.ok()) << quants.status() << llama.status();
  for (const auto* source : {quants->get(), llama->get()}) {
    for (const TensorInfo& info : source->tensors()) {
      const at::Tensor whole = *source->Read(info.name);
      for (int64_t first = 0; first < info.shape[0]; first += 7) {
        const int64_t count = std::min<int64_t>(info.shape[0] - first, 5);
        const auto rows = source->ReadRows(info.name, first, count);
        ASSERT_TRUE(rows.ok()) << rows.status();
        EXPECT_TRUE(at::equal(*rows, whole.narrow(0, first, count))) << info.name << " from row " << first;
        if (info.blocks) {
          EXPECT_TRUE(at::equal(*source->ReadBlockRows(info.name, first, count), source->ReadBlocks(info.name)->narrow(0, first, count)));
        }
      }
    }
  }
}

TEST(Gguf, HuggingFaceViewEqualsTheSafetensors) {
  auto view = OpenGgufAsHuggingFace(std::string(kTinyLlama));
  ASSERT_TRUE(view.ok()) << view.status();
  auto expected = OpenTensors(kLlama);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_EQ((*view)->tensors().size(), (*expected)->tensors().size());
  for (const TensorInfo& info : (*expected)->tensors()) {
    ASSERT_TRUE((*view)->Has(info.name)) << info.name;
    const auto read = (*view)->Read(info.name);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(at::equal(read->to(at::kFloat), (*expected)->Read(info.name)->to(at::kFloat))) << info.name;
  }
  EXPECT_FALSE((*view)->Has("lm_head.weight"));
  EXPECT_FALSE((*view)->Has("token_embd.weight"));
}

TEST(Gguf, ConfigEqualsTheConfigJson) {
  auto file = GgufFile::Open(kTinyLlama);
  ASSERT_TRUE(file.ok()) << file.status();
  auto config = ModelConfigFromGguf(**file);
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string path = JoinPath(kLlama, "config.json");
  auto expected = ModelConfigFromJson(*ReadFile(path), path);
  ASSERT_TRUE(expected.ok()) << expected.status();
  config->mutable_rope()->set_type("default");
  std::string differences;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&differences);
  EXPECT_TRUE(differencer.Compare(*config, *expected)) << differences;
}

const std::string kPart = std::string(kTestdata) + "split/tiny-0000";

TEST(Gguf, PartsAreReadAsOne) {
  std::vector<std::string> names;
  for (const char* part : {"1", "2", "3"}) {
    auto file = GgufFile::Open(kPart + part + "-of-00003.gguf");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->parts(), 3);
    EXPECT_EQ(*(*file)->String("general.architecture"), "qwen2");
    EXPECT_EQ((*file)->tensors().size(), 15);
    auto config = ModelConfigFromGguf(**file);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_FALSE(config->tie_word_embeddings()) << "the head is in the third part";
  }
  // Every tensor comes from its own part.
  auto whole = OpenTensors(kPart + "2-of-00003.gguf");
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto checks = [&](const std::string& name) {
    const at::Tensor tensor = *(*whole)->Read(name);
    const at::Tensor rows = *(*whole)->ReadRows(name, 1, 2);
    return at::equal(rows, tensor.narrow(0, 1, 2)) && tensor.to(at::kDouble).abs().mean().item<double>() > 0.5;
  };
  for (const TensorInfo& info : (*whole)->tensors()) {
    EXPECT_TRUE(checks(info.name)) << info.name << " of random normal numbers, from " << info.file;
    names.push_back(info.file);
  }
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 3);
  auto view = OpenGgufAsHuggingFace(kPart + "3-of-00003.gguf");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_TRUE((*view)->Has("lm_head.weight"));
}

TEST(Gguf, PartsThatDoNotBelongTogetherAreRefusedByName) {
  const std::string directory = TemporaryPath("parts");
  const auto put = [&](const std::string& from, const std::string& to) {
    ASSERT_TRUE(MakeDirectories(directory).ok());
    ASSERT_TRUE(WriteFileAtomically(JoinPath(directory, to), *ReadFile(kPart + from + "-of-00003.gguf")).ok());
  };
  const auto open = [&](const std::string& name) { return GgufFile::Open(JoinPath(directory, name)).status(); };
  put("2", "m-00002-of-00003.gguf");
  ExpectError(open("m-00002-of-00003.gguf"), "m-00001-of-00003.gguf, ");
  ExpectError(open("m-00002-of-00003.gguf"), "part 2 of the 3 parts of a split model, and 2 are missing beside it");
  EXPECT_EQ(open("m-00002-of-00003.gguf").code(), absl::StatusCode::kNotFound);
  put("2", "renamed.gguf");
  ExpectError(open("renamed.gguf"), "whose name must end in \"-00002-of-00003.gguf\"");
  put("1", "m-00001-of-00003.gguf");
  put("1", "m-00003-of-00003.gguf");
  ExpectError(open("m-00002-of-00003.gguf"), "says that it is part 1 of 3; its name says part 3 of 3");
  ASSERT_TRUE(WriteFileAtomically(JoinPath(directory, "n-00002-of-00002.gguf"),
                                  Builder().U32("split.no", 1).U32("split.count", 2).U32("split.tensors.count", 3).File()).ok());
  ASSERT_TRUE(WriteFileAtomically(JoinPath(directory, "n-00001-of-00002.gguf"),
                                  Builder().U32("split.no", 0).U32("split.count", 2).U32("split.tensors.count", 3).File()).ok());
  ExpectError(open("n-00001-of-00002.gguf"), "split.tensors.count is 3, but the 2 parts hold 0 tensors");
  ExpectRefused(Builder().U32("split.no", 2).U32("split.count", 2).File(), "split.no is 2");
  ExpectRefused(Builder().U32("split.no", 0).U32("split.count", 1 << 20).File(), "split.count 1048576");
  ExpectRefused(Builder().U32("split.count", 2).File(), "no key split.no");
  EXPECT_TRUE(Open(Builder().U32("split.no", 0).U32("split.count", 1).File()).ok());
}

TEST(Gguf, RefusesMalformedFiles) {
  Builder good;
  good.String("general.architecture", "llama").Tensor("t", {32}, 0, 0, 128);
  ASSERT_TRUE(Open(good.File()).ok()) << Open(good.File()).status();
  Builder bad = good;
  bad.magic = "GGUX";
  ExpectRefused(bad.File(), "does not begin with \"GGUF\"");
  ExpectRefused("", "does not begin with \"GGUF\"");
  ExpectRefused("GGUF", "truncated");
  bad = good, bad.version = 1;
  ExpectRefused(bad.File(), "version 1");
  bad = good, bad.version = 0x03000000;
  ExpectRefused(bad.File(), "big-endian");
  bad = good, bad.tensors = ~uint64_t{0};
  ExpectRefused(bad.File(), "tensors, more than fit");
  bad = good, bad.keys = uint64_t{1} << 62;
  ExpectRefused(bad.File(), "keys, more than fit");
  bad = good, bad.tensors = 2;
  ExpectRefused(bad.File(), ".gguf");

  ExpectRefused(Builder(good).String("general.architecture", "again").File(), "appears twice");
  ExpectRefused(Builder(good).Key("k", static_cast<GgufType>(99), "").File(), "unknown type 99");
  ExpectRefused(Builder(good).Key("k", GgufType::kString, Bytes(~uint64_t{0} - 3)).File(), "truncated");
  ExpectRefused(Builder(good).Key("k", GgufType::kBool, "\7").File(), "expected 0 or 1");
  ExpectRefused(Builder(good).Key("k", GgufType::kArray, Bytes<uint32_t>(5) + Bytes(uint64_t{1} << 62)).File(), "truncated");
  ExpectRefused(Builder(good).Key("k", GgufType::kArray, Bytes<uint32_t>(8) + Bytes(uint64_t{1} << 61)).File(), "truncated");
  ExpectRefused(Builder(good).Key("k", GgufType::kArray, Bytes<uint32_t>(9) + Bytes<uint64_t>(1)).File(), "array of arrays");
  ExpectRefused(Builder(good).U32("general.alignment", 24).File(), "power of two");
  ExpectRefused(Builder(good).U32("general.alignment", 0).File(), "power of two");

  ExpectRefused(Builder(good).Tensor("u", {32}, 77, 128, 128).File(), "unknown type 77; types that are read: F32, F16, Q4_0");
  ExpectRefused(Builder(good).Tensor("u", {1, 1, 1, 1, 1}, 0, 128, 4).File(), "5 dimensions");
  ExpectRefused(Builder(good).Tensor("u", {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 128, 0).File(), "64 bits");
  ExpectRefused(Builder(good).Tensor("u", {0, uint64_t{1} << 40, uint64_t{1} << 40}, 0, 128, 0).File(), "64 bits");
  ExpectRefused(Builder(good).Tensor("u", {~uint64_t{0}}, 0, 128, 0).File(), "64 bits");
  ExpectRefused(Builder(good).Tensor("u", {32}, 0, 128, 64).File(), "beyond the end");
  ExpectRefused(Builder(good).Tensor("u", {32}, 0, ~uint64_t{31}, 0).File(), "beyond the end");
  ExpectRefused(Builder(good).Tensor("u", {32}, 0, 100, 128).File(), "multiple of the alignment");
  ExpectRefused(Builder(good).Tensor("u", {32}, 0, 96, 128).File(), "overlaps");
  ExpectRefused(Builder(good).Tensor("t", {32}, 0, 128, 128).File(), "appears twice");
  ExpectRefused(Builder(good).Tensor("u", {33}, 8, 128, 128).File(), "blocks of 32");
  const std::string whole = good.File();
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(Open(whole.substr(0, size)).ok()) << "cut at " << size;
}

TEST(Gguf, KnownTypesThatAreNotReadAreListedButRefused) {
  Builder file;
  file.Tensor("q", {256}, 10, 0, 84);
  auto opened = Open(file.File());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->tensors()[0].dtype, "Q2_K");
  const absl::Status status = (*opened)->Read("q").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  ExpectError(status, "Q2_K");
}

TEST(Gguf, TypedMetadata) {
  Builder builder;
  builder.U32("u", 7).F32("f", 0.5f).String("s", "text").Strings("strings", {"a", "b"}).Ints("ints", {-1, 2});
  builder.Key("b", GgufType::kBool, "\1").Key("big", GgufType::kU64, Bytes(~uint64_t{0}));
  auto file = Open(builder.File());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(*(*file)->Int("u"), 7);
  EXPECT_EQ(*(*file)->Float("f"), 0.5);
  EXPECT_EQ(*(*file)->Float("u"), 7);
  EXPECT_EQ(*(*file)->String("s"), "text");
  EXPECT_EQ(*(*file)->Bool("b"), true);
  EXPECT_EQ(*(*file)->Strings("strings"), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(*(*file)->Ints("ints"), (std::vector<int64_t>{-1, 2}));
  ExpectError((*file)->Int("none").status(), "no key none");
  ExpectError((*file)->Int("s").status(), "s is string, expected an integer");
  ExpectError((*file)->Int("big").status(), "below 2^63");
  ExpectError((*file)->Strings("ints").status(), "array of i32");
  ExpectError((*file)->Bool("u").status(), "boolean");
}

Builder Model(const std::string& architecture) {
  Builder builder;
  const std::string prefix = architecture + ".";
  builder.String("general.architecture", architecture).U32(prefix + "block_count", 1).U32(prefix + "context_length", 64);
  builder.U32(prefix + "embedding_length", 32).U32(prefix + "feed_forward_length", 32).U32(prefix + "attention.head_count", 2);
  builder.F32(prefix + "attention.layer_norm_rms_epsilon", 1e-6f).Tensor("token_embd.weight", {32, 4}, 0, 0, 512);
  return builder;
}

absl::StatusOr<ModelConfig> ConfigOf(const Builder& builder) {
  auto file = Open(builder.File());
  EXPECT_TRUE(file.ok()) << file.status();
  return ModelConfigFromGguf(**file);
}

TEST(GgufConfig, OtherArchitecturesAndScalings) {
  auto qwen2 = ConfigOf(Model("qwen2").F32("qwen2.rope.freq_base", 1e6f).Tensor("blk.0.attn_q.bias", {32}, 0, 512, 128));
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_EQ(qwen2->tmix(), "qwen2");
  EXPECT_TRUE(qwen2->attention_bias());
  EXPECT_EQ(qwen2->num_key_value_heads(), 2);
  EXPECT_EQ(qwen2->rms_norm_eps(), 1e-6) << "as written, not as rounded to fp32";
  auto qwen3 = ConfigOf(Model("qwen3").F32("qwen3.rope.freq_base", 1e6f).U32("qwen3.attention.key_length", 64)
                            .String("qwen3.rope.scaling.type", "yarn").F32("qwen3.rope.scaling.factor", 4)
                            .U32("qwen3.rope.scaling.original_context_length", 16)
                            .Tensor("blk.0.attn_q_norm.weight", {64}, 0, 512, 256).Tensor("output.weight", {32, 4}, 0, 768, 512));
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_EQ(qwen3->dim_att(), 128);
  EXPECT_TRUE(qwen3->qk_norm());
  EXPECT_FALSE(qwen3->tie_word_embeddings());
  EXPECT_EQ(qwen3->rope().type(), "yarn");
  EXPECT_EQ(qwen3->rope().factor(), 4);

  ExpectError(ConfigOf(Model("qwen2")).status(), "qwen2.rope.freq_base");
  ExpectError(ConfigOf(Model("gemma")).status(), "\"gemma\"; known are llama, qwen2, qwen3");
  ExpectError(ConfigOf(Model("llama").F32("llama.rope.freq_base", -1)).status(), "positive");
  ExpectError(ConfigOf(Model("llama").U32("llama.expert_count", 8)).status(), "expert_count");
  ExpectError(ConfigOf(Model("llama").F32("llama.rope.freq_base", 1e4f).U32("llama.rope.dimension_count", 8)).status(), "dimensions of a head");
  ExpectError(ConfigOf(Model("llama").F32("llama.rope.freq_base", 1e4f).String("llama.rope.scaling.type", "longrope")).status(), "longrope");
}

TEST(GgufConfig, Llama3ScalingIsRecognised) {
  for (const auto& [positions, high] : {std::pair{8192, 4.0}, {4096, 4.0}, {131072, 4.0}, {8192, 8.0}}) {
    Builder builder = Model("llama").F32("llama.rope.freq_base", 500000).Tensor("rope_freqs.weight", {8}, 0, 512, 32);
    std::vector<float> factors;
    for (int i = 0; i < 8; ++i) {
      const double periods = positions / (2 * M_PI * std::pow(500000.0, 2.0 * i / 16));
      const double smooth = std::min(1.0, std::max(0.0, (periods - 1) / (high - 1)));
      factors.push_back(1 / ((1 - smooth) / 32 + smooth));
    }
    std::memcpy(builder.data.data() + 512, factors.data(), 32);
    auto config = ConfigOf(builder);
    if (high != 4) {
      ExpectError(config.status(), "high_freq_factor 4");
      continue;
    }
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->rope().type(), "llama3");
    EXPECT_EQ(config->rope().factor(), 32);
    EXPECT_EQ(config->rope().original_max_position_embeddings(), positions);
    factors[0] *= 1.5;
    std::memcpy(builder.data.data() + 512, factors.data(), 32);
    ExpectError(ConfigOf(builder).status(), "llama3 scaling");
  }
}

TEST(GgufHuggingFace, RefusesTensorsItCannotName) {
  const std::string path = TemporaryPath("x.gguf");
  ASSERT_TRUE(WriteFileAtomically(path, Model("qwen2").Tensor("blk.0.ffn_gate_inp.weight", {32}, 0, 512, 128).File()).ok());
  ExpectError(OpenGgufAsHuggingFace(path).status(), "blk.0.ffn_gate_inp.weight");
  ASSERT_TRUE(WriteFileAtomically(path, Model("llama").Tensor("blk.0.attn_q.weight", {32, 3}, 0, 512, 384).File()).ok());
  ExpectError(OpenGgufAsHuggingFace(path).status(), "heads of even size");
}

Builder Tokenizer(const std::string& pre) {
  Builder builder = Model("llama");
  builder.String("tokenizer.ggml.model", "gpt2").String("tokenizer.ggml.pre", pre);
  builder.Strings("tokenizer.ggml.tokens", {"<s>", "a", "\xc4\xa0", "\xc4\xa0""a", "<tool>", "[PAD5]"});
  builder.Ints("tokenizer.ggml.token_type", {3, 1, 1, 1, 4, 5}).Strings("tokenizer.ggml.merges", {"\xc4\xa0 a"});
  return builder.U32("tokenizer.ggml.bos_token_id", 0).U32("tokenizer.ggml.eos_token_id", 0);
}

json TokenizerJson(const Builder& builder) {
  auto file = Open(builder.File());
  EXPECT_TRUE(file.ok()) << file.status();
  auto files = TokenizerFilesFromGguf(**file);
  EXPECT_TRUE(files.ok()) << files.status();
  return files.ok() ? json::parse(*FindTokenizerFile(*files, "tokenizer.json")) : json();
}

TEST(GgufTokenizer, PreTokenizersByName) {
  const json smollm = TokenizerJson(Tokenizer("smollm"));
  EXPECT_EQ(smollm["normalizer"], nullptr);
  EXPECT_EQ(smollm["pre_tokenizer"]["pretokenizers"][0], (json{{"type", "Digits"}, {"individual_digits", true}}));
  EXPECT_EQ(smollm["pre_tokenizer"]["pretokenizers"][1]["use_regex"], true);
  EXPECT_EQ(smollm["model"]["vocab"].size(), 5) << "without the unused one";
  EXPECT_EQ(smollm["model"]["merges"], json::array({"\xc4\xa0 a"}));
  EXPECT_EQ(smollm["post_processor"], nullptr);
  ASSERT_EQ(smollm["added_tokens"].size(), 2);
  EXPECT_EQ(smollm["added_tokens"][0]["special"], true);
  EXPECT_EQ(smollm["added_tokens"][1]["special"], false);
  EXPECT_EQ(smollm["added_tokens"][1]["id"], 4);

  EXPECT_EQ(TokenizerJson(Tokenizer("gpt-2"))["pre_tokenizer"]["type"], "ByteLevel");
  // The rules of the two families whose published files we have.
  const json qwen2 = TokenizerJson(Tokenizer("qwen2"));
  EXPECT_EQ(qwen2["normalizer"], (json{{"type", "NFC"}}));
  const json& split = qwen2["pre_tokenizer"]["pretokenizers"][0];
  EXPECT_EQ(split["type"], "Split");
  EXPECT_EQ(split["behavior"], "Isolated");
  EXPECT_EQ(split["pattern"]["Regex"],
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  EXPECT_EQ(qwen2["pre_tokenizer"]["pretokenizers"][1]["use_regex"], false);
  EXPECT_TRUE(qwen2["model"]["vocab"].contains("<s>")) << "added tokens stand apart in this family only behind the vocabulary";
  const json llama3 = TokenizerJson(Tokenizer("llama-bpe"));
  EXPECT_EQ(llama3["model"]["ignore_merges"], true);
  EXPECT_EQ(llama3["post_processor"]["single"][0]["SpecialToken"]["id"], "<s>");
  EXPECT_EQ(llama3["post_processor"]["special_tokens"]["<s>"]["ids"], json::array({0}));
  EXPECT_NE(llama3["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].get<std::string>().find("{1,3}"), std::string::npos);
  EXPECT_EQ(TokenizerJson(Tokenizer("llama-bpe").Key("tokenizer.ggml.add_bos_token", GgufType::kBool, std::string(1, '\0')))["post_processor"], nullptr);
}

TEST(GgufTokenizer, FilesBesideTokenizerJson) {
  auto file = GgufFile::Open(kTinyLlama);
  ASSERT_TRUE(file.ok()) << file.status();
  auto files = TokenizerFilesFromGguf(**file);
  ASSERT_TRUE(files.ok()) << files.status();
  const auto parsed = [&](const char* name) { return json::parse(*FindTokenizerFile(*files, name)); };
  const json config = parsed("tokenizer_config.json");
  EXPECT_EQ(config["chat_template"], "{% for m in messages %}{{ m['content'] }}{% endfor %}");
  EXPECT_EQ(config["eos_token"], "<|im_start|>");
  EXPECT_EQ(config["model_max_length"], 256);
  EXPECT_EQ(config["added_tokens_decoder"]["2"]["content"], "<|im_end|>");
  EXPECT_EQ(parsed("special_tokens_map.json")["pad_token"], "<|im_end|>");
  EXPECT_EQ(parsed("generation_config.json"), (json{{"_from_model_config", true}, {"bos_token_id", 0}, {"eos_token_id", 1}, {"pad_token_id", 2}}));
  EXPECT_EQ(parsed("tokenizer.json")["model"]["vocab"].size(), 3 + 256 + 25);
}

TEST(GgufTokenizer, RefusesWhatItCannotRebuild) {
  auto rebuild = [](const Builder& builder) {
    auto file = Open(builder.File());
    EXPECT_TRUE(file.ok()) << file.status();
    return TokenizerFilesFromGguf(**file).status();
  };
  ExpectError(rebuild(Tokenizer("deepseek-v3")), "\"deepseek-v3\"; known are smollm, gpt-2, qwen2, llama-bpe");
  ExpectError(rebuild(Model("llama").String("tokenizer.ggml.model", "llama")), "\"llama\"");
  ExpectError(rebuild(Model("llama")), "tokenizer.ggml.model");
  Builder base = Model("llama");
  base.String("tokenizer.ggml.model", "gpt2").String("tokenizer.ggml.pre", "smollm");
  ExpectError(rebuild(Builder(base).Strings("tokenizer.ggml.tokens", {"a", "b"}).Ints("tokenizer.ggml.token_type", {1})), "expected one each");
  ExpectError(rebuild(Builder(base).Strings("tokenizer.ggml.tokens", {"a", "a"}).Ints("tokenizer.ggml.token_type", {1, 1})), "are both \"a\"");
  ExpectError(rebuild(Builder(base).Strings("tokenizer.ggml.tokens", {"a"}).Ints("tokenizer.ggml.token_type", {9})), "unknown type 9");
  Builder one = Builder(base).Strings("tokenizer.ggml.tokens", {"a"}).Ints("tokenizer.ggml.token_type", {1});
  ExpectError(rebuild(Builder(one).Strings("tokenizer.ggml.merges", {"ab"})), "merge 0");
  ExpectError(rebuild(Builder(one).U32("tokenizer.ggml.eos_token_id", 5)), "there are 1 tokens");
}

// Mutations of a valid file: every reader must answer, never crash.
TEST(Gguf, SurvivesRandomDamage) {
  const std::string valid = Tokenizer("llama-bpe").F32("llama.rope.freq_base", 1e4f).Tensor("blk.0.attn_q.weight", {32, 32}, 2, 512, 576)
                                .Tensor("blk.0.ffn_up.weight", {256}, 12, 1088, 144).File();
  ASSERT_TRUE(Open(valid).ok()) << Open(valid).status();
  const std::string path = TemporaryPath("damaged.gguf");
  std::mt19937 random(2);
  int accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string file = valid;
    const int edits = 1 + random() % 3;
    for (int i = 0; i < edits; ++i) {
      const size_t at = random() % file.size();
      switch (random() % 5) {
        case 0: file[at] = static_cast<char>(random()); break;
        case 1: file[at] ^= 1 << random() % 8; break;
        case 2: file[at] = "\0\1\7\xff"[random() % 4]; break;
        case 3: file.resize(at + 1); break;
        case 4: file.erase(at, 1 + random() % 8); break;
      }
      if (file.size() < 4) file = valid;
    }
    std::filesystem::remove(path);
    std::FILE* out = std::fopen(path.c_str(), "wb");
    ASSERT_EQ(std::fwrite(file.data(), 1, file.size(), out), file.size());
    std::fclose(out);
    auto opened = GgufFile::Open(path);
    if (!opened.ok()) {
      ASSERT_FALSE(opened.status().message().empty());
      continue;
    }
    ++accepted;
    std::shared_ptr<const GgufFile> gguf = std::move(opened).value();
    for (const TensorInfo& info : gguf->tensors()) {
      auto tensor = gguf->Read(info.name);
      if (tensor.ok()) (void)tensor->to(at::kDouble).sum().item<double>();
    }
    (void)ModelConfigFromGguf(*gguf);
    (void)TokenizerFilesFromGguf(*gguf);
    auto view = OpenGgufAsHuggingFace(gguf);
    if (!view.ok()) continue;
    for (const TensorInfo& info : (*view)->tensors()) (void)(*view)->Read(info.name);
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 4000);
}

}  // namespace
}  // namespace radlads
