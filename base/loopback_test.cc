#include "base/loopback.h"

#include <gtest/gtest.h>

namespace radlads {
namespace {

TEST(IsLoopbackHost, AddressesOfThisMachine) {
  for (const char* host :
       {"localhost", "127.0.0.1", "127.1.2.3", "127.255.255.255", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
}

TEST(IsLoopbackHost, AddressesAndNamesThatOthersReach) {
  for (const char* host : {"", "0.0.0.0", "::", "192.168.1.1", "12.7.0.1", "::2", "fe80::1", "::ffff:192.168.1.1",
                           "127.example.com", "127.0.0.1.example.com", "127.0.0.1 ", "127.0.0.256", "127.",
                           "localhost.example.com", "example.com", "[::1]"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << "'" << host << "'";
  }
}

}  // namespace
}  // namespace radlads
