// A client's connection: a socket that does not block, with or without TLS.
#ifndef RADLADS_SERVE_HTTP_CONNECTION_H_
#define RADLADS_SERVE_HTTP_CONNECTION_H_

#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "serve/http/request_frame.h"

namespace radlads {

// One thread at a time.
class Connection {
 public:
  // Owns `socket`. `tls`: of a server, or null for plain text.
  Connection(int socket, SSL_CTX* tls, size_t max_body);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  enum class Wait { kRead, kWrite, kNothing };  // kNothing: the connection is over
  // Takes what is there, at most a few hundred KiB, and says what more waits for; `wants_more` when there is more.
  struct Received {
    Wait wait;
    bool wants_more = false;
  };
  Received Receive();
  // All of `bytes`, or false: the client left, or took less than 64 KiB within `limit`.
  bool Write(std::string_view bytes, std::chrono::milliseconds limit);
  // The client has closed the connection or its half of it.
  bool ClientLeft() const;
  // No more will be written; what still comes is dropped, so that the client reads the reply before it sees a reset.
  void Finish();

  int socket() const { return socket_; }

  std::string received;  // and not yet used
  RequestFrame frame;    // of the request that `received` begins with
  // Begins the next request, `bytes` from where `received` begins.
  void Forget(size_t bytes, size_t max_body);

  // For who waits for the connection.
  std::chrono::steady_clock::time_point since{};  // the beginning of this wait
  bool served = false;                            // a request of it was answered
  bool finished = false;                          // Finish was called
  bool continued = false;                         // 100 Continue was sent
  int64_t counted = 0;                            // of the memory of `received`, as what all connections hold

 private:
  void Append(const char* data, size_t size);
  int Transfer(bool write, char* data, size_t size, Wait* wait);

  const int socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
};

// poll(2) of one socket: its events within `milliseconds`, 0 if there are none.
int PollSocket(int socket, short events, int milliseconds);

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_CONNECTION_H_
