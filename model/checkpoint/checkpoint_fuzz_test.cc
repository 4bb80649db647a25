// Any bytes as a file of weights: refused with a message, or all that it says it holds can be read. Pickles are tried in
// an archive too, where most changes do not break the ZIP directory first.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <caffe2/serialize/inline_container.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/checkpoint/gguf.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {
namespace {

void CheckRefusal(const absl::Status& status) {
  RADLADS_CHECK(absl::IsInvalidArgument(status) || absl::IsUnimplemented(status) || absl::IsNotFound(status)) << status;
  RADLADS_CHECK(!status.message().empty());
}

void ReadAll(const TensorSource& source) {
  for (const TensorInfo& info : source.tensors()) {
    RADLADS_CHECK(source.Has(info.name)) << info.name;
    const auto tensor = source.Read(info.name);
    if (tensor.ok()) {
      RADLADS_CHECK(info.dtype == "F4" || tensor->sizes() == at::IntArrayRef(info.shape)) << info.name;
      tensor->clone();
    } else {
      CheckRefusal(tensor.status());
    }
    const auto blocks = source.ReadBlocks(info.name);
    if (blocks.ok()) {
      RADLADS_CHECK(info.blocks.has_value()) << info.name;
      blocks->clone();
    } else {
      CheckRefusal(blocks.status());
    }
  }
}

void TryGguf(const std::string& path) {
  auto opened = GgufFile::Open(path);
  if (!opened.ok()) return CheckRefusal(opened.status());
  const std::shared_ptr<const GgufFile> file = std::move(*opened);
  if (const auto config = ModelConfigFromGguf(*file); !config.ok()) CheckRefusal(config.status());
  if (const auto view = OpenGgufAsHuggingFace(file); view.ok()) {
    ReadAll(**view);
  } else {
    CheckRefusal(view.status());
  }
  const auto tokenizer = TokenizerFilesFromGguf(*file);
  if (!tokenizer.ok()) return CheckRefusal(tokenizer.status());
  for (const auto& [name, text] : *tokenizer) RADLADS_CHECK(nlohmann::json::accept(text)) << name << text;
}

void Try(std::string_view bytes) {
  const int file = memfd_create("checkpoint", MFD_CLOEXEC);
  RADLADS_CHECK(file >= 0 && write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  const std::string path = Concatenate("/proc/self/fd/", file);
  if (const auto source = OpenTensors(path); source.ok()) {
    ReadAll(**source);
  } else {
    CheckRefusal(source.status());
  }
  if (bytes.starts_with("GGUF")) TryGguf(path);
  close(file);
}

// An archive as torch.save makes it, with a few storages.
std::string ArchiveOf(std::string_view pickle) {
  std::string archive;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    archive.append(static_cast<const char*>(data), size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  const std::string storage(64, '\1');
  for (const char* name : {"data/0", "data/1", "data/2", "data/3"}) writer.writeRecord(name, storage.data(), storage.size());
  writer.writeEndOfFile();
  return archive;
}

}  // namespace
}  // namespace radlads

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  at::set_num_threads(1);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  radlads::Try(bytes);
  if (bytes.starts_with("\x80\x02")) radlads::Try(radlads::ArchiveOf(bytes));
  return 0;
}
