// The comments of .proto files at run time, for --help. proto_comments() in comments.bzl embeds them.
#ifndef RADLADS_CONFIGS_COMMENTS_H_
#define RADLADS_CONFIGS_COMMENTS_H_

#include <google/protobuf/descriptor.h>

#include <cstddef>
#include <string>

namespace radlads {

// Adds a serialised FileDescriptorSet with source info. The bytes must live as long as the program. Called by
// generated code before main(). Returns true.
bool RegisterComments(const unsigned char* descriptor_set, size_t size);

// The comment above the field or message, lines separated by '\n'; "" when there is none or its .proto was not
// registered. Thread-safe.
std::string CommentOf(const google::protobuf::FieldDescriptor& field);
std::string CommentOf(const google::protobuf::Descriptor& message);

}  // namespace radlads

#endif  // RADLADS_CONFIGS_COMMENTS_H_
