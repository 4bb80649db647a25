// Clients that send messages and never end them: what all of them together may hold is bounded.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/memory.h"
#include "serve/grpc/testing.h"

namespace radlads {
namespace {

constexpr int64_t kMessage = 16 << 20, kLimit = 4 * kMessage;
constexpr int kClients = 8, kCalls = 8;  // of each: 1 GiB in all

// HTTP/2 (RFC 9113) as far as a client needs that sends the bodies of calls up to their last byte, as fast as the
// server lets it.
class FloodingClient {
 public:
  explicit FloodingClient(int port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    alive_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    EXPECT_TRUE(alive_);
    ::fcntl(socket_, F_SETFL, O_NONBLOCK);
    out_ = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    AddFrame(kSettings, 0, 0, "");
    for (int i = 0; i < kCalls; ++i) Begin(2 * i + 1);
  }
  ~FloodingClient() { ::close(socket_); }

  // Sends until everything is sent, the server refuses more, or nothing happens any more.
  void Run() {
    for (;;) {
      AddData();
      pollfd event{.fd = socket_, .events = static_cast<int16_t>(POLLIN | (out_.empty() ? 0 : POLLOUT))};
      if (!alive_ || ::poll(&event, 1, /*ms=*/2000) <= 0) return;
      if (event.revents & POLLIN) Receive();
      if (event.revents & (POLLERR | POLLHUP)) alive_ = false;
      if (event.revents & POLLOUT) Send();
    }
  }
  int64_t sent() const {
    int64_t sum = 0;
    for (const auto& [stream, call] : calls_) sum += call.sent;
    return sum;
  }
  // Of this, what the server has not given up.
  int64_t held() const {
    int64_t sum = 0;
    for (const auto& [stream, call] : calls_) sum += call.refused || !alive_ ? 0 : call.sent;
    return sum;
  }

 private:
  enum Type : uint8_t { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kGoAway = 7, kWindow = 8 };
  struct Call {
    int64_t window = 0, left = kMessage + 4;  // of the length before the message and the message, but for one byte
    int64_t sent = 0;
    bool refused = false;
  };

  static std::string Number(int64_t value, int bytes) {
    std::string text;
    while (bytes-- > 0) text += static_cast<char>(value >> 8 * bytes);
    return text;
  }
  static int64_t Number(std::string_view text) {
    int64_t value = 0;
    for (const char c : text) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  void AddFrame(Type type, uint8_t flags, int stream, std::string_view payload) {
    out_ += Number(static_cast<int64_t>(payload.size()), 3) + static_cast<char>(type) + static_cast<char>(flags) +
            Number(stream, 4);
    out_ += payload;
  }

  void Begin(int stream) {
    std::string block;  // HPACK (RFC 7541): literals that are not indexed
    const auto add = [&](std::string_view name, std::string_view value) {
      block += '\0';
      block += static_cast<char>(name.size());
      block += name;
      block += static_cast<char>(value.size());
      block += value;
    };
    add(":method", "POST");
    add(":scheme", "http");
    add(":path", "/radlads.serve.v1.TextService/CreateSession");
    add(":authority", "127.0.0.1");
    add("content-type", "application/grpc");
    add("te", "trailers");
    AddFrame(kHeaders, /*END_HEADERS*/ 4, stream, block);
    calls_[stream] = {};
  }

  void AddData() {
    static const std::string kNothing(16384, '\0');
    for (auto& [stream, call] : calls_) {
      while (out_.size() < 1 << 17 && !call.refused) {
        const int64_t size = std::min({call.left, window_, call.window + initial_, int64_t{16384}});
        if (size < 5) break;
        std::string payload = kNothing.substr(0, size);
        if (call.left == kMessage + 4) payload.replace(0, 5, Number(0, 1) + Number(kMessage, 4));
        AddFrame(kData, 0, stream, payload);
        call.left -= size;
        call.sent += size;
        call.window -= size;
        window_ -= size;
      }
    }
  }

  void Send() {
    const ssize_t size = ::send(socket_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (size > 0) out_.erase(0, size);
    if (size < 0 && errno != EAGAIN) alive_ = false;
  }

  void Receive() {
    char buffer[1 << 16];
    const ssize_t size = ::recv(socket_, buffer, sizeof(buffer), 0);
    if (size <= 0) alive_ = size < 0 && errno == EAGAIN;
    if (size > 0) in_.append(buffer, size);
    while (in_.size() >= 9) {
      const int64_t length = Number(std::string_view(in_).substr(0, 3));
      if (static_cast<int64_t>(in_.size()) < 9 + length) return;
      Take(static_cast<Type>(in_[3]), in_[4], static_cast<int>(Number(std::string_view(in_).substr(5, 4))),
           std::string_view(in_).substr(9, length));
      in_.erase(0, 9 + length);
    }
  }

  void Take(Type type, uint8_t flags, int stream, std::string_view payload) {
    if (type == kSettings && flags == 0) {
      for (; payload.size() >= 6; payload.remove_prefix(6)) {
        if (Number(payload.substr(0, 2)) == /*SETTINGS_INITIAL_WINDOW_SIZE*/ 4) initial_ = Number(payload.substr(2, 4));
      }
      AddFrame(kSettings, /*ACK*/ 1, 0, "");
    } else if (type == kPing && flags == 0) {
      AddFrame(kPing, /*ACK*/ 1, 0, payload);
    } else if (type == kWindow) {
      (stream == 0 ? window_ : calls_[stream].window) += Number(payload);
    } else if (type == kGoAway) {
      alive_ = false;
    } else if (type == kReset || (type == kHeaders && (flags & /*END_STREAM*/ 1))) {
      calls_[stream].refused = true;
    }
  }

  int socket_;
  bool alive_ = false;
  std::string in_, out_;
  int64_t window_ = 65535, initial_ = 65535;  // what may be sent on all calls; on each, at its beginning
  std::map<int, Call> calls_;                 // by stream
};

class FloodTest : public GrpcTextServerTest {
 protected:
  FloodTest() : GrpcTextServerTest({.max_message = kMessage}) {}
};

TEST_F(FloodTest, MessagesThatNeverEndAreBounded) {
  ASSERT_EQ(Exchange({Begin(1)}).at(1).text, "Hi!");
  const int64_t before = MemoryInUse();
  std::atomic<bool> over = false;
  int64_t most = 0;
  std::thread looking([&] {
    for (; !over; std::this_thread::sleep_for(std::chrono::milliseconds(2))) most = std::max(most, MemoryInUse());
  });
  {
    std::vector<std::unique_ptr<FloodingClient>> clients;
    for (int i = 0; i < kClients; ++i) clients.push_back(std::make_unique<FloodingClient>(server_->port()));
    std::vector<std::thread> threads;
    for (auto& client : clients) threads.emplace_back([&] { client->Run(); });
    for (std::thread& thread : threads) thread.join();
    int64_t sent = 0, held = 0;
    for (const auto& client : clients) sent += client->sent(), held += client->held();
    EXPECT_GT(sent, 2 * kLimit) << "this is no flood";
    EXPECT_LE(held, kLimit) << "of " << SpellBytes(sent) << " that were sent";
    std::printf("%s sent, %s of them held at last; %s more memory at most\n", SpellBytes(sent).c_str(),
                SpellBytes(held).c_str(), SpellBytes(most - before).c_str());
    // Somebody else is served meanwhile.
    EXPECT_EQ(Exchange({Begin(1)}).at(1).text, "Hi!");
  }
  over = true;
  looking.join();
  EXPECT_LT(most - before, kClients * kCalls * kMessage / 4 * 3) << "gRPC ends calls too slowly";
  EXPECT_EQ(Exchange({Begin(1)}).at(1).text, "Hi!");
}

}  // namespace
}  // namespace radlads
