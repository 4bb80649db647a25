// Bodies of requests with Content-Encoding: gzip or deflate.
#ifndef RADLADS_SERVE_HTTP_DECOMPRESS_H_
#define RADLADS_SERVE_HTTP_DECOMPRESS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace radlads {

// What gzip (RFC 1952, one member or several) or zlib (RFC 1950) made `body` of. INVALID_ARGUMENT where it is neither,
// is damaged, or ends too early; OUT_OF_RANGE for more than `limit` bytes.
absl::StatusOr<std::string> Decompress(std::string_view body, size_t limit);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_DECOMPRESS_H_
