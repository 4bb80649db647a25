#include "model/checkpoint/stored_zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace radlads {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kDescriptor = 0x08074b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr uint64_t kMaxComment = 65535;
constexpr uint16_t kExtra64 = 1;      // extra field with the sizes that do not fit into 32 bits
constexpr uint32_t kIn64 = 0xffffffff;
constexpr uint16_t kVersion64 = 45, kChecksumFollows = 8;
constexpr uint16_t kPaddingExtra = 0x4246;  // "FB", PyTorch's
constexpr uint64_t kAlignment = 64;

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

namespace {

// Little-endian numbers, one after the other.
class Fields {
 public:
  template <typename T>
  Fields& Add(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Fields& Add(const std::string& text) {
    text_ += text;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What every entry begins with, here and in the directory.
Fields& AddCommon(Fields& fields, uint32_t checksum, uint32_t size) {
  return fields.Add(kVersion64).Add(kChecksumFollows).Add<uint16_t>(0).Add<uint32_t>(0).Add(checksum).Add(size).Add(size);
}

}  // namespace

absl::Status StoredZipWriter::Begin(const std::string& name, uint64_t size) {
  if (!entries_.empty()) RADLADS_RETURN_IF_ERROR(EndEntry());
  const uint64_t header = file_.size(), extra64 = 4 + 16, unpadded = header + kLocalBytes + name.size() + extra64 + 4;
  const uint16_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  entries_.push_back({name, header, size, 0});
  left_ = size;
  Fields fields;
  AddCommon(fields.Add(kLocal), 0, kIn64).Add<uint16_t>(name.size()).Add<uint16_t>(extra64 + 4 + padding).Add(name);
  fields.Add(kExtra64).Add<uint16_t>(16).Add(size).Add(size).Add(kPaddingExtra).Add(padding).Add(std::string(padding, 'Z'));
  return file_.Append(fields.text());
}

absl::Status StoredZipWriter::Append(const void* data, size_t size) {
  RADLADS_CHECK(size <= left_) << entries_.back().name << " is longer than was said";
  left_ -= size;
  uint32_t& checksum = entries_.back().checksum;
  checksum = crc32_z(checksum, static_cast<const Bytef*>(data), size);
  return file_.Append(data, size);
}

absl::Status StoredZipWriter::EndEntry() {
  const Entry& entry = entries_.back();
  RADLADS_CHECK(left_ == 0) << entry.name << " is shorter than was said";
  return file_.Append(Fields().Add(kDescriptor).Add(entry.checksum).Add(entry.size).Add(entry.size).text());
}

absl::Status StoredZipWriter::Finish() {
  if (!entries_.empty()) RADLADS_RETURN_IF_ERROR(EndEntry());
  const uint64_t directory = file_.size(), count = entries_.size();
  for (const Entry& entry : entries_) {
    Fields fields;
    AddCommon(fields.Add(kCentral).Add(kVersion64), entry.checksum, kIn64).Add<uint16_t>(entry.name.size()).Add<uint16_t>(4 + 24);
    fields.Add<uint16_t>(0).Add<uint16_t>(0).Add<uint16_t>(0).Add<uint32_t>(0).Add(kIn64).Add(entry.name);
    fields.Add(kExtra64).Add<uint16_t>(24).Add(entry.size).Add(entry.size).Add(entry.header);
    RADLADS_RETURN_IF_ERROR(file_.Append(fields.text()));
  }
  const uint64_t end = file_.size(), size = end - directory;
  Fields fields;
  fields.Add(kEnd64).Add(kEnd64Bytes - 12).Add(kVersion64).Add(kVersion64).Add<uint32_t>(0).Add<uint32_t>(0);
  fields.Add(count).Add(count).Add(size).Add(directory);
  fields.Add(kLocator64).Add<uint32_t>(0).Add(end).Add<uint32_t>(1);
  fields.Add(kEnd).Add<uint16_t>(0).Add<uint16_t>(0).Add<uint16_t>(0xffff).Add<uint16_t>(0xffff).Add(kIn64).Add(kIn64).Add<uint16_t>(0);
  return file_.Append(fields.text());
}

}  // namespace radlads
