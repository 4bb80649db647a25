#include "base/bound_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "base/status.h"

namespace radlads {
namespace {

// Why an address cannot be had, in words.
std::string Reason(int error, const ListenAddress& address) {
  switch (error) {
    case EADDRINUSE:
      return Concatenate("port ", address.port, " is in use; is another server there? Choose another port");
    case EADDRNOTAVAIL:
      return address.host + " is no address of this machine";
    case EACCES:
      return Concatenate(std::strerror(error), "; ports below 1024 are not for everybody");
    default:
      return std::strerror(error);
  }
}

int PortOf(int socket) {
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  RADLADS_CHECK(::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size) == 0) << std::strerror(errno);
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view flag, std::string_view text) {
  ListenAddress address;
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon), port = colon == text.npos ? "" : text.substr(colon + 1);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  const bool number = error == std::errc() && end == port.data() + port.size();
  if (!number || address.port < 0 || address.port > 65535 || host.empty() ||
      (!brackets && host.find(':') != host.npos)) {
    return InvalidArgument(flag, " must be HOST:PORT, port 0 for any that is free, found ", text);
  }
  address.host = host;
  return address;
}

absl::StatusOr<BoundPort> BoundPort::Take(const ListenAddress& address) {
  const std::string where = Concatenate("cannot listen on ", address.host, ":", address.port, ": ");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  const int failure = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &list);
  if (failure != 0) {
    return FailedPrecondition(where, address.host, " is not known (", ::gai_strerror(failure), ")");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  int error = EADDRNOTAVAIL;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    const int socket = ::socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (socket >= 0) {
      const int yes = 1, no = 0;
      // A port is free although connections to it have just ended. (SO_REUSEPORT would let two servers share a port,
      // and neither would say so.)
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
      if (at->ai_family == AF_INET6) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
      if (::bind(socket, at->ai_addr, at->ai_addrlen) == 0) return BoundPort(socket, PortOf(socket));
    }
    error = errno;
    if (socket >= 0) ::close(socket);
  }
  return FailedPrecondition(where, Reason(error, address));
}

absl::StatusOr<std::optional<BoundPort>> TakeGrpcPort(std::string_view flag, const std::string& listen) {
  if (listen.starts_with("unix:")) return std::nullopt;
  RADLADS_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(flag, listen));
  auto port = BoundPort::Take(address);
  if (!port.ok()) return port.status();
  return std::optional<BoundPort>(*std::move(port));
}

BoundPort::BoundPort(BoundPort&& other) noexcept : socket_(std::exchange(other.socket_, -1)), port_(other.port_) {}

BoundPort& BoundPort::operator=(BoundPort&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(port_, other.port_);
  return *this;
}

BoundPort::~BoundPort() {
  if (socket_ >= 0) ::close(socket_);
}

int BoundPort::Release() {
  RADLADS_CHECK(socket_ >= 0) << "released twice";
  return std::exchange(socket_, -1);
}

}  // namespace radlads
