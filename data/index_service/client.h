// A dataset behind an index service as a SampleSource (docs/formats/index_service.md).
#ifndef RADLADS_DATA_INDEX_SERVICE_CLIENT_H_
#define RADLADS_DATA_INDEX_SERVICE_CLIENT_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/sample_source.h"

namespace radlads {

struct RemoteOptions {
  std::string api_key;  // '' for none
  // How long the service may be away before an error: when it is opened, and later.
  std::chrono::milliseconds patience_at_open{10'000}, patience{600'000};
  // Samples that are kept in advance, in bytes as they come over the wire.
  int64_t read_ahead_bytes = 32 << 20;
};

// True for "grpc://...".
bool IsIndexServiceUrl(const std::string& data_file);

// grpc://HOST:PORT/NAME. Asks the service what the dataset is; INVALID_ARGUMENT for an address of another form or too
// few tokens, UNAVAILABLE when nobody answers, else the service's own error (NOT_FOUND, UNAUTHENTICATED, ...).
//
// Reads ahead in a thread of its own: the samples that follow each other at the distance of those in the first Read. A
// connection that breaks or a server that stops is tried again, after 0.1 to 5 seconds, from the first sample that has
// not come: none is lost, none comes twice. A dataset whose contents have changed meanwhile is an error. Calls of Read
// from several threads take turns.
absl::StatusOr<std::shared_ptr<const SampleSource>> OpenRemoteSource(const std::string& url,
                                                                     const SampleOptions& options,
                                                                     const RemoteOptions& remote);

}  // namespace radlads

#endif  // RADLADS_DATA_INDEX_SERVICE_CLIENT_H_
