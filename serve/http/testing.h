// A server with a fake model, for the tests of this folder.
#ifndef RADLADS_SERVE_HTTP_TESTING_H_
#define RADLADS_SERVE_HTTP_TESTING_H_

#include <gtest/gtest.h>
#include <httplib.h>
#include <prometheus/registry.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "serve/http/http_text_server.h"
#include "serve/testing/fake_models.h"

namespace radlads {

class HttpTextServerTest : public ::testing::Test {
 protected:
  // `names`: of models, each with a service of its own. The texts of all say "Hi!" and end, unless `fake` says
  // otherwise.
  explicit HttpTextServerTest(HttpTextServerOptions options = {}, const FakeOptions& fake = {.reply = {40, 73, 1, 0}},
                              const std::vector<std::string>& names = {"fake"});
  ~HttpTextServerTest() override;

  void Stop();
  FakeTextService& service(size_t i = 0) { return models_.service(i); }

  httplib::Client Client() { return httplib::Client("127.0.0.1", server_->port()); }
  nlohmann::json Get(const std::string& path, int want = 200);
  nlohmann::json Post(const std::string& path, const nlohmann::json& body, int want = 200);
  // The events of a stream, up to [DONE], which must be there.
  std::vector<nlohmann::json> Stream(const std::string& path, nlohmann::json body);

  // A socket that is connected to the server.
  int Connect();
  // Sends `bytes` on such a socket.
  int Send(const std::string& bytes);
  // Sends the POST of `body` on such a socket.
  int Ask(const std::string& path, const nlohmann::json& body);
  // What comes on a socket until it is closed, or `until` is in it.
  static std::string Read(int socket, const std::string& until = "");
  // Waits until as many texts go on; fails after 5 s.
  void WaitForRunning(int64_t count) { models_.WaitForRunning(count); }

  prometheus::Registry metrics_;
  FakeModels models_;
  std::unique_ptr<HttpTextServer> server_;
  std::thread serving_;
  absl::Status served_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_TESTING_H_
