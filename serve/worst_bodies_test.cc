// The program //serve:server with little memory, and bodies that are made to take much of it, sixteen at once: it
// answers each, gives the memory back, and a text that goes on meanwhile is whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "serve/testing/small_served_model.h"
#include "testing/server_program.h"

namespace radlads {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;
using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr size_t kBody = 64 << 20;
constexpr int kClients = 16;
constexpr int64_t kAddressSpaceKiB = 6'000'000;  // threads, their heaps and LibTorch take more than a third of it

// `begin`, then `unit` over and over, kBody bytes in all.
struct Body {
  std::string name, begin, unit;
};
const std::vector<Body>& Bodies() {
  static const std::vector<Body> bodies = {
      {"brackets", "", "["},
      {"deep objects", "", R"([{"a":)"},
      {"strings", "[", R"("",)"},
      {"numbers", R"({"prompt":[0)", ",0"},
      {"objects", "[", "{},"},
      {"equal keys", "{", R"("a":0,)"},
      {"lists", R"({"a":[[])", ",[]"},
      {"text", R"({"prompt":")", "a "},
      {"spaces", "", " "},
      {"stops", R"({"prompt":"a","stop":["a")", R"(,"")"},
      {"messages", R"({"messages":[{})", R"(,{"role":"","content":""})"},
      {"characters", R"({"prompt":")", R"(\u0001)"},
  };
  return bodies;
}

std::string Gzip(const Body& body) {
  z_stream stream{};
  RADLADS_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string text = body.begin, packed;
  while (text.size() < 1 << 20) text += body.unit;
  std::string room(1 << 16, 0);
  for (size_t done = 0; done < kBody; done += text.size()) {
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = text.size();
    const bool last = done + 2 * text.size() > kBody;
    do {
      stream.next_out = reinterpret_cast<Bytef*>(room.data());
      stream.avail_out = room.size();
      deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
      packed.append(room.data(), room.size() - stream.avail_out);
    } while (stream.avail_out == 0);
    if (last) break;
  }
  deflateEnd(&stream);
  return packed;
}

// Sends a POST -> the status of the reply; 0: none came.
int Send(int port, const std::string& path, const std::string& headers, size_t size, const std::string& begin,
         const std::string& unit) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return 0;
  const auto send = [&](std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(sent);
    }
    return true;
  };
  std::string block;
  while (!unit.empty() && block.size() < 1 << 20) block += unit;
  bool taken = send(Concatenate("POST ", path, " HTTP/1.1\r\nHost: localhost\r\n", headers, "Content-Length: ", size,
                                "\r\n\r\n", begin));
  for (size_t left = size - begin.size(); taken && left > 0;) {
    const size_t piece = std::min(left, block.size());
    taken = send(std::string_view(block).substr(0, piece));
    left -= piece;
  }
  std::string reply(12, 0);
  size_t got = 0;
  for (ssize_t count; got < reply.size() && (count = ::recv(socket, &reply[got], reply.size() - got, 0)) > 0;) {
    got += count;
  }
  ::close(socket);
  return got == reply.size() ? std::atoi(reply.c_str() + 9) : 0;
}

int64_t ResidentMiB(pid_t process) {
  int64_t all = 0, resident = 0;
  std::ifstream(Concatenate("/proc/", process, "/statm")) >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE) >> 20;
}

// A text of `tokens`, streamed: what it says, and how many tokens came each second.
struct Stream {
  std::string text;
  bool whole = false;
  double rate = 0;
};
Stream ReadStream(int port, int64_t tokens) {
  httplib::Client client("127.0.0.1", port);
  client.set_read_timeout(600);
  const Json body = {{"prompt", "hello"}, {"max_tokens", tokens},        {"temperature", 0},
                     {"stream", true},    {"logit_bias", {{"0", -100}}}, {"stop", Json::array()}};
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.body = body.dump();
  std::string events;
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    events.append(data, size);
    return true;
  };
  const auto begun = Clock::now();
  const auto result = client.send(request);
  Stream stream;
  stream.rate = static_cast<double>(tokens) / std::chrono::duration<double>(Clock::now() - begun).count();
  for (size_t at = 0; (at = events.find("data: {", at)) != events.npos; ++at) {
    const Json event = Json::parse(events.substr(at + 6, events.find('\n', at) - at - 6));
    if (!event.contains("choices")) continue;
    for (const Json& choice : event["choices"]) stream.text += choice["text"].get<std::string>();
  }
  stream.whole = result && events.ends_with("data: [DONE]\n\n");
  return stream;
}

TEST(WorstBodies, TakeNoMoreThanThereIs) {
  const std::string directory = ::testing::TempDir() + "/model";
  WriteSmallServedModel(directory);
  ServerProgram server(
      "/bin/sh", {"-c", Concatenate("ulimit -v ", kAddressSpaceKiB, "; exec \"$0\" \"$@\""), "serve/server", "--model",
                  directory, "--store", ::testing::TempDir() + "/store", "--listen", "127.0.0.1:0", "--threads", "1"});
  const int port = server.Port();
  ASSERT_NE(port, 0) << server.Log();

  // Long enough for all that follows to happen beside it; how long that is, a first round says.
  constexpr int64_t kTokens = 3000;
  const Stream alone = ReadStream(port, kTokens);
  ASSERT_TRUE(alone.whole) << server.Log();
  const int64_t before = ResidentMiB(server.process());

  std::vector<int> statuses;
  std::atomic<bool> over = false;
  std::atomic<int> streams = 0;
  double rate = 0;
  std::thread reader([&] {
    while (!over) {
      const Stream beside = ReadStream(port, kTokens);
      EXPECT_TRUE(beside.whole);
      EXPECT_EQ(beside.text, alone.text);
      if (!over) rate = beside.rate, ++streams;
    }
  });
  std::map<std::string, std::map<int, int>> answers;
  int64_t most = 0;
  for (const Body& body : Bodies()) {
    const std::string packed = Gzip(body);
    for (const bool compressed : {false, true}) {
      std::vector<std::thread> clients;
      std::vector<int> got(kClients);
      for (int i = 0; i < kClients; ++i) {
        clients.emplace_back([&, i] {
          const std::string path = i % 2 == 0 ? "/v1/completions" : "/v1/chat/completions";
          got[i] = compressed ? Send(port, path, "Content-Encoding: gzip\r\n", packed.size(), packed, "")
                              : Send(port, path, "", kBody, body.begin, body.unit);
        });
      }
      for (std::thread& client : clients) client.join();
      most = std::max(most, ResidentMiB(server.process()));
      EXPECT_THAT(got, Each(AnyOf(400, 413, 503))) << body.name << (compressed ? ", compressed" : "");
      for (const int status : got) ++answers[body.name + (compressed ? ", compressed" : "")][status];
    }
  }
  over = true;
  reader.join();
  // In the end there is room for everybody.
  EXPECT_TRUE(ReadStream(port, 10).whole) << server.Log();
  EXPECT_EQ(Send(port, "/v1/completions", "", 30, R"({"prompt":"a","max_tokens":1)", " }"), 200);
  int64_t after = 0;
  for (int i = 0; i < 100 && (after = ResidentMiB(server.process())) > before + 300; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_LE(after, before + 300);
  std::printf("resident: %ld MiB before, up to %ld MiB, %ld MiB after; a stream alone: %.0f tokens/s, beside: %.0f\n",
              static_cast<long>(before), static_cast<long>(most), static_cast<long>(after), alone.rate, rate);
  for (const auto& [name, counts] : answers) {
    std::printf("%s:", name.c_str());
    for (const auto& [status, count] : counts) std::printf(" %d x %d", count, status);
    std::printf("\n");
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.ExitCode(), 0) << server.Log();
}

}  // namespace
}  // namespace radlads
