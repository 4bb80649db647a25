// Whether an address is for this machine only.
#ifndef RADLADS_BASE_LOOPBACK_H_
#define RADLADS_BASE_LOOPBACK_H_

#include <string>

namespace radlads {

// `host`, without brackets, is "localhost", or an address in 127.0.0.0/8 (RFC 1122), ::1 (RFC 4291) or what IPv6 maps
// 127.0.0.0/8 to. Any other name may be anybody's, "127.example.com" too.
bool IsLoopbackHost(const std::string& host);

}  // namespace radlads

#endif  // RADLADS_BASE_LOOPBACK_H_
