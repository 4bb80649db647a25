#include "configs/comments.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>

#include <memory>
#include <mutex>

#include "base/status.h"

namespace radlads {
namespace {

// Descriptors that are compiled in carry no comments, so they are looked up in a second pool of the same files.
struct Comments {
  std::mutex mutex;
  google::protobuf::SimpleDescriptorDatabase database;
  std::unique_ptr<google::protobuf::DescriptorPool> pool;
};

Comments& Registry() {
  static auto* registry = new Comments;
  return *registry;
}

template <typename Descriptor>
std::string Comment(const Descriptor* descriptor) {
  google::protobuf::SourceLocation location;
  if (descriptor == nullptr || !descriptor->GetSourceLocation(&location)) return "";
  std::string text;
  for (const char c : location.leading_comments) {
    if (c == ' ' && (text.empty() || text.back() == '\n')) continue;
    text += c;
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

bool RegisterComments(const unsigned char* descriptor_set, size_t size) {
  google::protobuf::FileDescriptorSet files;
  RADLADS_CHECK(files.ParseFromArray(descriptor_set, static_cast<int>(size))) << "embedded descriptors are damaged";
  Comments& registry = Registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  for (const auto& file : files.file()) registry.database.Add(file);
  return true;
}

std::string CommentOf(const google::protobuf::Descriptor& message) {
  Comments& registry = Registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (registry.pool == nullptr) registry.pool = std::make_unique<google::protobuf::DescriptorPool>(&registry.database);
  return Comment(registry.pool->FindMessageTypeByName(message.full_name()));
}

std::string CommentOf(const google::protobuf::FieldDescriptor& field) {
  Comments& registry = Registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (registry.pool == nullptr) registry.pool = std::make_unique<google::protobuf::DescriptorPool>(&registry.database);
  return Comment(registry.pool->FindFieldByName(field.full_name()));
}

}  // namespace radlads
