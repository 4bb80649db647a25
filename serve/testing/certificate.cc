#include "serve/testing/certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>

#include "base/status.h"

namespace radlads {

void WriteCertificate(const std::string& certificate, const std::string& key) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> x509(X509_new(), &X509_free);
  X509_set_version(x509.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600);
  X509_set_pubkey(x509.get(), pair.get());
  X509_NAME* name = X509_get_subject_name(x509.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(x509.get(), name);
  X509_EXTENSION* const names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
  RADLADS_CHECK(names != nullptr && X509_add_ext(x509.get(), names, -1) == 1);
  X509_EXTENSION_free(names);
  RADLADS_CHECK(X509_sign(x509.get(), pair.get(), EVP_sha256()) > 0);
  std::FILE* file = std::fopen(certificate.c_str(), "w");
  RADLADS_CHECK(PEM_write_X509(file, x509.get()) == 1);
  std::fclose(file);
  file = std::fopen(key.c_str(), "w");
  RADLADS_CHECK(PEM_write_PrivateKey(file, pair.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(file);
}

}  // namespace radlads
