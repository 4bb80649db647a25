#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <cstring>
#include <set>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/pth.h"

namespace radlads {
namespace {

// nullptr: torch.save has none.
const char* StorageName(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat: return "FloatStorage";
    case at::kHalf: return "HalfStorage";
    case at::kBFloat16: return "BFloat16Storage";
    case at::kDouble: return "DoubleStorage";
    case at::kLong: return "LongStorage";
    case at::kInt: return "IntStorage";
    case at::kShort: return "ShortStorage";
    case at::kChar: return "CharStorage";
    case at::kByte: return "ByteStorage";
    case at::kBool: return "BoolStorage";
    default: return nullptr;
  }
}

// Pickle, protocol 2 (pickletools names the instructions).
class PickleWriter {
 public:
  PickleWriter() : text_("\x80\x02}(") {}

  // dict[name] = _rebuild_tensor_v2(storage `key`, 0, shape, strides, False, OrderedDict())
  void AddTensor(const std::string& key, const TensorToWrite& tensor) {
    int64_t elements = 1;
    std::vector<int64_t> strides(tensor.shape.size());
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      strides[i] = elements;
      elements *= std::max<int64_t>(tensor.shape[i], 1);
    }
    String(tensor.name);
    text_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    String("storage");
    text_ += Concatenate("ctorch\n", StorageName(tensor.dtype), "\n");
    String(key);
    String("cpu");
    Integer(c10::multiply_integers(tensor.shape));
    text_ += "tQ";
    Integer(0);
    Tuple(tensor.shape);
    Tuple(strides);
    text_ += "\x89" "ccollections\nOrderedDict\n)RtR";
  }

  std::string Finish() && { return std::move(text_) + "u."; }

 private:
  void String(const std::string& text) {
    const uint32_t size = text.size();
    text_ += 'X';
    text_.append(reinterpret_cast<const char*>(&size), sizeof(size));
    text_ += text;
  }
  void Integer(int64_t value) {
    text_ += "\x8a\x08";
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Tuple(const std::vector<int64_t>& values) {
    text_ += '(';
    for (const int64_t value : values) Integer(value);
    text_ += 't';
  }

  std::string text_;
};

// The whole tensor, contiguous, in its dtype: a record of the archive is written at once.
absl::StatusOr<at::Tensor> Converted(const TensorToWrite& entry) {
  at::Tensor whole = at::empty(entry.shape, entry.dtype);
  auto* to = static_cast<uint8_t*>(whole.data_ptr());
  RADLADS_RETURN_IF_ERROR(ForEachPiece(entry, [&](const at::Tensor& piece) {
    std::memcpy(to, piece.const_data_ptr(), piece.nbytes());
    to += piece.nbytes();
    return absl::OkStatus();
  }));
  return whole;
}

}  // namespace

absl::Status WritePth(const std::string& path, const std::vector<TensorToWrite>& tensors, const BytesWritten& written) {
  PickleWriter pickle;
  std::set<std::string_view> names;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorToWrite& tensor = tensors[i];
    if (!names.insert(tensor.name).second) return InvalidArgument("cannot write ", path, ": two tensors are called ", tensor.name);
    if (StorageName(tensor.dtype) == nullptr) {
      return InvalidArgument("cannot write ", path, ": ", tensor.name, " is ", c10::toString(tensor.dtype), ", which a .pth file has no storage for");
    }
    pickle.AddTensor(std::to_string(i), tensor);
  }
  const std::string program = std::move(pickle).Finish();

  RADLADS_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
  absl::Status status;
  // The archive's destructor throws when it cannot write, so it is never told.
  auto append = [&](const void* data, size_t size) {
    if (status.ok()) status = file->Append(data, size);
    return size;
  };
  try {
    caffe2::serialize::PyTorchStreamWriter archive(append);
    archive.writeRecord("data.pkl", program.data(), program.size());
    archive.writeRecord("byteorder", "little", 6);
    for (size_t i = 0; status.ok() && i < tensors.size(); ++i) {
      const absl::StatusOr<at::Tensor> tensor = Converted(tensors[i]);
      if (!tensor.ok()) {
        status = tensor.status();
        break;
      }
      archive.writeRecord("data/" + std::to_string(i), tensor->const_data_ptr(), tensor->nbytes());
      if (written) written(tensor->nbytes());
    }
    archive.writeEndOfFile();
  } catch (const std::exception& error) {
    return absl::InternalError(Concatenate("cannot write ", path, ": ", error.what()));
  }
  RADLADS_RETURN_IF_ERROR(status);
  return file->Commit();
}

}  // namespace radlads
