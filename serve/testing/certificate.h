// A certificate for tests of TLS.
#ifndef RADLADS_SERVE_TESTING_CERTIFICATE_H_
#define RADLADS_SERVE_TESTING_CERTIFICATE_H_

#include <string>

namespace radlads {

// Writes a certificate for localhost that has signed itself and is good for an hour, and its key, as PEM files. Aborts
// the test program when it cannot.
void WriteCertificate(const std::string& certificate, const std::string& key);

}  // namespace radlads

#endif  // RADLADS_SERVE_TESTING_CERTIFICATE_H_
