#include "serve/http/request_frame.h"

#include <gtest/gtest.h>

#include <string>

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
  const std::string post = "POST / HTTP/1.1\r\ncontent-LENGTH:  5 \r\n\r\n";
  EXPECT_EQ(Scan(post + "1234"), State::kIncomplete);
  EXPECT_EQ(Scan(post + "12345POST", &size), State::kWhole);
  EXPECT_EQ(size, post.size() + 5);
  EXPECT_EQ(Scan(get.substr(0, get.size() - 1)), State::kIncomplete);
}

TEST(RequestFrame, ChunksAreFollowed) {
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n";
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
    EXPECT_EQ(Scan(std::string("POST / HTTP/1.1\r\n") + fields + "\r\nhello"), State::kBad) << fields;
  }
}

TEST(RequestFrame, LimitsHold) {
  EXPECT_EQ(Scan("POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"), State::kIncomplete);
  RequestFrame large(kMaxBody);
  const std::string request = "POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n";
  EXPECT_EQ(large.Scan(request), State::kTooLarge);
  EXPECT_EQ(large.Scan(request), State::kTooLarge);
  RequestFrame head(kMaxBody);
  EXPECT_EQ(head.Scan("GET / HTTP/1.1\r\nX: " + std::string(RequestFrame::kMaxHead, 'x')), State::kBad);
  EXPECT_EQ(head.error_status(), 431);
  RequestFrame parts(kMaxBody);
  EXPECT_EQ(parts.Scan("POST / HTTP/1.1\r\nContent-Type: Multipart/form-data; boundary=x\r\n\r\n"), State::kBad);
  EXPECT_EQ(parts.error_status(), 415);
}

}  // namespace
}  // namespace radlads
