#include "serve/http/http_connections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "serve/testing/certificate.h"

namespace radlads {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

BoundPort Port() {
  auto port = BoundPort::Take({.host = "127.0.0.1"});
  RADLADS_CHECK(port.ok()) << port.status();
  return *std::move(port);
}

// Answers /size with the size of a body, and /wait once it may.
class HttpConnectionsTest : public ::testing::Test {
 protected:
  explicit HttpConnectionsTest(const ConnectionOptions& options = {}) : server_(options) {
    server_.Get("/size", [](const auto&, auto& response) { response.set_content("none", "text/plain"); });
    server_.Post("/size", [](const auto& request, auto& response) {
      response.set_content(std::to_string(request.body.size()), "text/plain");
    });
    server_.Get("/wait", [this](const auto&, auto& response) {
      ++waiting_;
      go_.get_future().wait();
      response.set_content(HttpConnections::ClientLeft() ? "left" : "waited", "text/plain");
    });
    server_.set_refusal_logger([this](const RefusedRequest& request) { refused_.push_back(request); });
    BoundPort port = Port();
    port_ = port.port();
    const absl::Status bound = server_.Bind(std::move(port));
    RADLADS_CHECK(bound.ok()) << bound;
    serving_ = std::thread([this] { served_ = server_.Serve(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~HttpConnectionsTest() override { Stop(); }

  void Stop() {
    if (!serving_.joinable()) return;
    server_.stop();
    serving_.join();
    EXPECT_TRUE(served_.ok()) << served_;
  }

  int Connect() {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    RADLADS_CHECK(socket >= 0) << std::strerror(errno);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    RADLADS_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0)
        << std::strerror(errno);
    return socket;
  }
  int Send(const std::string& bytes) {
    const int socket = Connect();
    RADLADS_CHECK(::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    return socket;
  }
  static std::string Read(int socket) {
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = ::recv(socket, buffer, sizeof(buffer), 0)) > 0;) text.append(buffer, got);
    ::close(socket);
    return text;
  }
  std::string Ask(const std::string& bytes) { return Read(Send(bytes)); }

  HttpConnections server_;
  int port_ = 0;
  std::thread serving_;
  absl::Status served_;
  std::atomic<int> waiting_ = 0;
  std::promise<void> go_;
  std::vector<RefusedRequest> refused_;  // to be read after Stop
};

TEST_F(HttpConnectionsTest, RequestsComeInAnyPieces) {
  const std::string get = "GET /size HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string chunked =
      "POST /size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  const std::string last = "POST /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
  const std::string all = Ask(get + chunked + last);
  EXPECT_THAT(all, HasSubstr("none"));
  EXPECT_THAT(all, HasSubstr("5HTTP/1.1 200"));
  EXPECT_THAT(all, EndsWith("4"));
  const int socket = Connect();
  for (const char byte : chunked + last) {
    ASSERT_EQ(::send(socket, &byte, 1, MSG_NOSIGNAL), 1);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  EXPECT_THAT(Read(socket), EndsWith("4"));
}

TEST_F(HttpConnectionsTest, ABodyIsAskedFor) {
  const int socket = Send(
      "POST /size HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
      "Content-Length: 5\r\n\r\n");
  char buffer[64] = {};
  ASSERT_GT(::recv(socket, buffer, sizeof(buffer) - 1, 0), 0);
  EXPECT_STREQ(buffer, "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_EQ(::send(socket, "hello", 5, MSG_NOSIGNAL), 5);
  const std::string reply = Read(socket);
  EXPECT_THAT(reply, EndsWith("5"));
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200")) << "asked for twice";
}

TEST_F(HttpConnectionsTest, WhatIsNoRequestIsRefused) {
  EXPECT_THAT(Ask("POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET /" + std::string(40'000, 'x')), StartsWith("HTTP/1.1 431"));
  const int socket = Send("\x16\x03\x01\r\n\n\r\n");
  char buffer[16] = {};
  ASSERT_GT(::recv(socket, buffer, sizeof(buffer) - 1, 0), 0);
  EXPECT_THAT(buffer, StartsWith("HTTP/1.1 400"));
  ::close(socket);
}

TEST_F(HttpConnectionsTest, WhatIsRefusedIsTold) {
  const auto start = std::chrono::steady_clock::now();
  const std::string reply = Ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const std::chrono::duration<double> most = std::chrono::steady_clock::now() - start;
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 505"));
  EXPECT_THAT(reply, HasSubstr("this server speaks HTTP/1.1"));
  Stop();
  ASSERT_EQ(refused_.size(), 1u);
  EXPECT_EQ(refused_[0].client, "127.0.0.1");
  EXPECT_EQ(refused_[0].method, "PRI");
  EXPECT_EQ(refused_[0].target, "*");
  EXPECT_EQ(refused_[0].status, 505);
  EXPECT_GE(refused_[0].seconds, 0);
  EXPECT_LE(refused_[0].seconds, most.count());
}

TEST_F(HttpConnectionsTest, AHandlerSeesThatItsClientLeft) {
  const int socket = Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  while (waiting_ == 0) std::this_thread::yield();
  ::close(socket);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_.set_value();
}

TEST_F(HttpConnectionsTest, AtTheEndRequestsThatAreThereAreAnswered) {
  const int half = Send("GET /size HT"), idle = Connect(), whole = Send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  while (waiting_ == 0) std::this_thread::yield();
  auto stopped = std::async(std::launch::async, [this] { Stop(); });
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  go_.set_value();
  stopped.get();
  EXPECT_THAT(Read(whole), EndsWith("waited"));
  EXPECT_EQ(Read(half), "");
  EXPECT_EQ(Read(idle), "");
}

class QuickTest : public HttpConnectionsTest {
 protected:
  QuickTest()
      : HttpConnectionsTest({.idle = std::chrono::milliseconds(600), .request = std::chrono::milliseconds(600)}) {}
};

TEST_F(QuickTest, WhatDoesNotComeInTimeIsRefused) {
  EXPECT_EQ(Read(Connect()), "");
  EXPECT_THAT(Ask("POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello"), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(Ask("GET /size HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("none"));  // and then too long nothing
  // Byte by byte is not in time either.
  const int socket = Connect();
  const auto start = std::chrono::steady_clock::now();
  while (::send(socket, "x", 1, MSG_NOSIGNAL) == 1) {
    ASSERT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ::close(socket);
}

class FewConnectionsTest : public HttpConnectionsTest {
 protected:
  FewConnectionsTest() : HttpConnectionsTest({.connections = 10}) {}
};

TEST_F(FewConnectionsTest, TheOneThatWaitsLongestMakesRoom) {
  std::vector<int> sockets;
  for (int i = 0; i < 30; ++i) sockets.push_back(Connect());
  EXPECT_THAT(Ask("GET /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), EndsWith("none"));
  char byte;
  EXPECT_EQ(::recv(sockets.front(), &byte, 1, 0), 0);
  EXPECT_EQ(::recv(sockets.back(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_LE(server_.open(), 10);
  for (const int socket : sockets) ::close(socket);
}

// As many as the process may have files, both ends of a connection being here.
TEST_F(HttpConnectionsTest, ThousandsOfHalfOpenConnectionsHoldUpNobody) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const int64_t count = std::min<int64_t>(10'000, (static_cast<int64_t>(files.rlim_cur) - 500) / 2);
  ASSERT_GT(count, 200) << "the process may have " << files.rlim_cur << " files only";
  const char* beginnings[] = {
      "", "GET /size HTTP/1.1\r\nHost:", "POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell",
      "POST /size HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"};
  std::vector<int> sockets;
  for (int64_t i = 0; i < count; ++i) sockets.push_back(Send(beginnings[i % 4]));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Ask("GET /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), EndsWith("none"));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2)) << "beside " << count << " connections";
  // They are still served.
  ASSERT_EQ(::send(sockets[2], "o", 1, 0), 1);
  char buffer[16] = {};
  ASSERT_GT(::recv(sockets[2], buffer, sizeof(buffer) - 1, 0), 0);
  EXPECT_THAT(buffer, StartsWith("HTTP/1.1 200"));
  for (const int socket : sockets) ::close(socket);
}

ConnectionOptions WithTls() {
  const std::string base = ::testing::TempDir() + "/localhost";
  WriteCertificate(base + ".crt", base + ".key");
  return {.request = std::chrono::milliseconds(600), .tls_certificate = base + ".crt", .tls_key = base + ".key"};
}

class TlsTest : public HttpConnectionsTest {
 protected:
  TlsTest() : HttpConnectionsTest(WithTls()) {}
};

TEST_F(TlsTest, RepliesAreEncrypted) {
  httplib::SSLClient client("localhost", port_);
  client.set_ca_cert_path((::testing::TempDir() + "/localhost.crt").c_str());
  client.set_keep_alive(true);
  for (const size_t size : {0, 5, 1'000'000}) {
    const auto reply = client.Post("/size", std::string(size, 'x'), "text/plain");
    ASSERT_TRUE(reply) << httplib::to_string(reply.error());
    EXPECT_EQ(reply->body, std::to_string(size));
  }
  // Plain text, and a handshake that is never finished.
  EXPECT_EQ(Ask("GET /size HTTP/1.1\r\nHost: x\r\n\r\n").find("HTTP/1.1"), std::string::npos);
  Read(Send("\x16\x03\x01"));
  EXPECT_EQ(client.Get("/size")->body, "none");
}

TEST(HttpConnections, FilesThatAreNoCertificateAreNamed) {
  const std::string path = ::testing::TempDir() + "/not.pem";
  ASSERT_TRUE(WriteFileAtomically(path, "nothing").ok());
  HttpConnections missing({.tls_certificate = path + "x", .tls_key = path});
  EXPECT_THAT(std::string(missing.Bind(Port()).message()), HasSubstr("the certificate cannot be used"));
  HttpConnections bad({.tls_certificate = WithTls().tls_certificate, .tls_key = path});
  EXPECT_THAT(std::string(bad.Bind(Port()).message()), HasSubstr("the key cannot be used"));
}

TEST_F(HttpConnectionsTest, APortIsTakenOnce) {
  const auto other = BoundPort::Take({.host = "127.0.0.1", .port = port_});
  EXPECT_TRUE(absl::IsFailedPrecondition(other.status()));
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("is another server there"));
}

}  // namespace
}  // namespace radlads
