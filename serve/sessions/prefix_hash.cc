#include "serve/sessions/prefix_hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/status.h"

namespace radlads {

PrefixHash Extend(const PrefixHash& before, int64_t token) {
  // What OpenSSL looks up by name is looked up once.
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                                     &EVP_MD_CTX_free);
  uint8_t input[20], digest[32];
  std::copy(before.begin(), before.end(), input);
  for (int i = 0; i < 4; ++i) input[16 + i] = static_cast<uint8_t>(token >> (8 * i));
  RADLADS_CHECK(EVP_DigestInit_ex(context.get(), sha256, nullptr) == 1 &&
                EVP_DigestUpdate(context.get(), input, sizeof(input)) == 1 &&
                EVP_DigestFinal_ex(context.get(), digest, nullptr) == 1)
      << "OpenSSL has no SHA-256";
  PrefixHash hash;
  std::copy(digest, digest + hash.size(), hash.begin());
  return hash;
}

std::vector<PrefixHash> Chain(const PrefixHash& before, std::span<const int64_t> tokens) {
  std::vector<PrefixHash> hashes = {before};
  hashes.reserve(tokens.size() + 1);
  for (const int64_t token : tokens) hashes.push_back(Extend(hashes.back(), token));
  return hashes;
}

}  // namespace radlads
