// A place in a text, with the state of the model there, as bytes: what a session is exported and stored as.
// Format and versions: docs/formats/session.md. Free of tensors.
#ifndef RADLADS_SERVE_SESSIONS_SESSION_BLOB_H_
#define RADLADS_SERVE_SESSIONS_SESSION_BLOB_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "serve/sessions/prefix_hash.h"

namespace radlads {

enum class BlobType : uint8_t { kF32 = 1, kBF16 = 2, kF16 = 3, kF64 = 4, kI64 = 5 };
int64_t BlobTypeSize(BlobType type);  // bytes of an element
const char* BlobTypeName(BlobType type);

struct BlobTensor {
  std::string name;
  BlobType type = BlobType::kF32;
  std::vector<int64_t> shape;
  std::string_view bytes;  // C order, little-endian; memory of whoever made the tensor
};

struct SessionBlob {
  std::string model_hash;           // 32 hexadecimal digits (model_hash.h)
  PrefixHash prefix_hash{};         // of the `read` tokens
  int64_t read = 0;                 // tokens that the state has read
  int64_t tokens = 0;               // of the text: what follows the first `read` is unread
  std::vector<int64_t> listed;      // the last so many tokens of the text: all of them or none
  std::vector<BlobTensor> tensors;  // of the state, none if nothing is read
};

// The tensors' bytes fit their shapes; ids fit 32 bits.
std::string SerializeBlob(const SessionBlob& blob);

// Strict: INVALID_ARGUMENT for bytes that SerializeBlob does not write, with what was found and where. The tensors'
// bytes are those of `bytes`. Takes memory for no more than what is there.
absl::StatusOr<SessionBlob> ParseBlob(std::string_view bytes);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SESSION_BLOB_H_
