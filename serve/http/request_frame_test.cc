#include "serve/http/request_frame.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace radlads {
namespace {

using State = RequestFrame::State;

constexpr size_t kMaxBody = 1000;

// The state once all of `bytes` is there, which is the same however they come.
State Scan(const std::string& bytes, size_t* size = nullptr) {
  RequestFrame whole(kMaxBody);
  const State state = whole.Scan(bytes);
  if (size != nullptr) *size = whole.size();
  RequestFrame grown(kMaxBody);
  State last = State::kIncomplete;
  for (size_t end = 1; end <= bytes.size() && last == State::kIncomplete; ++end) {
    last = grown.Scan(std::string_view(bytes).substr(0, end));
  }
  EXPECT_EQ(last, state) << bytes;
  if (state == State::kWhole) {
    EXPECT_EQ(grown.size(), whole.size()) << bytes;
  }
  EXPECT_EQ(whole.Scan(bytes), state) << bytes;
  return state;
}

TEST(RequestFrame, EndsWhereTheBodyEnds) {
  const std::string get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  size_t size = 0;
  EXPECT_EQ(Scan(get, &size), State::kWhole);
  EXPECT_EQ(size, get.size());
  EXPECT_EQ(Scan(get + "GET", &size), State::kWhole);
  EXPECT_EQ(size, get.size());
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  5 \r\n\r\n";
  EXPECT_EQ(Scan(post + "1234"), State::kIncomplete);
  EXPECT_EQ(Scan(post + "12345POST", &size), State::kWhole);
  EXPECT_EQ(size, post.size() + 5);
  EXPECT_EQ(Scan(get.substr(0, get.size() - 1)), State::kIncomplete);
}

TEST(RequestFrame, ChunksAreFollowed) {
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n";
  const std::string body = "5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n";
  size_t size = 0;
  EXPECT_EQ(Scan(head + body, &size), State::kWhole);
  EXPECT_EQ(size, head.size() + body.size());
  EXPECT_EQ(Scan(head + "0\r\nTrailer: x\r\n\r\nGET", &size), State::kWhole);
  EXPECT_EQ(size, head.size() + 17);
  EXPECT_EQ(Scan(head + body.substr(0, body.size() - 1)), State::kIncomplete);
  EXPECT_EQ(Scan(head + "zz\r\n"), State::kBad);
  EXPECT_EQ(Scan(head + "-1\r\n"), State::kBad);
  EXPECT_EQ(Scan(head + "1\r\nab\r\n"), State::kBad);
  EXPECT_EQ(Scan(head + "3e9\r\n"), State::kTooLarge);
  EXPECT_EQ(Scan(head + "ffffffffffffffff\r\n"), State::kTooLarge);
  EXPECT_EQ(Scan(head + "fffffffffffffffff\r\n"), State::kBad);
  EXPECT_EQ(Scan(head + std::string(2000, '0')), State::kBad);
}

TEST(RequestFrame, WhatTwoServersCouldReadInTwoWaysIsRefused) {
  for (const char* fields :
       {"Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5, 6\r\n", "Content-Length: +5\r\n",
        "Content-Length:\r\n", "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_EQ(Scan(std::string("POST / HTTP/1.1\r\nHost: x\r\n") + fields + "\r\nhello"), State::kBad) << fields;
  }
}

// The status that refuses a request with this head, 0 for one that is not refused.
int Refusal(const std::string& head) {
  const std::string request = head + "\r\n";
  RequestFrame frame(kMaxBody);
  if (frame.Scan(request) != State::kBad) return 0;
  EXPECT_EQ(Scan(request), State::kBad);
  EXPECT_STRNE(frame.error(), "");
  return frame.error_status();
}

TEST(RequestFrame, AHeadThatIsNotWellFormedIsRefused) {
  const std::string get = "GET /health HTTP/1.1\r\n", host = "Host: x\r\n";
  EXPECT_EQ(Refusal(get + host + "X-Any: a\tb \xc3\xa9\r\nX-Empty:\r\n"), 0);
  EXPECT_EQ(Refusal("GET / HTTP/1.0\r\n"), 0) << "HTTP/1.0 has no Host";
  EXPECT_EQ(Refusal(get), 400);
  EXPECT_EQ(Refusal(get + host + host), 400);
  EXPECT_EQ(Refusal(get + host + std::string("X: a\0b\r\n", 8)), 400);
  EXPECT_EQ(Refusal(get + host + "X: a\rb\r\n"), 400);
  EXPECT_EQ(Refusal(get + host + "X: a\n"), 400);
  EXPECT_EQ(Refusal(get + host + "X: a\r\n b\r\n"), 400);
  EXPECT_EQ(Refusal(get + host + "X\r\n"), 400);
  EXPECT_EQ(Refusal(get + host + ": a\r\n"), 400);
  EXPECT_EQ(Refusal(get + host + "Transfer-Encoding : chunked\r\n"), 400);
  for (const char* line : {"GET /", "GET  HTTP/1.1", "GET / x HTTP/1.1", "GET /\x01 HTTP/1.1", "G(T / HTTP/1.1",
                           "GET / HTP/1.1", "\x16\x03\x01", " GET / HTTP/1.1", ""}) {
    EXPECT_EQ(Refusal(std::string(line) + "\r\n" + host), 400) << line;
  }
  EXPECT_EQ(Refusal("BREW / HTTP/1.1\r\n" + host), 501);
  EXPECT_EQ(Refusal("PRI * HTTP/2.0\r\n"), 505);
  EXPECT_EQ(Refusal("GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n" + host), 414);
  EXPECT_EQ(Refusal(get + host + "X: " + std::string(9000, 'x') + "\r\n"), 431);
}

TEST(RequestFrame, OnlyWhatIsKnownDecompresses) {
  const std::string post = "POST / HTTP/1.1\r\nHost: x\r\n";
  for (const auto& [encoding, compressed] :
       {std::pair("gzip", true), {"X-GZip", true}, {"deflate", true}, {"identity", false}, {"", false}}) {
    RequestFrame frame(kMaxBody);
    EXPECT_EQ(frame.Scan(post + "Content-Encoding: " + encoding + "\r\n\r\n"), State::kWhole) << encoding;
    EXPECT_EQ(frame.compressed(), compressed) << encoding;
  }
  for (const char* encoding : {"br", "zstd", "gzip, gzip", "gzip\r\nContent-Encoding: gzip"}) {
    EXPECT_EQ(Refusal(post + "Content-Encoding: " + encoding + "\r\n"), 415) << encoding;
  }
}

TEST(RequestFrame, LimitsHold) {
  EXPECT_EQ(Scan("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"), State::kIncomplete);
  RequestFrame large(kMaxBody);
  const std::string request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n";
  EXPECT_EQ(large.Scan(request), State::kTooLarge);
  EXPECT_EQ(large.Scan(request), State::kTooLarge);
  RequestFrame head(kMaxBody);
  EXPECT_EQ(head.Scan("GET / HTTP/1.1\r\nX: " + std::string(RequestFrame::kMaxHead, 'x')), State::kBad);
  EXPECT_EQ(head.error_status(), 431);
  RequestFrame parts(kMaxBody);
  EXPECT_EQ(parts.Scan("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: Multipart/form-data; boundary=x\r\n\r\n"),
            State::kBad);
  EXPECT_EQ(parts.error_status(), 415);
}

}  // namespace
}  // namespace radlads
