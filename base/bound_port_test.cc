#include "base/bound_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace radlads {
namespace {

using ::testing::HasSubstr;

TEST(ParseListenAddress, HostAndPort) {
  const auto parse = [](const char* text) { return ParseListenAddress("--listen", text).value(); };
  EXPECT_EQ(parse("127.0.0.1:8080").host, "127.0.0.1");
  EXPECT_EQ(parse("127.0.0.1:8080").port, 8080);
  EXPECT_EQ(parse("localhost:0").port, 0);
  EXPECT_EQ(parse("[::1]:65535").host, "::1");
  EXPECT_EQ(parse("[::1]:65535").port, 65535);
  for (const char* text :
       {"", "host", "8080", ":8080", "host:", "host:x", "host:-1", "host:65536", "::1:80", "[]:80"}) {
    const auto address = ParseListenAddress("--listen", text);
    EXPECT_TRUE(absl::IsInvalidArgument(address.status())) << text;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr("--listen must be HOST:PORT"));
  }
}

TEST(BoundPort, IsNobodyElsesOnceItIsListenedOn) {
  auto port = BoundPort::Take({.host = "127.0.0.1"});
  ASSERT_TRUE(port.ok()) << port.status();
  EXPECT_GT(port->port(), 0);
  const int number = port->port(), socket = port->Release();
  ASSERT_EQ(::listen(socket, 1), 0);
  const auto other = BoundPort::Take({.host = "127.0.0.1", .port = number});
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status()));
  EXPECT_THAT(std::string(other.status().message()),
              HasSubstr("port " + std::to_string(number) + " is in use; is another server there?"));
  ::close(socket);
  EXPECT_TRUE(BoundPort::Take({.host = "127.0.0.1", .port = number}).ok());
}

TEST(BoundPort, AddressesThatAreNotThisMachinesAreNamed) {
  // An address for documentation, which no machine has (RFC 5737), and a name that nobody has (RFC 6761).
  EXPECT_THAT(std::string(BoundPort::Take({.host = "192.0.2.1"}).status().message()),
              HasSubstr("192.0.2.1 is no address of this machine"));
  EXPECT_THAT(std::string(BoundPort::Take({.host = "nosuchhost.invalid"}).status().message()),
              HasSubstr("nosuchhost.invalid is not known"));
}

}  // namespace
}  // namespace radlads
