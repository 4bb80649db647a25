// Writes GGUF version 3. docs/formats/gguf.md
#ifndef RADLADS_MODEL_CHECKPOINT_GGUF_WRITER_H_
#define RADLADS_MODEL_CHECKPOINT_GGUF_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/safetensors.h"

namespace radlads {

// Keys with typed values, in the order in which they are set. A key is set once.
class GgufMetadata {
 public:
  void SetU32(std::string_view key, uint32_t value);
  void SetF32(std::string_view key, float value);
  void SetBool(std::string_view key, bool value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, const std::vector<std::string>& values);
  void SetI32s(std::string_view key, const std::vector<int32_t>& values);

  int64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }  // as the file has them

 private:
  void Begin(std::string_view key, GgufType type);
  template <typename T>
  void Append(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void AppendText(std::string_view text);
  std::string bytes_;
  int64_t count_ = 0;
};

// The keys of a tokenizer and of what ends a text, from its files and the ids of `config`. Ids up to the vocabulary of
// the model that it lacks become unused tokens, added tokens beyond it are left out with a warning; without a
// tokenizer.json the model is "none". UNIMPLEMENTED for what is no byte-level BPE of TokenizerFilesFromGguf's kinds, and
// for what is put around a text that is not one BOS and one EOS.
absl::Status SetTokenizer(const TokenizerFiles& files, const ModelConfig& config, GgufMetadata& metadata);

struct GgufTensorToWrite {
  std::string name;
  std::string_view type;       // F32, F16, BF16, Q8_0, Q4_1 or Q4_0
  std::vector<int64_t> shape;  // outermost first
  // Rows [first, first + count), of any float dtype; for Q8_0 and Q4_1 also their blocks, uint8 as
  // TensorSource::ReadBlocks gives them.
  std::function<absl::StatusOr<at::Tensor>(int64_t first, int64_t count)> make;
};

// Writes `path` atomically; tensors are made, encoded and written one after the other, a piece at a time. Numbers are
// quantised as llama.cpp's reference does (ggml-quants.c), bit for bit. INVALID_ARGUMENT: names that are not unique or
// longer than 63 bytes, more than 4 dimensions, quantised rows that are no multiple of 32, numbers beyond fp16.
absl::Status WriteGguf(const std::string& path, const GgufMetadata& metadata, const std::vector<GgufTensorToWrite>& tensors,
                       const BytesWritten& written = {});

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_GGUF_WRITER_H_
