#include "eval/http_connections.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

namespace radlads {
namespace {

constexpr int kStopInterval = 50;  // milliseconds

thread_local socket_t handled = INVALID_SOCKET;

// Events of `socket` within `milliseconds`; 0 if there are none.
int Poll(socket_t socket, short events, int milliseconds) {
  pollfd entry{.fd = socket, .events = events, .revents = 0};
  int count;
  do {
    count = ::poll(&entry, 1, milliseconds);
  } while (count < 0 && errno == EINTR);
  return count > 0 ? entry.revents : 0;
}

void AddressOf(int (*name)(int, sockaddr*, socklen_t*), socket_t socket, std::string& ip, int& port) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (name(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  char host[NI_MAXHOST], service[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof(host), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return;
  }
  ip = host;
  port = std::atoi(service);
}

// Reading and writing wait as long as the socket's own time limits say, which the server sets.
class SocketStream : public httplib::Stream {
 public:
  explicit SocketStream(socket_t socket) : socket_(socket) {}

  bool buffered() const { return next_ < end_; }

  bool is_readable() const override { return buffered() || (Poll(socket_, POLLIN, 0) & POLLIN) != 0; }
  bool is_writable() const override {
    return (Poll(socket_, POLLOUT, 0) & POLLOUT) != 0 && !HttpConnections::ClientLeft();
  }

  ssize_t read(char* to, size_t size) override {
    if (!buffered()) {
      if (size >= buffer_.size()) return Receive(to, size);
      const ssize_t got = Receive(buffer_.data(), buffer_.size());
      if (got <= 0) return got;
      next_ = 0;
      end_ = got;
    }
    const size_t count = std::min(size, end_ - next_);
    std::memcpy(to, buffer_.data() + next_, count);
    next_ += count;
    return count;
  }
  ssize_t write(const char* from, size_t size) override {
    ssize_t sent;
    do {
      sent = ::send(socket_, from, size, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    AddressOf(::getpeername, socket_, ip, port);
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override { AddressOf(::getsockname, socket_, ip, port); }
  socket_t socket() const override { return socket_; }

 private:
  ssize_t Receive(char* to, size_t size) {
    ssize_t got;
    do {
      got = ::recv(socket_, to, size, 0);
    } while (got < 0 && errno == EINTR);
    return got;
  }

  const socket_t socket_;
  std::array<char, 16 << 10> buffer_;
  size_t next_ = 0, end_ = 0;
};

}  // namespace

bool HttpConnections::ClientLeft() {
  return (Poll(handled, POLLRDHUP, 0) & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

bool HttpConnections::process_and_close_socket(socket_t socket) {
  SocketStream stream(socket);
  const auto stopping = [&] { return svr_sock_ == INVALID_SOCKET; };
  const auto next_request = [&] {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(keep_alive_timeout_sec_);
    do {
      const bool last_look = stopping();
      if (stream.buffered() || Poll(socket, POLLIN, last_look ? 0 : kStopInterval) != 0) return true;
      if (last_look) return false;
    } while (std::chrono::steady_clock::now() < limit);
    return false;
  };
  handled = socket;
  bool good = true, closed = false;
  for (size_t left = keep_alive_max_count_; good && !closed && left > 0 && next_request(); --left) {
    good = process_request(stream, /*close_connection=*/left == 1 || stopping(), closed, /*setup_request=*/nullptr);
  }
  handled = INVALID_SOCKET;
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  return good;
}

}  // namespace radlads
