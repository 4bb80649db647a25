#include "model/checkpoint/stored_zip.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace radlads {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr uint64_t kMaxComment = 65535;
constexpr uint16_t kExtra64 = 1;      // extra field with the sizes that do not fit into 32 bits
constexpr uint32_t kIn64 = 0xffffffff;

class Reader {
 public:
  explicit Reader(const MappedFile& file) : file_(file), bytes_(file.bytes()) {}

  absl::StatusOr<std::map<std::string, ZipEntry>> Read() {
    uint64_t at = 0, entries = 0;
    RADLADS_RETURN_IF_ERROR(FindDirectory(at, entries));
    std::map<std::string, ZipEntry> found;
    for (uint64_t i = 0; i < entries; ++i) {
      if (!Fits(at, kCentralBytes) || Load<uint32_t>(at) != kCentral) return Broken("its directory ends early");
      const uint64_t name_size = Load<uint16_t>(at + 28), extra_size = Load<uint16_t>(at + 30), comment = Load<uint16_t>(at + 32);
      if (!Fits(at + kCentralBytes, name_size + extra_size + comment)) return Broken("its directory ends early");
      const std::string name(reinterpret_cast<const char*>(bytes_.data() + at + kCentralBytes), name_size);
      uint64_t size = Load<uint32_t>(at + 24), stored = Load<uint32_t>(at + 20), local = Load<uint32_t>(at + 42);
      RADLADS_RETURN_IF_ERROR(ReadExtra(at + kCentralBytes + name_size, extra_size, size, stored, local));
      const uint16_t flags = Load<uint16_t>(at + 8), method = Load<uint16_t>(at + 10);
      if (method != 0 || (flags & 1) != 0 || size != stored) {
        return InvalidArgument(file_.path(), ": the entry ", name, " is compressed or encrypted; torch.save stores as it is");
      }
      if (!Fits(local, kLocalBytes) || Load<uint32_t>(local) != kLocal) return Broken("it does not hold " + name);
      const uint64_t offset = local + kLocalBytes + Load<uint16_t>(local + 26) + Load<uint16_t>(local + 28);
      if (!Fits(offset, size)) return Broken(name + " ends beyond the file");
      if (!found.emplace(name, ZipEntry{offset, size}).second) return Broken(name + " is there twice");
      at += kCentralBytes + name_size + extra_size + comment;
    }
    return found;
  }

 private:
  bool Fits(uint64_t offset, uint64_t size) const { return offset <= bytes_.size() && size <= bytes_.size() - offset; }
  template <typename T>
  T Load(uint64_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }
  absl::Status Broken(const std::string& what) const {
    return InvalidArgument(file_.path(), " is no whole ZIP archive: ", what, "; fetch the file again");
  }

  absl::Status FindDirectory(uint64_t& at, uint64_t& entries) const {
    const uint64_t size = bytes_.size();
    if (size < kEndBytes) return Broken("it is too short");
    uint64_t end = size - kEndBytes;
    const uint64_t first = end - std::min(end, kMaxComment);
    while (Load<uint32_t>(end) != kEnd) {
      if (end == first) return Broken("it has no directory");
      --end;
    }
    at = Load<uint32_t>(end + 16);
    entries = Load<uint16_t>(end + 10);
    if (end >= kLocator64Bytes && Load<uint32_t>(end - kLocator64Bytes) == kLocator64) {
      const uint64_t end64 = Load<uint64_t>(end - kLocator64Bytes + 8);
      if (!Fits(end64, kEnd64Bytes) || Load<uint32_t>(end64) != kEnd64) return Broken("its directory is not where it should be");
      entries = Load<uint64_t>(end64 + 32);
      at = Load<uint64_t>(end64 + 48);
    }
    if (at > size || entries > (size - at) / kCentralBytes) return Broken("its directory does not fit into it");
    return absl::OkStatus();
  }

  // Replaces what stands in the ZIP64 field, in its fixed order.
  absl::Status ReadExtra(uint64_t at, uint64_t left, uint64_t& size, uint64_t& stored, uint64_t& local) const {
    while (left >= 4) {
      const uint16_t id = Load<uint16_t>(at), length = Load<uint16_t>(at + 2);
      if (length > left - 4) return Broken("an extra field is too long");
      uint64_t field = at + 4, field_left = length;
      for (uint64_t* value : {&size, &stored, &local}) {
        if (id != kExtra64 || *value != kIn64) continue;
        if (field_left < 8) return Broken("a ZIP64 field is too short");
        *value = Load<uint64_t>(field);
        field += 8;
        field_left -= 8;
      }
      at += 4 + length;
      left -= 4 + length;
    }
    return absl::OkStatus();
  }

  const MappedFile& file_;
  const std::span<const uint8_t> bytes_;
};

}  // namespace

absl::StatusOr<std::map<std::string, ZipEntry>> ReadStoredZip(const MappedFile& file) { return Reader(file).Read(); }

}  // namespace radlads
