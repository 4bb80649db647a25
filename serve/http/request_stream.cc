#include "serve/http/request_stream.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace radlads {
namespace {

void AddressOf(int (*name)(int, sockaddr*, socklen_t*), int socket, std::string& ip, int& port) {
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

}  // namespace

ssize_t RequestStream::read(char* to, size_t size) {
  size = std::min(size, request_.size());
  std::memcpy(to, request_.data(), size);
  request_.remove_prefix(size);
  if (size > 0 && request_.empty()) {
    request_ = {};
    all_read_();
  }
  return size;
}

ssize_t RequestStream::write(const char* from, size_t size) {
  return connection_.Write({from, size}, write_) ? static_cast<ssize_t>(size) : -1;
}

void RequestStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  AddressOf(::getpeername, connection_.socket(), ip, port);
}

void RequestStream::get_local_ip_and_port(std::string& ip, int& port) const {
  AddressOf(::getsockname, connection_.socket(), ip, port);
}

}  // namespace radlads
