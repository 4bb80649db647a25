#include "base/message_size.h"

#include <google/protobuf/io/coded_stream.h>

#include "base/status.h"

namespace radlads {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedInputStream;

constexpr int kMaxDepth = 100;  // as protobuf itself
// A field: of a message its object and its place in the repeated field that it may be of (which doubles), of a map its
// node, of what is unknown its record.
constexpr int64_t kField = 320;
// A byte: of a string twice, of a packed field a number of 8 bytes in memory that doubles.
constexpr int64_t kByte = 2, kPackedByte = 24;

// To the end of the message. False: it is none.
bool Add(CodedInputStream& bytes, const Descriptor* type, int depth, int64_t* memory) {
  if (depth > kMaxDepth) return false;
  while (const uint32_t tag = bytes.ReadTag()) {
    *memory += kField;
    const FieldDescriptor* field = type == nullptr ? nullptr : type->FindFieldByNumber(static_cast<int>(tag >> 3));
    uint64_t number = 0;
    uint32_t size = 0;
    switch (tag & 7) {
      case 0:
        if (!bytes.ReadVarint64(&number)) return false;
        break;
      case 1:
        if (!bytes.Skip(8)) return false;
        break;
      case 2: {
        if (!bytes.ReadVarint32(&size) || size > INT32_MAX) return false;
        if (field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          const auto limit = bytes.PushLimit(static_cast<int>(size));
          if (!Add(bytes, field->message_type(), depth + 1, memory)) return false;
          if (!bytes.ConsumedEntireMessage() || bytes.BytesUntilLimit() != 0) return false;
          bytes.PopLimit(limit);
        } else {
          *memory += size * (field != nullptr && field->is_packable() ? kPackedByte : kByte);
          if (!bytes.Skip(static_cast<int>(size))) return false;
        }
        break;
      }
      case 3:  // a group, which ends with the tag that the next case sees
        if (!Add(bytes, nullptr, depth + 1, memory) || !bytes.LastTagWas(tag + 1)) return false;
        break;
      case 4:
        return depth > 0;
      case 5:
        if (!bytes.Skip(4)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<int64_t> MessageMemory(google::protobuf::io::ZeroCopyInputStream& bytes, const Descriptor& type) {
  CodedInputStream coded(&bytes);
  int64_t memory = kField;
  if (!Add(coded, &type, 0, &memory) || !coded.ConsumedEntireMessage()) {
    return InvalidArgument("the bytes are no ", type.full_name());
  }
  return memory;
}

}  // namespace radlads
