#include "serve/sessions/failing_disk.h"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace radlads {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;
using Room = std::shared_ptr<std::atomic<int64_t>>;

class LimitedFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LimitedFile(std::unique_ptr<rocksdb::FSWritableFile> file, Room room)
      : FSWritableFileOwnerWrapper(std::move(file)), room_(std::move(room)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    const auto size = static_cast<int64_t>(data.size()), before = room_->fetch_sub(size);
    if (before >= size) return target()->Append(data, options, debug);
    room_->fetch_add(size);
    const int64_t fits = std::max<int64_t>(0, before);
    (void)target()->Append(Slice(data.data(), fits), options, debug);
    return IOStatus::NoSpace("the test's disk is full");
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }

 private:
  const Room room_;
};

class LimitedFiles : public rocksdb::FileSystemWrapper {
 public:
  explicit LimitedFiles(Room room) : FileSystemWrapper(rocksdb::FileSystem::Default()), room_(std::move(room)) {}
  const char* Name() const override { return "radlads.LimitedFiles"; }

  IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result, IODebugContext* debug) override {
    IOStatus status = target()->NewWritableFile(name, options, result, debug);
    if (status.ok()) *result = std::make_unique<LimitedFile>(std::move(*result), room_);
    return status;
  }

 private:
  const Room room_;
};

}  // namespace

FailingDisk::FailingDisk()
    : room_(std::make_shared<std::atomic<int64_t>>(std::numeric_limits<int64_t>::max() / 2)),
      env_(rocksdb::NewCompositeEnv(std::make_shared<LimitedFiles>(room_))) {}

}  // namespace radlads
