#include <ATen/ATen.h>
#include <torch/csrc/jit/serialization/unpickler.h>

#include <cstring>
#include <map>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/checked_pickle.h"
#include "model/checkpoint/mapped_tensor.h"
#include "model/checkpoint/pth.h"
#include "model/checkpoint/stored_zip.h"

namespace radlads {
namespace {

// The pickle is ARCHIVE/data.pkl, where ARCHIVE is what the file was called.
constexpr std::string_view kPickle = "/data.pkl";

std::string FindArchive(const std::map<std::string, ZipEntry>& entries) {
  for (const auto& [name, entry] : entries) {
    if (name.ends_with(kPickle) && name.find('/') + kPickle.size() == name.size()) return name.substr(0, name.size() - kPickle.size());
  }
  return "";
}

class PthFile : public TensorSource {
 public:
  static absl::StatusOr<std::unique_ptr<PthFile>> Open(const std::string& path) {
    std::unique_ptr<PthFile> source(new PthFile);
    RADLADS_ASSIGN_OR_RETURN(source->file_, MappedFile::Open(path));
    RADLADS_ASSIGN_OR_RETURN(source->records_, ReadStoredZip(*source->file_));
    source->archive_ = FindArchive(source->records_);
    if (source->archive_.empty()) return InvalidArgument(path, ": an archive without data.pkl; expected what torch.save writes");
    if (source->records_.contains(source->archive_ + "/constants.pkl")) {
      return Unimplemented(path, " is a TorchScript program; expected weights, as torch.save(model.state_dict(), ...) writes them");
    }
    RADLADS_RETURN_IF_ERROR(source->ReadByteOrder());
    RADLADS_RETURN_IF_ERROR(source->ReadPickle());
    return source;
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool Has(std::string_view name) const override { return entries_.contains(name); }

  absl::StatusOr<at::Tensor> Read(const std::string& name) const override {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return NotFound(file_->path(), " has no tensor ", name);
    const Entry& entry = found->second;
    const std::vector<int64_t>& shape = tensors_[entry.index].shape;
    if (entry.elements == 0) return at::empty(shape, entry.dtype);
    return MappedTensor(file_, entry.offset, {entry.elements}, entry.dtype).as_strided(shape, entry.strides);
  }

 private:
  struct Entry {
    size_t index;  // into tensors_
    uint64_t offset;
    int64_t elements;  // from the first to the last
    std::vector<int64_t> strides;
    at::ScalarType dtype;
  };

  absl::Status ReadByteOrder() const {
    const auto found = records_.find(archive_ + "/byteorder");
    if (found == records_.end()) return absl::OkStatus();
    const std::string_view order(Bytes(found->second), found->second.size);
    if (order != "little") return Unimplemented(file_->path(), ": the byte order is ", order.substr(0, 20), "; only little is read");
    return absl::OkStatus();
  }

  const char* Bytes(const ZipEntry& entry) const { return reinterpret_cast<const char*>(file_->bytes().data()) + entry.offset; }

  absl::Status ReadPickle() {
    const ZipEntry& record = records_.at(archive_ + std::string(kPickle));
    RADLADS_ASSIGN_OR_RETURN(const std::string pickle, CheckedPickle(file_->bytes().subspan(record.offset, record.size), file_->path()));
    size_t position = 0;
    auto read = [&](char* to, size_t size) {
      const size_t taken = std::min(size, pickle.size() - position);
      std::memcpy(to, pickle.data() + position, taken);
      position += taken;
      return taken;
    };
    auto storage = [&](const std::string& key) {
      const auto found = records_.find(Concatenate(archive_, "/data/", key));
      TORCH_CHECK(found != records_.end(), "the archive has no storage ", key);
      return at::DataPtr(const_cast<char*>(Bytes(found->second)), at::kCPU);
    };
    try {
      torch::jit::Unpickler unpickler(read, /*type_resolver=*/nullptr, /*obj_loader=*/nullptr, storage, at::kCPU);
      return ReadDict(unpickler.parse_ivalue());
    } catch (const c10::Error& error) {
      return InvalidArgument(file_->path(), ": LibTorch cannot read the pickle: ", error.what_without_backtrace());
    } catch (const std::exception& error) {
      return InvalidArgument(file_->path(), ": LibTorch cannot read the pickle: ", error.what());
    }
  }

  // What CheckedPickle wrapped into tuples.
  static at::IValue Unwrapped(at::IValue value) {
    while (value.isTuple() && !value.toTupleRef().elements().empty()) value = at::IValue(value.toTupleRef().elements()[0]);
    return value;
  }

  absl::Status ReadDict(const at::IValue& pickled) {
    const at::IValue value = Unwrapped(pickled);
    if (!value.isGenericDict()) return InvalidArgument(file_->path(), ": holds a ", value.tagKind(), ", expected a dict of tensors");
    for (const auto& item : value.toGenericDict()) {
      if (item.key().isString() && item.key().toStringRef() == "state_dict" && Unwrapped(item.value()).isGenericDict()) {
        return ReadDict(item.value());
      }
    }
    for (const auto& item : value.toGenericDict()) {
      const at::IValue entry = Unwrapped(item.value());
      if (!item.key().isString() || !entry.isTensor()) {
        return InvalidArgument(file_->path(), ": ", item.key().isString() ? item.key().toStringRef() : "a key that is no name", " is a ",
                               entry.tagKind(), ", expected tensors by name; save model.state_dict()");
      }
      RADLADS_RETURN_IF_ERROR(AddTensor(item.key().toStringRef(), entry.toTensor()));
    }
    return absl::OkStatus();
  }

  absl::Status AddTensor(const std::string& name, const at::Tensor& tensor) {
    const auto dtype = SafetensorsDtypeName(tensor.scalar_type());
    if (!dtype.ok()) return Annotate(dtype.status(), Concatenate(file_->path(), ": tensor ", name));
    const auto outside = [&] { return InvalidArgument(file_->path(), ": tensor ", name, " lies outside of its storage"); };
    Entry entry{tensors_.size(), 0, 1, tensor.strides().vec(), tensor.scalar_type()};
    const uint64_t item = c10::elementSize(entry.dtype);
    int64_t count = 1;
    for (int64_t i = 0; i < tensor.dim(); ++i) {
      const int64_t size = tensor.size(i), stride = tensor.stride(i);
      int64_t reach = 0;
      if (size < 0 || stride < 0 || __builtin_mul_overflow(count, size, &count) ||
          __builtin_mul_overflow(std::max<int64_t>(size - 1, 0), stride, &reach) ||
          __builtin_add_overflow(entry.elements, reach, &entry.elements)) {
        return outside();
      }
    }
    if (count == 0) entry.elements = 0;
    uint64_t begin = 0, bytes = 0;
    if (entry.elements > 0) {
      const auto* data = static_cast<const uint8_t*>(tensor.storage().data());
      uint64_t skipped = 0;
      if (data == nullptr || tensor.storage_offset() < 0 ||
          __builtin_mul_overflow(static_cast<uint64_t>(tensor.storage_offset()), item, &skipped) ||
          __builtin_mul_overflow(static_cast<uint64_t>(entry.elements), item, &bytes)) {
        return outside();
      }
      begin = data - file_->bytes().data();
      const ZipEntry* record = nullptr;  // that begins there
      for (const auto& [key, candidate] : records_) {
        if (candidate.offset == begin && candidate.size > 0) record = &candidate;
      }
      if (record == nullptr || skipped > record->size || bytes > record->size - skipped) return outside();
      if (count > entry.elements) {
        return InvalidArgument(file_->path(), ": tensor ", name, " is ", ShapeString(tensor.sizes().vec()), ", of which ", entry.elements,
                               " elements are stored; save tensor.contiguous()");
      }
      entry.offset = begin + skipped;
    }
    TensorInfo info{name, *dtype, tensor.sizes().vec(), static_cast<uint64_t>(count) * item, file_->path(), std::nullopt};
    tensors_.push_back(std::move(info));
    entries_.emplace(name, std::move(entry));
    return absl::OkStatus();
  }

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, ZipEntry> records_;
  std::string archive_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> OpenPth(const std::string& path) { return PthFile::Open(path); }

bool LooksLikePth(const std::string& path) {
  const auto file = MappedFile::Open(path);
  if (!file.ok()) return false;
  const auto bytes = (*file)->bytes();
  // The first entry of torch.save is ARCHIVE/data.pkl: name length at 26, name at 30.
  if (bytes.size() < 30 || bytes[0] != 'P' || bytes[1] != 'K') return false;
  const size_t length = bytes[26] | bytes[27] << 8;
  if (length > bytes.size() - 30) return false;
  const std::string_view first(reinterpret_cast<const char*>(bytes.data()) + 30, length);
  return first.find('/') != first.npos && !first.ends_with(".py") && first.find("-info/") == first.npos &&
         (first.ends_with(kPickle) || first.ends_with("/version") || first.ends_with("/byteorder") || first.find("/data/") != first.npos ||
          first.ends_with("/.format_version"));
}

}  // namespace radlads
