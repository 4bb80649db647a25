// Text of a stream of token ids, as it becomes certain.
#ifndef RADLADS_DATA_TOKENIZER_STREAM_DECODER_H_
#define RADLADS_DATA_TOKENIZER_STREAM_DECODER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {

// What Push and Flush return, put together, is Tokenizer::Decode of all ids; every part is
// well-formed UTF-8. One stream, one thread.
class StreamDecoder {
 public:
  StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special_tokens);

  // The text that `id` makes certain: empty while a character is incomplete, whose at most 3 bytes
  // are held back. OUT_OF_RANGE if `id` has no token; the stream is then as before.
  absl::StatusOr<std::string> Push(int32_t id);

  // The rest: U+FFFD for an incomplete character, else nothing. The decoder can then be used for
  // another stream.
  std::string Flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_tokens_;
  std::string pending_;
};

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_STREAM_DECODER_H_
