// Where a request ends in the bytes of a connection (RFC 9112), so that it can be there as a whole before a thread
// looks at it; and whether its head is well-formed, so that no two servers read it in two ways.
#ifndef RADLADS_SERVE_HTTP_REQUEST_FRAME_H_
#define RADLADS_SERVE_HTTP_REQUEST_FRAME_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace radlads {

class RequestFrame {
 public:
  static constexpr size_t kMaxHead = 32 << 10;  // request line and header fields
  static constexpr size_t kMaxLine = 8 << 10;   // each of them

  enum class State {
    kIncomplete,
    kWhole,     // size() bytes
    kTooLarge,  // the body has more than `max_body` bytes; the head is whole
    kBad        // see error()
  };

  explicit RequestFrame(size_t max_body) : max_body_(max_body) {}

  // Looks at `bytes`, which begin with the request and are those of the last call and more. Takes time in proportion to
  // what is new.
  State Scan(std::string_view bytes);

  size_t size() const { return end_; }  // of the whole request; of the head, as long as only that is known
  bool has_head() const { return head_ > 0; }
  bool expects_continue() const { return expects_continue_; }  // Expect: 100-continue
  bool compressed() const { return compressed_; }              // Content-Encoding: gzip, x-gzip or deflate
  // Of the request line, as far as it could be read.
  const std::string& method() const { return method_; }
  const std::string& target() const { return target_; }
  // What is wrong, and the status that says so.
  const char* error() const { return error_; }
  int error_status() const { return error_status_; }

 private:
  State Bad(int status, const char* error);
  State ScanMore(std::string_view bytes);
  State ScanHead(std::string_view head);
  State ScanRequestLine(std::string_view line);
  State ScanField(std::string_view name, std::string_view value);
  State ScanChunks(std::string_view bytes);

  size_t max_body_;
  State state_ = State::kIncomplete;
  size_t seen_ = 0;  // the end of the head is not before it
  size_t head_ = 0;  // bytes of the head; 0: not known
  bool chunked_ = false, trailer_ = false;
  size_t next_ = 0;  // where the next chunk begins
  size_t body_ = 0;  // bytes of the chunks before it
  size_t end_ = 0;
  bool expects_continue_ = false, compressed_ = false;
  std::string method_, target_;
  bool has_length_ = false, must_name_host_ = false;
  size_t length_ = 0;  // Content-Length
  int hosts_ = 0;      // fields that name it
  const char* error_ = "";
  int error_status_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_REQUEST_FRAME_H_
