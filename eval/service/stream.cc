#include "eval/service/stream.h"

namespace radlads {

OpenStreams::~OpenStreams() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return streams_.empty(); });
}

grpc::Status OpenStreams::Add(DrainableStream* stream) {
  std::lock_guard lock(mutex_);
  if (draining_) return grpc::Status(grpc::UNAVAILABLE, "the server shuts down");
  if (streams_.size() >= most_) {
    return grpc::Status(grpc::RESOURCE_EXHAUSTED, "the server has " + std::to_string(most_) +
                                                      " streams open, which is all it takes; send more on one stream");
  }
  streams_.insert(stream);
  return grpc::Status::OK;
}

void OpenStreams::Remove(DrainableStream* stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream);
  changed_.notify_all();
}

void OpenStreams::Drain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
  for (DrainableStream* stream : streams_) stream->Drain();
}

}  // namespace radlads
