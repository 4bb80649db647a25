#include "serve/http/connection.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace radlads {
namespace {

constexpr size_t kPiece = 64 << 10;

}  // namespace

int PollSocket(int socket, short events, int milliseconds) {
  pollfd entry{.fd = socket, .events = events, .revents = 0};
  int count;
  do {
    count = ::poll(&entry, 1, milliseconds);
  } while (count < 0 && errno == EINTR);
  return count > 0 ? entry.revents : 0;
}

Connection::Connection(int socket, SSL_CTX* tls, size_t max_body)
    : frame(max_body), socket_(socket), ssl_(tls == nullptr ? nullptr : SSL_new(tls), &SSL_free) {
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  if (ssl_ != nullptr) {
    SSL_set_fd(ssl_.get(), socket);
    SSL_set_accept_state(ssl_.get());
  }
}

Connection::~Connection() {
  if (!finished) Finish();
  ::close(socket_);
}

// -> bytes; 0 when it has to wait first, or the connection is over.
int Connection::Transfer(bool write, char* data, size_t size, Wait* wait) {
  if (ssl_ == nullptr) {
    ssize_t count;
    do {
      count = write ? ::send(socket_, data, size, MSG_NOSIGNAL) : ::recv(socket_, data, size, 0);
    } while (count < 0 && errno == EINTR);
    if (count > 0) return static_cast<int>(count);
    const bool later = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    *wait = !later ? Wait::kNothing : write ? Wait::kWrite : Wait::kRead;
    return 0;
  }
  ERR_clear_error();
  const int bytes = static_cast<int>(std::min(size, kPiece));
  const int count = write ? SSL_write(ssl_.get(), data, bytes) : SSL_read(ssl_.get(), data, bytes);
  if (count > 0) return count;
  const int error = SSL_get_error(ssl_.get(), count);
  *wait = error == SSL_ERROR_WANT_READ ? Wait::kRead : error == SSL_ERROR_WANT_WRITE ? Wait::kWrite : Wait::kNothing;
  // After such an error a shutdown of TLS is not allowed.
  if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) SSL_set_quiet_shutdown(ssl_.get(), 1);
  return 0;
}

// Doubles the memory of `received`, as strings do, but never beyond the end of the request, where that is known.
void Connection::Append(const char* data, size_t size) {
  const size_t needed = received.size() + size, end = frame.size();
  if (needed > received.capacity() && needed <= end && end <= 2 * received.capacity()) {
    std::string whole;
    whole.reserve(end);
    whole = received;
    received.swap(whole);
  }
  received.append(data, size);
}

Connection::Received Connection::Receive() {
  char piece[kPiece];
  Received result{.wait = Wait::kRead};
  for (int turn = 0; turn < 4; ++turn) {
    int count;
    if (finished) {
      count = static_cast<int>(::recv(socket_, piece, sizeof(piece), 0));
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return {.wait = Wait::kNothing};
      if (count < 0) return result;
    } else {
      count = Transfer(/*write=*/false, piece, sizeof(piece), &result.wait);
      if (count == 0) return result;
      Append(piece, count);
    }
  }
  result.wants_more = true;
  return result;
}

bool Connection::Write(std::string_view bytes, std::chrono::milliseconds limit) {
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kPiece);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (size_t written = 0; written < piece;) {
      Wait wait = Wait::kNothing;
      // OpenSSL does not change what it writes.
      const int count = Transfer(/*write=*/true, const_cast<char*>(bytes.data()) + written, piece - written, &wait);
      written += count;
      if (count > 0) continue;
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (wait == Wait::kNothing || left.count() <= 0) return false;
      const int events = PollSocket(socket_, wait == Wait::kWrite ? POLLOUT : POLLIN, static_cast<int>(left.count()));
      if ((events & (POLLERR | POLLHUP)) != 0) return false;
    }
    bytes.remove_prefix(piece);
  }
  return true;
}

bool Connection::ClientLeft() const {
  return (PollSocket(socket_, POLLRDHUP, 0) & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

void Connection::Finish() {
  finished = true;
  if (ssl_ != nullptr && SSL_is_init_finished(ssl_.get())) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  ::shutdown(socket_, SHUT_WR);
  received = {};
}

void Connection::Forget(size_t bytes, size_t max_body) {
  received = received.substr(bytes);  // in memory of its own size
  frame = RequestFrame(max_body);
  continued = false;
}

}  // namespace radlads
