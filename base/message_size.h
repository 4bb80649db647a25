// How large a protobuf message becomes, before anything is built of its bytes.
#ifndef RADLADS_BASE_MESSAGE_SIZE_H_
#define RADLADS_BASE_MESSAGE_SIZE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace radlads {

// An upper bound of the bytes of memory that a message of `type` takes once it is parsed from `bytes`, unknown fields
// among them. INVALID_ARGUMENT for bytes that are no protobuf message. Takes no memory in proportion to them.
absl::StatusOr<int64_t> MessageMemory(google::protobuf::io::ZeroCopyInputStream& bytes,
                                      const google::protobuf::Descriptor& type);

}  // namespace radlads

#endif  // RADLADS_BASE_MESSAGE_SIZE_H_
