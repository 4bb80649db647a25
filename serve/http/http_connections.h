// cpp-httplib's server on connections that cost nothing while they wait.
//
// One thread watches all connections on which no request is whole yet, and a thread looks at a request only once all of
// it is there: half-open and slow clients, however many, hold up nobody. A reply is written at the client's pace,
// within limits. Handlers can see that their client left. (cpp-httplib 0.11 gives each connection one of a few threads,
// and looks at the socket only while it writes, when the status is already sent.)
#ifndef RADLADS_SERVE_HTTP_HTTP_CONNECTIONS_H_
#define RADLADS_SERVE_HTTP_HTTP_CONNECTIONS_H_

#include <httplib.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/bound_port.h"

namespace radlads {

struct ConnectionOptions {
  int64_t requests = 64;        // worked on at once, each by a thread; more wait
  int64_t connections = 16384;  // open at once, as far as the process may have files; then the one that has waited
                                // longest for a request makes room
  size_t max_body = 64 << 20;   // bytes, as sent; requests of more than 16 KiB that no handler has read yet may take
                                // four times that of memory together
  // Time for: the next request of a connection; a whole request, and 1 s more for each 16 KiB of it; writing 64 KiB.
  std::chrono::milliseconds idle{75'000}, request{20'000}, write{10'000};
  std::string tls_certificate, tls_key;  // PEM files, the certificate with its chain; none: plain HTTP
};

// A request that no handler saw, because its bytes are no request, are too many, or did not come in time.
struct RefusedRequest {
  std::string client;          // its address
  std::string method, target;  // as far as they could be read
  int status = 0;
  double seconds = 0;  // since its first byte
  std::string message;
};

// Set handlers, Bind, Serve. Errors that it finds by itself are {"error": ...} (http_error.h): 400, 408, 413, 414, 415,
// 431, 501, 503, 505.
class HttpConnections : public httplib::Server {
 public:
  explicit HttpConnections(const ConnectionOptions& options);
  ~HttpConnections() override;

  // Listens on the port; who connects waits until Serve. FAILED_PRECONDITION when somebody else listens there;
  // INVALID_ARGUMENT for a certificate or key that cannot be used.
  absl::Status Bind(BoundPort port);
  // Serves until stop(), which then takes no new connections; returns when the requests that are there are answered.
  absl::Status Serve();

  // On the thread of a handler: the client of its request has closed the connection, or its half of it. A client that
  // waits for a reply keeps both halves open, as common ones do.
  static bool ClientLeft();
  // On the thread of a handler: whether the body is compressed (UseBody decompresses it) until it is read, the bytes of
  // the request as it was sent, the client's address, and since when the request is there as a whole.
  static bool IsCompressed();
  static size_t RequestBytes();
  static std::string Client();
  static std::chrono::steady_clock::time_point WholeSince();

  // What is told of each refused request, on a thread that others wait for. To be set before Serve.
  void set_refusal_logger(std::function<void(const RefusedRequest&)> logger);

  int64_t open() const;  // connections

 private:
  class Impl;

  // The same for cpp-httplib 0.11 and 0.18, where this differs.
  template <typename Self>
  static bool Process(Self& server, httplib::Stream& stream, bool close, bool& closed);
  bool process_and_close_socket(socket_t socket) override;

  std::unique_ptr<Impl> impl_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_HTTP_CONNECTIONS_H_
