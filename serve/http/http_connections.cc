#include "serve/http/http_connections.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "base/logging.h"
#include "base/status.h"
#include "serve/http/connection.h"
#include "serve/http/http_error.h"
#include "serve/http/request_stream.h"
#include "serve/transport/tls_context.h"

namespace radlads {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kOtherFiles = 256;  // that a process has open besides connections
constexpr size_t kSmall = 16 << 10;  // bytes of a request that there is always room for
constexpr auto kLinger = std::chrono::seconds(5);
constexpr auto kLook = std::chrono::milliseconds(500);  // how often the time limits are looked at
constexpr uint64_t kWake = 0;                           // in place of a connection's number

thread_local Connection* handled = nullptr;

std::string AddressOf(Connection& connection) {
  std::string address;
  int port = 0;
  RequestStream(connection, 0, {}, nullptr).get_remote_ip_and_port(address, port);
  return address;
}
thread_local size_t handled_bytes = 0;

}  // namespace

class HttpConnections::Impl {
 public:
  using Process = std::function<bool(httplib::Stream& stream, bool close, bool& closed)>;

  Impl(const ConnectionOptions& options, Process process, std::function<bool()> stopping)
      : options_(options), process_(std::move(process)), stopping_(std::move(stopping)) {
    RADLADS_CHECK(epoll_ >= 0 && wake_ >= 0) << std::strerror(errno);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kWake}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  }
  ~Impl() {
    ::close(wake_);
    ::close(epoll_);
  }

  absl::Status Prepare() {
    if (!options_.tls_certificate.empty() || !options_.tls_key.empty()) {
      RADLADS_ASSIGN_OR_RETURN(tls_, TlsContext(options_.tls_certificate, options_.tls_key));
    }
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    const rlim_t wanted = options_.connections + kOtherFiles;
    if (files.rlim_cur < wanted) {
      files.rlim_cur = std::min(wanted, files.rlim_max);
      ::setrlimit(RLIMIT_NOFILE, &files);
      ::getrlimit(RLIMIT_NOFILE, &files);
    }
    if (files.rlim_cur < wanted) {
      options_.connections = std::max<int64_t>(1, static_cast<int64_t>(files.rlim_cur) - kOtherFiles);
      Log().warn("at most {} connections, for the process may have only {} files open (ulimit -n)",
                 options_.connections, files.rlim_cur);
    }
    return absl::OkStatus();
  }

  void set_refusal_logger(std::function<void(const RefusedRequest&)> logger) { log_refusal_ = std::move(logger); }

  void Start() {
    watcher_ = std::thread([this] { Watch(); });
  }
  // Returns when all that is there is answered.
  void Stop() {
    Wake();
    watcher_.join();
    {
      const std::lock_guard lock(mutex_);
      no_more_ = true;
    }
    turn_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void Accept(int socket) {
    ++open_;
    Park(std::make_unique<Connection>(socket, tls_.get(), options_.max_body));
  }
  int64_t open() const { return open_; }

 private:
  using Owned = std::unique_ptr<Connection>;

  void Wake() {
    const uint64_t one = 1;
    RADLADS_CHECK(::write(wake_, &one, sizeof(one)) == sizeof(one)) << std::strerror(errno);
  }
  // From any thread: gives a connection to the watcher.
  void Park(Owned connection) {
    connection->since = Clock::now();
    {
      const std::lock_guard lock(mutex_);
      parked_.push_back(std::move(connection));
    }
    Wake();
  }
  void Close(Owned connection) {
    buffered_ -= connection->counted;
    --open_;
  }
  // To be called where `received` has changed.
  void Count(Connection& connection) {
    const auto now = static_cast<int64_t>(connection.received.capacity());
    buffered_ += now - std::exchange(connection.counted, now);
  }

  // The watcher's thread.
  void Watch() {
    std::vector<epoll_event> events(256);
    auto last_look = Clock::now();
    while (!stopping_()) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kLook.count());
      for (int i = 0; i < count; ++i) {
        const auto found = waiting_.find(events[i].data.u64);
        if (found != waiting_.end()) {
          Owned connection = std::move(found->second);
          waiting_.erase(found);
          ::epoll_ctl(epoll_, EPOLL_CTL_DEL, connection->socket(), nullptr);
          Advance(std::move(connection));
        }
      }
      for (Owned& connection : TakeParked()) {
        if (open_ > options_.connections && !waiting_.empty()) Drop(waiting_.begin());
        Advance(std::move(connection));
      }
      if (Clock::now() - last_look >= kLook) {
        last_look = Clock::now();
        CloseLate();
      }
    }
    // Requests that came whole just now are answered too.
    for (Owned& connection : TakeParked()) Advance(std::move(connection));
    for (auto& [number, connection] : std::exchange(waiting_, {})) Advance(std::move(connection));
    while (!waiting_.empty()) Drop(waiting_.begin());
  }
  std::vector<Owned> TakeParked() {
    uint64_t count;
    while (::read(wake_, &count, sizeof(count)) > 0) {
    }
    const std::lock_guard lock(mutex_);
    return std::exchange(parked_, {});
  }
  void Drop(std::map<uint64_t, Owned>::iterator at) {
    Close(std::move(at->second));
    waiting_.erase(at);
  }

  // Takes what is there, and gives the connection to where it belongs then.
  void Advance(Owned connection) {
    while (true) {
      const size_t before = connection->received.size();
      Connection::Received got;
      try {
        got = connection->Receive();
      } catch (const std::bad_alloc&) {
        return Refuse(std::move(connection), 503, "the server has no memory for this request now; try again");
      }
      const size_t after = connection->received.size();
      Count(*connection);
      if (before == 0 && after > 0) connection->since = Clock::now();
      if (!connection->finished && after > 0) {
        const RequestFrame::State state = connection->frame.Scan(connection->received);
        if (state == RequestFrame::State::kWhole) return Dispatch(std::move(connection));
        if (state == RequestFrame::State::kTooLarge) {
          return Refuse(std::move(connection), 413,
                        Concatenate("the body is larger than ", options_.max_body, " bytes"));
        }
        if (state == RequestFrame::State::kBad) {
          return Refuse(std::move(connection), connection->frame.error_status(), connection->frame.error());
        }
        if (after > kSmall && buffered_ > 4 * static_cast<int64_t>(options_.max_body)) {
          return Refuse(std::move(connection), 503, "too many requests are on their way at once; try again");
        }
        if (connection->frame.has_head() && connection->frame.expects_continue() && !connection->continued) {
          connection->continued = true;
          connection->Write("HTTP/1.1 100 Continue\r\n\r\n", std::chrono::milliseconds(0));
        }
      }
      if (got.wait == Connection::Wait::kNothing) return Close(std::move(connection));
      if (!got.wants_more) return Await(std::move(connection), got.wait);
    }
  }
  void Await(Owned connection, Connection::Wait wait) {
    const uint64_t number = ++last_number_;
    epoll_event event{.events = wait == Connection::Wait::kWrite ? EPOLLOUT : EPOLLIN, .data = {.u64 = number}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->socket(), &event);
    waiting_.emplace_hint(waiting_.end(), number, std::move(connection));
  }
  // Without a thread of its own.
  void Refuse(Owned connection, int status, const std::string& message) {
    if (log_refusal_) {
      log_refusal_({.client = AddressOf(*connection),
                    .method = connection->frame.method(),
                    .target = connection->frame.target(),
                    .status = status,
                    .seconds = std::chrono::duration<double>(Clock::now() - connection->since).count(),
                    .message = message});
    }
    const std::string body = ErrorReply(status, message);
    connection->Write(Concatenate("HTTP/1.1 ", status, " \r\nContent-Type: ", kJsonType,
                                  "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n", body),
                      std::chrono::milliseconds(0));
    connection->Finish();
    Count(*connection);
    connection->since = Clock::now();
    Await(std::move(connection), Connection::Wait::kRead);
  }
  void CloseLate() {
    const auto now = Clock::now();
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      const auto here = at++;
      Connection& connection = *here->second;
      const size_t size = connection.received.size();
      const Clock::duration limit = connection.finished ? Clock::duration(kLinger)
                                    : size > 0          ? options_.request + std::chrono::seconds(size >> 14)
                                    : connection.served ? options_.idle
                                                        : options_.request;
      if (now - connection.since < limit) continue;
      if (size == 0) {
        Drop(here);
        continue;
      }
      Owned late = std::move(here->second);
      waiting_.erase(here);
      ::epoll_ctl(epoll_, EPOLL_CTL_DEL, late->socket(), nullptr);
      Refuse(std::move(late), 408, "the rest of the request did not come in time");
    }
  }

  void Dispatch(Owned connection) {
    connection->since = Clock::now();
    const std::lock_guard lock(mutex_);
    ready_.push_back(std::move(connection));
    if (idle_ < ready_.size() && workers_.size() < static_cast<size_t>(options_.requests)) {
      workers_.emplace_back([this] { Work(); });
    }
    turn_.notify_one();
  }

  // A worker's thread.
  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      ++idle_;
      turn_.wait(lock, [this] { return !ready_.empty() || no_more_; });
      --idle_;
      if (ready_.empty()) return;
      Owned connection = std::move(ready_.front());
      ready_.pop_front();
      lock.unlock();
      Answer(std::move(connection));
      lock.lock();
    }
  }
  void Answer(Owned connection) {
    const size_t size = connection->frame.size();
    // As soon as a handler has read it all: a stream that goes on for long does not keep its request.
    bool forgotten = false;
    const auto forget = [&] {
      if (std::exchange(forgotten, true)) return;
      connection->Forget(size, options_.max_body);
      Count(*connection);
    };
    RequestStream stream(*connection, size, options_.write, forget);
    bool closed = false;
    handled = connection.get();
    handled_bytes = size;
    const bool good = process_(stream, /*close=*/stopping_(), closed);
    handled = nullptr;
    if (!good || closed || stopping_()) return Close(std::move(connection));
    forget();
    connection->served = true;
    Park(std::move(connection));
  }

  ConnectionOptions options_;
  const Process process_;
  const std::function<bool()> stopping_;
  std::function<void(const RefusedRequest&)> log_refusal_;
  std::shared_ptr<SSL_CTX> tls_;  // or null
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC), wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::atomic<int64_t> open_ = 0;
  std::atomic<int64_t> buffered_ = 0;  // memory of `received` of all

  // Of the watcher: by the order in which they began to wait.
  std::map<uint64_t, Owned> waiting_;
  uint64_t last_number_ = kWake;

  std::mutex mutex_;
  std::condition_variable turn_;
  std::vector<Owned> parked_;
  std::deque<Owned> ready_;
  size_t idle_ = 0;
  bool no_more_ = false;
  std::thread watcher_;
  std::vector<std::thread> workers_;
};

template <typename Self>
bool HttpConnections::Process(Self& server, httplib::Stream& stream, bool close, bool& closed) {
  // Both were seen to: the body was asked for, and UseBody decompresses it.
  const auto setup = [](httplib::Request& request) {
    request.headers.erase("Expect");
    request.headers.erase("Content-Encoding");
  };
  if constexpr (requires { server.process_request(stream, close, closed, setup); }) {
    return server.process_request(stream, close, closed, setup);
  } else {
    std::string client, here;
    int client_port = 0, port = 0;
    stream.get_remote_ip_and_port(client, client_port);
    stream.get_local_ip_and_port(here, port);
    return server.process_request(stream, client, client_port, here, port, close, closed, setup);
  }
}

HttpConnections::HttpConnections(const ConnectionOptions& options)
    : impl_(std::make_unique<Impl>(
          options,
          [this](httplib::Stream& stream, bool close, bool& closed) { return Process(*this, stream, close, closed); },
          [this] { return svr_sock_ == INVALID_SOCKET; })) {
  // The library takes connections on one thread, which gives them away at once.
  class AtOnce : public httplib::TaskQueue {
   public:
    explicit AtOnce(Impl& impl) : impl_(impl) { impl_.Start(); }
    // Nothing is returned by cpp-httplib 0.11, true by 0.18.
    using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue(nullptr));
    Taken enqueue(std::function<void()> take) override {
      take();
      return Taken(true);
    }
    void shutdown() override { impl_.Stop(); }

   private:
    Impl& impl_;
  };
  new_task_queue = [this] { return new AtOnce(*impl_); };
  set_payload_max_length(options.max_body);
  set_keep_alive_max_count(1 << 30);
  set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(options.idle).count());
}
HttpConnections::~HttpConnections() = default;

absl::Status HttpConnections::Bind(BoundPort port) {
  RADLADS_RETURN_IF_ERROR(impl_->Prepare());
  const int number = port.port(), socket = port.Release();
  svr_sock_ = socket;
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));  // of its connections too
  if (::listen(socket, 4096) == 0) return absl::OkStatus();
  return FailedPrecondition("cannot listen on port ", number, ": ", std::strerror(errno));
}

absl::Status HttpConnections::Serve() {
  if (listen_after_bind()) return absl::OkStatus();
  return absl::InternalError("the HTTP server stopped by itself");
}

bool HttpConnections::ClientLeft() {
  return handled->ClientLeft();
}

std::string HttpConnections::Client() {
  return AddressOf(*handled);
}

bool HttpConnections::IsCompressed() {
  return handled->frame.compressed();
}

std::chrono::steady_clock::time_point HttpConnections::WholeSince() {
  return handled->since;
}

void HttpConnections::set_refusal_logger(std::function<void(const RefusedRequest&)> logger) {
  impl_->set_refusal_logger(std::move(logger));
}

size_t HttpConnections::RequestBytes() {
  return handled_bytes;
}

int64_t HttpConnections::open() const {
  return impl_->open();
}

bool HttpConnections::process_and_close_socket(socket_t socket) {
  impl_->Accept(socket);
  return true;
}

}  // namespace radlads
