// OpenSSL's context for a server.
#ifndef RADLADS_SERVE_TRANSPORT_TLS_CONTEXT_H_
#define RADLADS_SERVE_TRANSPORT_TLS_CONTEXT_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace radlads {

// TLS 1.2 and 1.3 with a certificate, followed by its chain, and its key, both PEM files. INVALID_ARGUMENT says which
// of them cannot be used.
absl::StatusOr<std::shared_ptr<SSL_CTX>> TlsContext(const std::string& certificate, const std::string& key);

}  // namespace radlads

#endif  // RADLADS_SERVE_TRANSPORT_TLS_CONTEXT_H_
