// Ports that servers listen on: their addresses in words, and taking one before the server is there.
#ifndef RADLADS_BASE_BOUND_PORT_H_
#define RADLADS_BASE_BOUND_PORT_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace radlads {

struct ListenAddress {
  std::string host;  // a name or a number, without brackets
  int port = 0;      // 0: any that is free
};

// "HOST:PORT", "[::1]:PORT". INVALID_ARGUMENT names the flag it was given with.
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view flag, std::string_view text);

// A TCP port that nobody else can listen on and nobody is let in at yet. Movable.
class BoundPort {
 public:
  // FAILED_PRECONDITION says why the address cannot be had: another server has the port, the host is not this machine's
  // or is not known, or what the system says.
  static absl::StatusOr<BoundPort> Take(const ListenAddress& address);
  ~BoundPort();
  BoundPort(BoundPort&& other) noexcept;
  BoundPort& operator=(BoundPort&& other) noexcept;

  int port() const { return port_; }
  // The socket, bound and not listening, which is the caller's from now on. Once.
  int Release();

 private:
  BoundPort(int socket, int port) : socket_(socket), port_(port) {}

  int socket_;
  int port_;
};

// The same of `listen`, HOST:PORT, for gRPC, which can have the port while it is kept here. None for unix:PATH.
absl::StatusOr<std::optional<BoundPort>> TakeGrpcPort(std::string_view flag, const std::string& listen);

}  // namespace radlads

#endif  // RADLADS_BASE_BOUND_PORT_H_
