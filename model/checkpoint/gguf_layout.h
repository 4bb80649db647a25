// How the tensors of llama.cpp's models lie in GGUF, and where Hugging Face has them. For the reader and the writer.
#ifndef RADLADS_MODEL_CHECKPOINT_GGUF_LAYOUT_H_
#define RADLADS_MODEL_CHECKPOINT_GGUF_LAYOUT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace radlads::gguf {

// The architecture name of models that llama.cpp has none for: tensors under their Hugging Face names, and the
// config.json under kConfigKey.
inline constexpr char kOwnArchitecture[] = "radlads";
inline constexpr char kConfigKey[] = "radlads.config";
inline constexpr char kRwkv6Architecture[] = "rwkv6qwen2";
inline constexpr char kRopeFactors[] = "rope_freqs.weight";

enum class Layout {
  kAsIs,
  kHeads,       // rows of a head: halves in Hugging Face, neighbours in llama.cpp's llama
  kFlat,        // [1,1,C] in Hugging Face, [C] in GGUF
  kTransposed,  // [R,C], [C,R]
  kShiftDown,   // time_maa_w1 [C,5R], [5R,C]; the five in another order
  kShiftUp,     // time_maa_w2 [5,R,C], [5,C,R]; likewise
  kFused,       // time_maa_* [1,1,C]: one of [5,1,1,C]
};

struct Place {
  std::string name;  // in the other format
  Layout layout = Layout::kAsIs;
  int part = 0;      // of kFused
};

// Where Hugging Face's tensor `name` of such a model lies in GGUF, and the reverse: all that lies in one tensor. Empty
// when there is no such tensor.
std::optional<Place> InGguf(std::string_view architecture, std::string_view name);
std::vector<Place> InHuggingFace(std::string_view architecture, std::string_view name);

// The shape and the numbers on the other side. `heads` is for kHeads. Not for kFused, whose five parts are put together
// and taken apart by the caller.
std::vector<int64_t> ShapeInGguf(Layout layout, const std::vector<int64_t>& shape);
std::vector<int64_t> ShapeInHuggingFace(Layout layout, const std::vector<int64_t>& shape);
at::Tensor ToGguf(Layout layout, const at::Tensor& tensor, int64_t heads);
at::Tensor ToHuggingFace(Layout layout, const at::Tensor& tensor, int64_t heads, int part);

struct Rows {
  int64_t first, count;
};
// What kHeads makes `rows` of: the whole heads that they lie in.
inline Rows WholeHeads(Rows rows, int64_t head_rows) {
  const int64_t first = rows.first / head_rows, end = (rows.first + rows.count + head_rows - 1) / head_rows;
  return {first * head_rows, (end - first) * head_rows};
}

}  // namespace radlads::gguf

#endif  // RADLADS_MODEL_CHECKPOINT_GGUF_LAYOUT_H_
