#include "serve/http/testing.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/status.h"

namespace radlads {
HttpTextServerTest::HttpTextServerTest(HttpTextServerOptions options, const FakeOptions& fake,
                                       const std::vector<std::string>& names)
    : models_(fake, names) {
  options.port = 0;
  server_ = std::make_unique<HttpTextServer>(models_.served(), metrics_, options);
  const absl::Status bound = server_->Bind();
  RADLADS_CHECK(bound.ok()) << bound;
  serving_ = std::thread([this] { served_ = server_->Serve(); });
  // It runs once it answers.
  if (options.tls_key.empty()) {
    RADLADS_CHECK(Client().Get("/health"));
  } else {
    httplib::SSLClient client("127.0.0.1", server_->port());
    client.enable_server_certificate_verification(false);
    RADLADS_CHECK(client.Get("/health"));
  }
}

HttpTextServerTest::~HttpTextServerTest() {
  if (serving_.joinable()) Stop();
}

void HttpTextServerTest::Stop() {
  server_->Shutdown();
  serving_.join();
  EXPECT_TRUE(served_.ok()) << served_;
}

nlohmann::json HttpTextServerTest::Get(const std::string& path, int want) {
  auto client = Client();
  const auto result = client.Get(path);
  EXPECT_TRUE(result) << path << ": " << httplib::to_string(result.error());
  if (!result) return {};
  EXPECT_EQ(result->status, want) << path << ": " << result->body;
  return nlohmann::json::parse(result->body);
}

nlohmann::json HttpTextServerTest::Post(const std::string& path, const nlohmann::json& body, int want) {
  auto client = Client();
  const auto result = client.Post(path, body.dump(), "application/json");
  EXPECT_TRUE(result) << path << ": " << httplib::to_string(result.error());
  if (!result) return {};
  EXPECT_EQ(result->status, want) << path << ": " << result->body;
  return nlohmann::json::parse(result->body);
}

std::vector<nlohmann::json> HttpTextServerTest::Stream(const std::string& path, nlohmann::json body) {
  body["stream"] = true;
  auto client = Client();
  const auto result = client.Post(path, body.dump(), "application/json");
  EXPECT_TRUE(result) << path << ": " << httplib::to_string(result.error());
  if (!result) return {};
  EXPECT_EQ(result->status, 200) << result->body;
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/event-stream");
  std::vector<nlohmann::json> events;
  std::istringstream lines(result->body);
  std::string line;
  bool done = false;
  while (std::getline(lines, line)) {
    if (line.empty() || line[0] == ':') continue;
    EXPECT_FALSE(done) << "after [DONE]: " << line;
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    done = line == "data: [DONE]";
    if (!done) events.push_back(nlohmann::json::parse(line.substr(6)));
  }
  EXPECT_TRUE(done) << result->body;
  return events;
}

int HttpTextServerTest::Connect() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server_->port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  RADLADS_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) << std::strerror(errno);
  return socket;
}

int HttpTextServerTest::Send(const std::string& bytes) {
  const int socket = Connect();
  RADLADS_CHECK(::send(socket, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return socket;
}

int HttpTextServerTest::Ask(const std::string& path, const nlohmann::json& body) {
  const std::string text = body.dump();
  return Send(
      Concatenate("POST ", path, " HTTP/1.1\r\nHost: localhost\r\nContent-Length: ", text.size(), "\r\n\r\n", text));
}

std::string HttpTextServerTest::Read(int socket, const std::string& until) {
  std::string text;
  char buffer[4096];
  for (ssize_t got; (until.empty() || text.find(until) == std::string::npos) &&
                    (got = ::recv(socket, buffer, sizeof(buffer), 0)) > 0;) {
    text.append(buffer, got);
  }
  return text;
}

}  // namespace radlads
