// A request of a Connection as cpp-httplib's stream.
#ifndef RADLADS_SERVE_HTTP_REQUEST_STREAM_H_
#define RADLADS_SERVE_HTTP_REQUEST_STREAM_H_

#include <httplib.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "serve/http/connection.h"

namespace radlads {

// Reads the first `size` bytes that `connection` received, and then no more; `all_read` is called once that is so, and
// may forget them. A write that takes longer than `write` for 64 KiB fails.
class RequestStream : public httplib::Stream {
 public:
  RequestStream(Connection& connection, size_t size, std::chrono::milliseconds write, std::function<void()> all_read)
      : connection_(connection),
        request_(std::string_view(connection.received).substr(0, size)),
        write_(write),
        all_read_(std::move(all_read)) {}

  bool is_readable() const override { return !request_.empty(); }
  bool is_writable() const override { return !connection_.ClientLeft(); }
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  // The library answers nothing on a socket that does not fit into an fd_set; it has no other use for the number.
  socket_t socket() const override { return 0; }

 private:
  Connection& connection_;
  std::string_view request_;
  const std::chrono::milliseconds write_;
  const std::function<void()> all_read_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_REQUEST_STREAM_H_
