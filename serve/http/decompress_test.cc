#include "serve/http/decompress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

namespace radlads {
namespace {

using ::testing::HasSubstr;

constexpr int kGzip = 15 + 16, kZlib = 15;

std::string Compress(const std::string& content, int window) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string compressed(deflateBound(&stream, content.size()) + 32, 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = content.size();
  stream.next_out = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_out = compressed.size();
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  compressed.resize(stream.total_out);
  deflateEnd(&stream);
  return compressed;
}

std::string ErrorOf(const std::string& body) {
  const auto content = Decompress(body, 1 << 20);
  EXPECT_TRUE(absl::IsInvalidArgument(content.status())) << content.status();
  return std::string(content.status().message());
}

TEST(Decompress, GzipAndZlibInOneMemberOrSeveral) {
  std::string content;
  for (int i = 0; i < 100'000; ++i) content += std::to_string(i);
  EXPECT_EQ(Decompress(Compress(content, kGzip), 1 << 20).value(), content);
  EXPECT_EQ(Decompress(Compress(content, kZlib), 1 << 20).value(), content);
  EXPECT_EQ(Decompress(Compress("hello ", kGzip) + Compress("there", kGzip), 11).value(), "hello there");
  EXPECT_EQ(Decompress(Compress("", kGzip), 0).value(), "");
}

TEST(Decompress, WhatIsNotWholeIsRefused) {
  const std::string whole = Compress("hello there", kGzip);
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_THAT(ErrorOf(whole.substr(0, size)), HasSubstr("its end is missing")) << size;
  }
  EXPECT_THAT(ErrorOf("hello"), HasSubstr("the body is not gzip"));
  EXPECT_THAT(ErrorOf(whole + "more"), HasSubstr("the body is not gzip"));
  std::string damaged = whole;
  damaged[whole.size() - 8] ^= 1;  // of the checksum
  EXPECT_THAT(ErrorOf(damaged), HasSubstr("incorrect data check"));
}

TEST(Decompress, TheLimitHolds) {
  const std::string bomb = Compress(std::string(50 << 20, ' '), kGzip);
  EXPECT_TRUE(absl::IsOutOfRange(Decompress(bomb, 1 << 20).status()));
  EXPECT_TRUE(absl::IsOutOfRange(Decompress(Compress("hello", kGzip), 4).status()));
  EXPECT_EQ(Decompress(Compress("hello", kGzip), 5).value(), "hello");
}

}  // namespace
}  // namespace radlads
