// Who may ask: API keys, and pages of other origins.
#ifndef RADLADS_SERVE_TRANSPORT_ACCESS_H_
#define RADLADS_SERVE_TRANSPORT_ACCESS_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// The keys of a file: one on each line, those that begin with # and empty ones left out. FAILED_PRECONDITION when
// everyone may read it or others write it; INVALID_ARGUMENT when it has none, or one of fewer than 16 characters.
absl::StatusOr<std::vector<std::string>> ReadKeys(const std::string& path);

struct AccessOptions {
  std::vector<std::string> keys;     // none: everyone may ask
  std::vector<std::string> origins;  // whose pages may ask, as "https://chat.example.org"; "*": all
  // Nobody else should reach the server: without keys, a request must name a host that can only be this machine, so
  // that no page can rebind a name of its own to it.
  bool local = false;
};

// Thread-safe.
class Access {
 public:
  explicit Access(AccessOptions options);

  // The values of the headers Authorization and X-Api-Key; empty: there is none. UNAUTHENTICATED without one of the
  // keys, compared in constant time.
  absl::Status CheckKey(std::string_view authorization, std::string_view api_key = "") const;
  // The values of the headers Origin and Host; empty: there is none. PERMISSION_DENIED for a page of an origin that is
  // not allowed, and for a host that is not. (A request without Host, which HTTP/1.0 allows, comes from no browser.)
  absl::Status CheckSource(std::string_view origin, std::string_view host) const;
  // Whose pages may read the reply: `origin`, or empty.
  std::string_view Allowed(std::string_view origin) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest DigestOf(std::string_view key);

  AccessOptions options_;
  std::vector<Digest> digests_;  // of the keys
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_ACCESS_H_
