#include <ATen/ATen.h>

#include <set>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/pth.h"
#include "model/checkpoint/stored_zip.h"

namespace radlads {
namespace {

constexpr char kArchive[] = "archive/";

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
  StoredZipWriter archive(*file);
  auto put = [&](const char* name, std::string_view text) -> absl::Status {
    RADLADS_RETURN_IF_ERROR(archive.Begin(Concatenate(kArchive, name), text.size()));
    return archive.Append(text.data(), text.size());
  };
  RADLADS_RETURN_IF_ERROR(put("data.pkl", program));
  RADLADS_RETURN_IF_ERROR(put("byteorder", "little"));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t bytes = c10::multiply_integers(tensors[i].shape) * c10::elementSize(tensors[i].dtype);
    RADLADS_RETURN_IF_ERROR(archive.Begin(Concatenate(kArchive, "data/", i), bytes));
    RADLADS_RETURN_IF_ERROR(ForEachPiece(tensors[i], [&](const at::Tensor& piece) {
      if (written) written(piece.nbytes());
      return archive.Append(piece.const_data_ptr(), piece.nbytes());
    }));
  }
  RADLADS_RETURN_IF_ERROR(put("version", "3\n"));
  RADLADS_RETURN_IF_ERROR(archive.Finish());
  return file->Commit();
}

}  // namespace radlads
