#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <limits>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/shard_files.h"
#include "data/index_service/client.h"
#include "data/index_service/index_service.grpc.pb.h"
#include "data/index_service/key_file.h"
#include "data/index_service/server.h"
#include "testing/raw_grpc_call.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;
namespace wire = index_service::v1;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kCtx = 15;
constexpr char kKey[] = "0123456789abcdef0123456789abcdef";

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

class IndexServiceTest : public ::testing::Test {
 protected:
  IndexServiceTest()
      : directory_(fs::path(::testing::TempDir() + "/service-" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name())
                       .lexically_normal()) {
    fs::remove_all(directory_);
    options_.catalog = directory_ + "/catalog";
    options_.listen = "127.0.0.1:0";
    remote_.patience_at_open = std::chrono::seconds(5);
    remote_.patience = std::chrono::seconds(20);
    Add("small", "a", 30'000, TokenType::kUint16);
    Add("small", "b", 20'011, TokenType::kUint16);
    Add("large", "c", 20'000, TokenType::kInt32, 1'000'000'000);
  }

  void Add(const std::string& dataset, const std::string& name, int64_t tokens, TokenType type, int32_t first = 0) {
    const std::string prefix = directory_ + "/" + name;
    auto writer = TokenDatasetWriter::Create(prefix, type);
    RADLADS_CHECK(writer.ok()) << writer.status();
    std::vector<int32_t> document(tokens);
    uint32_t random = 7;
    for (int32_t& token : document)
      token = first + static_cast<int32_t>((random = random * 1664525u + 1013904223u) >> 16);
    RADLADS_CHECK((*writer)->AddDocument(document).ok());
    RADLADS_CHECK((*writer)->Commit().ok());
    auto catalog = CatalogWriter::Open(options_.catalog);
    RADLADS_CHECK(catalog.ok()) << catalog.status();
    RADLADS_CHECK((*catalog)->Add(dataset, *DescribeShard(prefix)).ok());
  }

  std::unique_ptr<IndexServer> Serve() {
    auto server = IndexServer::Start(options_);
    RADLADS_CHECK(server.ok()) << server.status();
    return *std::move(server);
  }
  static std::string Url(int port, const std::string& dataset) {
    return Concatenate("grpc://127.0.0.1:", port, "/", dataset);
  }
  std::shared_ptr<const SampleSource> Remote(int port, const std::string& dataset,
                                             SampleOrder order = SampleOrder::kMagicPrime) {
    auto source = OpenRemoteSource(Url(port, dataset), {.ctx = kCtx, .order = order}, remote_);
    RADLADS_CHECK(source.ok()) << source.status();
    return *source;
  }
  std::shared_ptr<const SampleSource> Local(const std::string& dataset, SampleOrder order = SampleOrder::kMagicPrime) {
    auto catalog = Catalog::Read(options_.catalog);
    auto sequence = TokenSequence::OpenCataloged(*catalog, dataset);
    RADLADS_CHECK(sequence.ok()) << sequence.status();
    return *CreateLocalSource(*sequence, {.ctx = kCtx, .order = order});
  }

  static absl::StatusOr<std::vector<int32_t>> Read(const SampleSource& source, const std::vector<int64_t>& samples) {
    std::vector<int32_t> tokens(samples.size() * (kCtx + 1));
    std::vector<SampleRow> rows;
    for (size_t i = 0; i < samples.size(); ++i) rows.push_back({samples[i], tokens.data() + i * (kCtx + 1)});
    RADLADS_RETURN_IF_ERROR(source.Read(rows));
    return tokens;
  }
  static std::vector<int64_t> Range(int64_t first, int64_t count, int64_t stride = 1) {
    std::vector<int64_t> samples;
    for (int64_t i = 0; i < count; ++i) samples.push_back(first + i * stride);
    return samples;
  }
  static void ExpectEqual(const SampleSource& remote, const SampleSource& local, const std::vector<int64_t>& samples) {
    const auto found = Read(remote, samples);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(*found, *Read(local, samples)) << "from sample " << samples[0];
  }

  std::string directory_;
  IndexServerOptions options_;
  RemoteOptions remote_;
};

TEST_F(IndexServiceTest, EqualsLocalSampling) {
  const auto server = Serve();
  for (const char* dataset : {"small", "large"}) {
    for (const SampleOrder order : {SampleOrder::kMagicPrime, SampleOrder::kInOrder}) {
      const auto remote = Remote(server->port(), dataset, order), local = Local(dataset, order);
      EXPECT_EQ(remote->sampler().samples_per_pass(), local->sampler().samples_per_pass());
      EXPECT_EQ(remote->description().fingerprint, local->description().fingerprint);
      const int64_t all = local->sampler().samples_per_pass();
      ExpectEqual(*remote, *local, Range(0, all));
      for (int64_t first = 0; first + 13 <= all; first += 13) ExpectEqual(*remote, *local, Range(first, 13));
    }
  }
}

TEST_F(IndexServiceTest, AnyOrderOfSamplesIsRight) {
  const auto server = Serve();
  const auto remote = Remote(server->port(), "small"), local = Local("small");
  for (int64_t step = 0; step < 20; ++step) ExpectEqual(*remote, *local, Range(3 + step * 8 * 5, 5, 8));  // a rank of 8
  ExpectEqual(*remote, *local, {5, 4, 3, 3, 1000, 0, 7, 9, 12});
  int64_t sample = 0;
  for (int64_t i = 0; i < 300; ++i) {  // a rank's part of one dataset of a mixture
    ExpectEqual(*remote, *local, {sample, sample + 1 + i % 2});
    sample += 3 + i % 3;
  }
  ExpectEqual(*remote, *local, {(int64_t{1} << 62) - 1, 0});
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 5; ++i) ExpectEqual(*remote, *local, Range(100 * t + 20 * i, 20));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(IndexServiceTest, ARestartedServerLosesAndRepeatsNothing) {
  auto server = Serve();
  options_.listen = Concatenate("127.0.0.1:", server->port());  // again and again
  options_.metrics_listen = "127.0.0.1:0";
  remote_.read_ahead_bytes = 1;  // so that little is here already when the server goes
  const auto remote = Remote(server->port(), "small"), local = Local("small");
  int64_t next = 0;
  const auto read = [&](int64_t samples) {
    for (const int64_t end = next + samples; next < end; next += 1'000) {
      ExpectEqual(*remote, *local, Range(next, 1'000));
    }
  };
  for (int round = 0; round < 3; ++round) {
    read(70'000);
    server.reset();
    std::thread restart([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(400));
      server = Serve();
    });
    read(600'000);  // more than the buffers of the connection hold
    restart.join();
    const auto metrics = httplib::Client("127.0.0.1", server->metrics_port()).Get("/metrics");
    ASSERT_TRUE(metrics);
    EXPECT_THAT(metrics->body, Not(HasSubstr("radlads_index_samples_total 0\n"))) << "the new server was not asked";
  }
}

// Passes bytes on to a server, and cuts every connection after so many of them.
class CuttingProxy {
 public:
  CuttingProxy(int server_port, int64_t bytes) : server_port_(server_port), bytes_(bytes) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    RADLADS_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    RADLADS_CHECK(::listen(listener_, 8) == 0);
    socklen_t size = sizeof(address);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~CuttingProxy() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  int port() const { return port_; }
  int cuts() const { return cuts_; }

 private:
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }
  void Accept() {
    while (true) {
      const int client = ::accept(listener_, nullptr, nullptr);
      if (client < 0) return;
      const int server = ::socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in address = Loopback(server_port_);
      ::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof(address));
      std::thread up([&] {
        Pump(client, server, std::numeric_limits<int64_t>::max());
        ::shutdown(server, SHUT_RDWR);
      });
      Pump(server, client, bytes_);
      ++cuts_;
      ::shutdown(client, SHUT_RDWR);
      ::shutdown(server, SHUT_RDWR);
      up.join();
      ::close(client);
      ::close(server);
    }
  }
  static void Pump(int from, int to, int64_t bytes) {
    char buffer[4096];
    while (bytes > 0) {
      const ssize_t n = ::recv(from, buffer, sizeof(buffer), 0);
      if (n <= 0 || ::send(to, buffer, n, MSG_NOSIGNAL) != n) return;
      bytes -= n;
    }
  }
  const int server_port_;
  const int64_t bytes_;
  int listener_, port_ = 0;
  std::atomic<int> cuts_{0};
  std::thread thread_;
};

TEST_F(IndexServiceTest, BrokenConnectionsLoseAndRepeatNothing) {
  const auto server = Serve();
  CuttingProxy proxy(server->port(), 2'500'000);
  {
    const auto remote = Remote(proxy.port(), "small"), local = Local("small");
    for (int64_t first = 0; first < 300'000; first += 1'000) ExpectEqual(*remote, *local, Range(first, 1'000));
  }
  EXPECT_GE(proxy.cuts(), 3);
}

TEST_F(IndexServiceTest, GivesUpWhenTheServerStaysAway) {
  auto server = Serve();
  remote_.patience = std::chrono::milliseconds(300);
  const auto remote = Remote(server->port(), "small");
  ASSERT_TRUE(Read(*remote, Range(0, 10)).ok());
  const int port = server->port();
  server.reset();
  // What was read ahead still comes.
  absl::Status status;
  for (int64_t first = 10; status.ok() && first < 10'000'000; first += 100'000) {
    status = Read(*remote, Range(first, 100'000)).status();
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr(Url(port, "small")), HasSubstr("has been away")));
  remote_.patience_at_open = std::chrono::milliseconds(300);
  const auto nobody = OpenRemoteSource(Url(port, "small"), {.ctx = kCtx}, remote_);
  EXPECT_TRUE(absl::IsUnavailable(nobody.status())) << nobody.status();
}

TEST_F(IndexServiceTest, AKeyIsAskedFor) {
  options_.api_key = kKey;
  const auto server = Serve();
  auto open = [&](const std::string& key) {
    remote_.api_key = key;
    return OpenRemoteSource(Url(server->port(), "small"), {.ctx = kCtx}, remote_).status();
  };
  EXPECT_TRUE(open(kKey).ok());
  EXPECT_THAT(Message(open("")), HasSubstr("asks for a key"));
  for (const std::string& wrong : {std::string("wrong"), std::string(kKey) + "0", std::string(kKey).substr(1)}) {
    EXPECT_TRUE(absl::IsUnauthenticated(open(wrong))) << wrong;
    EXPECT_THAT(Message(open(wrong)), HasSubstr("is not this index service's"));
  }
  remote_.api_key = kKey;
  const auto remote = Remote(server->port(), "small");
  ExpectEqual(*remote, *Local("small"), Range(0, 100));
}

TEST_F(IndexServiceTest, BeyondLoopbackAKeyIsRequired) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "192.168.1.1:0", "example.com:0", "127.evil.com:0", ":0", ""}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
    options_.listen = address;
    const absl::Status status = IndexServer::Start(options_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << address << " " << status;
    EXPECT_THAT(Message(status), HasSubstr("--key_file"));
  }
  for (const char* address : {"127.0.0.1:7070", "127.1.2.3:1", "localhost:7070", "[::1]:7070", "unix:/tmp/x"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  options_.listen = "0.0.0.0:0";
  options_.api_key = kKey;
  remote_.api_key = kKey;
  const auto server = Serve();
  ExpectEqual(*Remote(server->port(), "small"), *Local("small"), Range(0, 100));
}

TEST_F(IndexServiceTest, KeysComeFromTheFirstLineOfAFile) {
  const std::string path = directory_ + "/key";
  ASSERT_TRUE(WriteFileAtomically(path, std::string("  ") + kKey + "\r\nsecond line\n").ok());
  EXPECT_EQ(ReadKeyFile(path).value(), kKey);
  for (const char* bad : {"", "\n", "short\n"}) {
    ASSERT_TRUE(WriteFileAtomically(path, bad).ok());
    EXPECT_THAT(Message(ReadKeyFile(path).status()), HasSubstr(path));
  }
  EXPECT_TRUE(absl::IsNotFound(ReadKeyFile(path + "-nothing").status()));
}

TEST_F(IndexServiceTest, WhatIsNotThereIsNamed) {
  const auto server = Serve();
  const grpc::Status none =
      RawGrpcCall(Concatenate("127.0.0.1:", server->port()), "/radlads.index_service.v1.IndexService/List", "\xff")
          .status;
  EXPECT_EQ(none.error_code(), grpc::INVALID_ARGUMENT) << none.error_message();
  auto open = [&](const std::string& url) { return OpenRemoteSource(url, {.ctx = kCtx}, remote_).status(); };
  EXPECT_TRUE(absl::IsNotFound(open(Url(server->port(), "smal"))));
  EXPECT_THAT(Message(open(Url(server->port(), "smal"))), HasSubstr("did you mean small?"));
  for (const char* url : {"grpc://", "grpc://host", "grpc://host:1", "grpc://host:1/", "grpc:///x", "http://h:1/x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(open(url))) << url;
  }
  const auto too_long = OpenRemoteSource(Url(server->port(), "small"), {.ctx = 30'000}, remote_);
  EXPECT_THAT(Message(too_long.status()), HasSubstr("too few for a context of 30000"));
  options_.catalog = directory_;
  EXPECT_TRUE(absl::IsNotFound(IndexServer::Start(options_).status()));
  options_.catalog = directory_ + "/catalog";
  options_.listen = Concatenate("127.0.0.1:", server->port());
  EXPECT_THAT(Message(IndexServer::Start(options_).status()), HasSubstr("cannot listen on " + options_.listen));
}

TEST_F(IndexServiceTest, ADatasetThatChangedIsNotContinued) {
  auto server = Serve();
  options_.listen = Concatenate("127.0.0.1:", server->port());
  const auto remote = Remote(server->port(), "small");
  ASSERT_TRUE(Read(*remote, Range(0, 10)).ok());
  Add("small", "more", 1000, TokenType::kUint16);
  server.reset();
  server = Serve();
  absl::Status status;
  for (int64_t first = 10; status.ok() && first < 20'000'000; first += 100'000) {
    status = Read(*remote, Range(first, 100'000)).status();
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("its contents were changed"));
  // A new dataset is there without a restart.
  Add("new", "new", 1000, TokenType::kUint16);
  EXPECT_TRUE(Read(*Remote(server->port(), "new"), Range(0, 10)).ok());
  fs::remove(directory_ + "/new.bin");
  const auto gone = OpenRemoteSource(Url(server->port(), "new"), {.ctx = kCtx}, remote_);
  EXPECT_TRUE(absl::IsDataLoss(gone.status())) << gone.status();
}

TEST_F(IndexServiceTest, HostileRequestsAreRefused) {
  const auto server = Serve();
  const auto stub = wire::IndexService::NewStub(
      grpc::CreateChannel(Concatenate("127.0.0.1:", server->port()), grpc::InsecureChannelCredentials()));
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min(), kHigh = std::numeric_limits<int64_t>::max();
  struct Numbers {
    int64_t ctx, first, stride, count, prime;
    bool in_order;
  };
  for (const Numbers& n : std::vector<Numbers>{{0, 0, 1, 1, 0, false},
                                               {-1, 0, 1, 1, 0, false},
                                               {kHigh, 0, 1, 1, 0, false},
                                               {kLow, 0, 1, 1, 0, true},
                                               {20'000, 0, 1, 1, 0, false},
                                               {15, -1, 1, 1, 0, false},
                                               {15, kLow, 1, 1, 0, false},
                                               {15, kHigh, 1, 1, 0, false},
                                               {15, 0, 0, 1, 0, false},
                                               {15, 0, -1, 5, 0, false},
                                               {15, 0, kHigh, kHigh, 0, false},
                                               {15, 0, 1, 0, 0, false},
                                               {15, 0, 1, -7, 0, false},
                                               {15, 1, 1, kHigh, 0, false},
                                               {15, kHigh, kHigh, kHigh, 0, true},
                                               {15, 0, 1, 4000, 0, true},
                                               {15, 3125, 1, 1, 0, true},
                                               {15, 0, 1, 1, 7, false},
                                               {15, 0, 1, 1, kHigh, false}}) {
    wire::SampleRequest request;
    request.set_dataset("small");
    request.set_ctx_len(n.ctx);
    request.set_first_sample(n.first);
    request.set_stride(n.stride);
    request.set_count(n.count);
    request.set_magic_prime(n.prime);
    request.set_order(n.in_order ? wire::IN_ORDER : wire::MAGIC_PRIME);
    grpc::ClientContext context;
    const auto reader = stub->Sample(&context, request);
    wire::SampleBatch batch;
    EXPECT_FALSE(reader->Read(&batch)) << request.ShortDebugString();
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.error_code() == grpc::INVALID_ARGUMENT || status.error_code() == grpc::OUT_OF_RANGE)
        << request.ShortDebugString() << ": " << status.error_code() << " " << status.error_message();
  }
  for (const std::string& name : {std::string(), std::string("../small"), std::string(1 << 20, 'x')}) {
    grpc::ClientContext context;
    wire::DescribeRequest request;
    request.set_dataset(name);
    wire::Dataset response;
    EXPECT_EQ(stub->Describe(&context, request, &response).error_code(), grpc::NOT_FOUND);
  }
  ExpectEqual(*Remote(server->port(), "small"), *Local("small"), Range(0, 100));  // it still serves
  grpc::ClientContext context;
  wire::ListResponse list;
  ASSERT_TRUE(stub->List(&context, {}, &list).ok());
  ASSERT_EQ(list.datasets_size(), 2);
  EXPECT_EQ(list.datasets(1).name(), "small");
  EXPECT_EQ(list.datasets(1).tokens(), 50'011);
  EXPECT_EQ(list.datasets(1).shards(), 2);
}

TEST_F(IndexServiceTest, TellsItsHealthAndMetrics) {
  options_.metrics_listen = "127.0.0.1:0";
  const auto server = Serve();
  EXPECT_TRUE(GrpcServes(Concatenate("127.0.0.1:", server->port()), ""));
  ASSERT_TRUE(Read(*Remote(server->port(), "small"), Range(0, 10)).ok());
  httplib::Client http("127.0.0.1", server->metrics_port());
  EXPECT_EQ(http.Get("/nowhere")->status, 404);
  const auto refused = http.Post("/metrics", "x", "text/plain");
  EXPECT_EQ(refused->status, 405);
  EXPECT_EQ(refused->get_header_value("Allow"), "GET, HEAD");
  const auto response = http.Get("/metrics");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_THAT(response->body, AllOf(HasSubstr("# TYPE radlads_index_samples_total counter"),
                                    HasSubstr("radlads_index_requests_total{code=\"0\",method=\"Describe\"} 1"),
                                    HasSubstr("radlads_index_streams")));
}

// The program itself: SIGTERM ends its streams and gives 0; a start that must fail gives 1.
TEST_F(IndexServiceTest, TheProgramDrainsOnSigterm) {
  const auto run = [&](const std::vector<std::string>& arguments) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> argv = {const_cast<char*>("server")};
      for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::execv("data/server", argv.data());
      ::_exit(127);
    }
    return child;
  };
  auto exit_code = [](pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  };
  EXPECT_EQ(exit_code(run({"--catalog", options_.catalog, "--listen", "0.0.0.0:0"})), 1);
  EXPECT_EQ(exit_code(run({"--catalog", directory_})), 1);

  int port = 0;
  {  // a free one
    const auto server = Serve();
    port = server->port();
  }
  const pid_t child = run({"--catalog", options_.catalog, "--listen", Concatenate("127.0.0.1:", port)});
  const auto remote = Remote(port, "small");
  ASSERT_TRUE(Read(*remote, Range(0, 10)).ok());  // its stream stays open
  ::kill(child, SIGTERM);
  EXPECT_EQ(exit_code(child), 0);
}

}  // namespace
}  // namespace radlads
