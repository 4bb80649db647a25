// GGUF versions 2 and 3, the model files of llama.cpp (ggml-org/ggml docs/gguf.md). docs/formats/gguf.md
//
// Reading only. A file is metadata (keys with typed values) and tensors, some of them quantised in blocks. The
// reader checks every count, length and offset against the size of the file before it allocates or reads; what is
// wrong comes back as INVALID_ARGUMENT with the file and the key or tensor. Little-endian files only.
#ifndef RADLADS_MODEL_CHECKPOINT_GGUF_H_
#define RADLADS_MODEL_CHECKPOINT_GGUF_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file.h"
#include "configs/config.pb.h"
#include "data/tokenizer/tokenizer_files.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

// Numbers of the format.
enum class GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };
std::string_view GgufTypeName(GgufType type);

struct GgufArray {
  GgufType type;
  uint64_t count;
  std::span<const uint8_t> raw;           // elements of fixed size, unaligned, in the mapped file
  std::vector<std::string_view> strings;  // kString, into the mapped file
};

// Strings point into the mapped file.
struct GgufValue {
  GgufType type;
  std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray> value;
};

// The raw view: metadata and tensors under the names of the file. Immutable, thread-safe.
class GgufFile : public TensorSource {
 public:
  // A model that llama-gguf-split has cut into parts, NAME-00001-of-00003.gguf and so on, is read whole, from any of
  // them; NOT_FOUND names the parts that are not beside it.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);

  const std::string& path() const { return files_[0]->path(); }  // of the first part
  size_t parts() const { return files_.size(); }
  int version() const { return version_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  bool HasKey(std::string_view key) const { return metadata_.contains(key); }

  // Typed access. NOT_FOUND for a missing key, INVALID_ARGUMENT for another type, both naming file and key. Int takes
  // any integer type that fits, Float any number.
  absl::StatusOr<int64_t> Int(std::string_view key) const;
  absl::StatusOr<double> Float(std::string_view key) const;
  absl::StatusOr<bool> Bool(std::string_view key) const;
  absl::StatusOr<std::string> String(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> Strings(std::string_view key) const;  // valid while the file lives
  absl::StatusOr<std::vector<int64_t>> Ints(std::string_view key) const;

  // TensorSource.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool Has(std::string_view name) const override { return index_.contains(name); }
  absl::StatusOr<at::Tensor> Read(const std::string& name) const override;
  absl::StatusOr<at::Tensor> ReadRows(const std::string& name, int64_t first, int64_t count) const override;
  // Q8_0 and Q4_1: views of the file. Q4_0: as Q4, INVALID_ARGUMENT where that is not exact (Q4FromQ4_0).
  absl::StatusOr<at::Tensor> ReadBlocks(const std::string& name) const override;
  absl::StatusOr<at::Tensor> ReadBlockRows(const std::string& name, int64_t first, int64_t count) const override;
  // nullptr if there is none.
  const TensorInfo* Find(std::string_view name) const;

 private:
  friend class GgufParser;
  GgufFile() = default;
  static absl::StatusOr<std::unique_ptr<GgufFile>> OpenPart(const std::string& path);
  // Appends the tensors of the next part.
  absl::Status Join(GgufFile& part);
  absl::StatusOr<const GgufValue*> Value(std::string_view key) const;
  // `count` rows, or all.
  absl::StatusOr<at::Tensor> Part(const std::string& name, int64_t first, std::optional<int64_t> count) const;

  struct Place {
    size_t part;      // index into files_
    uint64_t offset;  // in that file
  };

  std::vector<std::shared_ptr<const MappedFile>> files_;
  int version_ = 0;
  std::map<std::string, GgufValue, std::less<>> metadata_;  // of the first part
  std::vector<TensorInfo> tensors_;
  std::vector<Place> places_;  // beside tensors_
  std::map<std::string, size_t, std::less<>> index_;
};

// GgufFile::Open as a TensorSource.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenGguf(const std::string& path);

// Hugging Face view of a llama, qwen2 or qwen3 model: names as transformers has them, the rows of q and k of the llama
// architecture put back into rotate_half order, no lm_head when it is tied. Other architectures, and tensors that
// these architectures do not have, are UNIMPLEMENTED by name.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenGgufAsHuggingFace(const std::string& path);
absl::StatusOr<std::unique_ptr<TensorSource>> OpenGgufAsHuggingFace(std::shared_ptr<const GgufFile> file);

// The architecture that the metadata describes. Biases, tied output and the vocabulary follow from the tensors.
absl::StatusOr<ModelConfig> ModelConfigFromGguf(const GgufFile& file);

// Files of a Hugging Face tokenizer, rebuilt from a byte-level BPE (tokenizer.ggml.model "gpt2"): tokenizer.json,
// tokenizer_config.json (with the chat templates), special_tokens_map.json, generation_config.json. A file that says that
// it has no tokenizer ("none") has the last of them at most. UNIMPLEMENTED, by name, for other models and pre-tokenizers.
absl::StatusOr<TokenizerFiles> TokenizerFilesFromGguf(const GgufFile& file);

// The tokens that end a text, the EOS first: those of tokenizer.ggml.eos_token_id, eot_token_id, eom_token_id and
// eos_token_ids, whatever the tokenizer is.
absl::StatusOr<std::vector<int32_t>> EndTokenIdsFromGguf(const GgufFile& file);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_GGUF_H_
