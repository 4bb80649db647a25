// .pth and pytorch_model.bin files: what torch.save writes, a ZIP archive of a pickle and the tensors' bytes.
// docs/formats/pth.md
//
// No code of a file is ever run: its pickle is checked instruction by instruction (checked_pickle.h) before LibTorch's
// unpickler sees it, and nothing is decompressed (stored_zip.h). Tensors are views of the mapped file.
#ifndef RADLADS_MODEL_CHECKPOINT_PTH_H_
#define RADLADS_MODEL_CHECKPOINT_PTH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_source.h"

namespace radlads {

// A dict of tensors (a state dict), by itself or as "state_dict" in another dict. INVALID_ARGUMENT for pickles that are
// more than that, tensors that leave their storage, and broken or compressed archives; UNIMPLEMENTED for the formats
// before PyTorch 1.6.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenPth(const std::string& path);

// Whether an archive holds a pickle as torch.save's do (other ZIP archives: wheels, TorchScript).
bool LooksLikePth(const std::string& path);

// Writes `path` atomically as torch.save writes a dict of CPU tensors, in the order given. Memory: that of a piece of a
// tensor. INVALID_ARGUMENT as WriteSafetensors, and for dtypes other than floats of 16, 32 and 64 bits and integers.
absl::Status WritePth(const std::string& path, const std::vector<TensorToWrite>& tensors, const BytesWritten& written = {});

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_PTH_H_
