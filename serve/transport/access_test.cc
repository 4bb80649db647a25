#include "serve/transport/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "serve/error_code.h"

namespace radlads {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Access, KeysAreCompared) {
  const Access access({.keys = {"0123456789abcdef", "fedcba9876543210"}});
  EXPECT_TRUE(access.CheckKey("Bearer 0123456789abcdef").ok());
  EXPECT_TRUE(access.CheckKey("Bearer fedcba9876543210").ok());
  EXPECT_TRUE(access.CheckKey("bearer fedcba9876543210").ok());
  EXPECT_TRUE(access.CheckKey("BEARER   fedcba9876543210").ok());
  EXPECT_TRUE(access.CheckKey("", "fedcba9876543210").ok());
  EXPECT_FALSE(access.CheckKey("", "fedcba9876543211").ok());
  EXPECT_FALSE(access.CheckKey("Bearer fedcba9876543211", "fedcba9876543210").ok());
  EXPECT_EQ(ErrorCodeOf(access.CheckKey("Bearer fedcba9876543211")), "invalid_api_key");
  EXPECT_EQ(ErrorCodeOf(access.CheckKey("")), "");
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0",
                            "Basic 0123456789abcdef", "0123456789abcdef"}) {
    EXPECT_TRUE(absl::IsUnauthenticated(access.CheckKey(wrong))) << wrong;
  }
  EXPECT_TRUE(Access({}).CheckKey("").ok());
}

TEST(Access, OnlyPagesOfAllowedOriginsMayAsk) {
  const Access access({.origins = {"https://chat.example.org"}});
  EXPECT_TRUE(access.CheckSource("", "server:8080").ok());
  EXPECT_TRUE(access.CheckSource("http://server:8080", "server:8080").ok());
  EXPECT_TRUE(access.CheckSource("https://chat.example.org", "server:8080").ok());
  EXPECT_EQ(access.Allowed("https://chat.example.org"), "https://chat.example.org");
  EXPECT_EQ(access.Allowed("http://server:8080"), "");
  for (const char* origin : {"https://evil.example.org", "null", "http://chat.example.org", "http://server:80801"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(access.CheckSource(origin, "server:8080"))) << origin;
  }
  EXPECT_EQ(Access({.origins = {"*"}}).Allowed("https://any.example.org"), "https://any.example.org");
}

TEST(Access, ANameThatAnyoneCanGiveToThisMachineIsRefused) {
  const Access access({.local = true});
  for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", ""}) {
    EXPECT_TRUE(access.CheckSource("", host).ok()) << host;
  }
  EXPECT_TRUE(absl::IsPermissionDenied(access.CheckSource("", "rebound.example.org:8080")));
  EXPECT_TRUE(absl::IsPermissionDenied(access.CheckSource("http://rebound.example.org", "rebound.example.org")));
  EXPECT_TRUE(Access({.keys = {"0123456789abcdef"}, .local = true}).CheckSource("", "chat.example.org").ok());
}

TEST(ReadKeys, OneOnEachLine) {
  const std::string path = ::testing::TempDir() + "/keys";
  const auto read = [&](const std::string& text, mode_t mode) {
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return ReadKeys(path);
  };
  const auto keys = read("# two\n0123456789abcdef \r\n\nfedcba9876543210", 0600);
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_THAT(*keys, ElementsAre("0123456789abcdef", "fedcba9876543210"));
  EXPECT_THAT(std::string(read("0123456789abcdef", 0644).status().message()), HasSubstr("chmod 600"));
  EXPECT_THAT(std::string(read("#\n\nshort\n", 0600).status().message()), HasSubstr(":3: a key of 5 characters"));
  EXPECT_THAT(std::string(read("\n", 0600).status().message()), HasSubstr("has no key"));
  EXPECT_TRUE(absl::IsNotFound(ReadKeys(path + "-not").status())) << ReadKeys(path + "-not").status();
}

}  // namespace
}  // namespace radlads
