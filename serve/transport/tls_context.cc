#include "serve/transport/tls_context.h"

#include <openssl/err.h>

#include "base/status.h"

namespace radlads {

absl::StatusOr<std::shared_ptr<SSL_CTX>> TlsContext(const std::string& certificate, const std::string& key) {
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  RADLADS_CHECK(context != nullptr) << "OpenSSL has no TLS";
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  ERR_clear_error();
  const char* wrong = nullptr;
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1) {
    wrong = "certificate";
  } else if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) {
    wrong = "key";
  }
  if (wrong == nullptr) return context;
  const char* reason = ERR_reason_error_string(ERR_get_error());
  return InvalidArgument("TLS with the certificate ", certificate, " and the key ", key, ": the ", wrong,
                         " cannot be used (", reason == nullptr ? "system error" : reason,
                         "); both must be PEM files and belong together");
}

}  // namespace radlads
