#include "serve/http/decompress.h"

#include <zlib.h>

#include <algorithm>
#include <memory>

#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kPiece = 64 << 10;
constexpr int kGzipOrZlib = 15 + 32;  // the largest window, and whichever header is there

}  // namespace

absl::StatusOr<std::string> Decompress(std::string_view body, size_t limit) {
  z_stream stream{};
  RADLADS_CHECK(inflateInit2(&stream, kGzipOrZlib) == Z_OK) << "zlib has no memory";
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> owner(&stream, &inflateEnd);
  // zlib changes nothing of it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  std::string content;
  size_t left = body.size();
  int result = Z_STREAM_END;
  // After a member there may be another, and nothing else.
  while (left > 0 || result != Z_STREAM_END) {
    if (result == Z_STREAM_END && stream.total_in > 0) inflateReset(&stream);
    char piece[kPiece];
    stream.next_out = reinterpret_cast<Bytef*>(piece);
    stream.avail_out = sizeof(piece);
    const uInt given = stream.avail_in = static_cast<uInt>(std::min<size_t>(left, 1 << 30));
    result = inflate(&stream, Z_NO_FLUSH);
    left -= given - stream.avail_in;
    const size_t made = sizeof(piece) - stream.avail_out;
    if (made > limit - content.size()) return absl::OutOfRangeError(Concatenate("more than ", limit, " bytes"));
    content.append(piece, made);
    if (result == Z_BUF_ERROR && left == 0)
      return InvalidArgument("the body is not gzip as a whole: its end is missing");
    if (result != Z_OK && result != Z_STREAM_END) {
      return InvalidArgument("the body is not gzip, as its Content-Encoding says: at byte ", body.size() - left, ", ",
                             stream.msg == nullptr ? "it is damaged" : stream.msg);
    }
  }
  return content;
}

}  // namespace radlads
