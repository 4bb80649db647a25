#include "base/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>

namespace radlads {

bool IsLoopbackHost(const std::string& host) {
  if (host == "localhost") return true;
  constexpr uint8_t kNetwork = 127;
  in_addr four;
  // In the order of the network: the first byte is the first number.
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return reinterpret_cast<const uint8_t*>(&four)[0] == kNetwork;
  in6_addr six;
  if (::inet_pton(AF_INET6, host.c_str(), &six) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == kNetwork);
}

}  // namespace radlads
