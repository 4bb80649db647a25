#include "data/tokenizer/word_encoder.h"

namespace radlads {

void WordEncoder::EncodeOther(std::string_view piece, const char* limit) {
  if (piece.size() > LongWords::kMaxSize) {
    Flush();
    bpe_->Encode(piece, &scratch_, ids_);
    return;
  }
  const LongWords::Key key = LongWords::KeyOf(piece, limit);
  if (const auto* entry = long_words_.Find(key)) {
    Append(*entry);
    return;
  }
  piece_ids_.clear();
  bpe_->Encode(piece, &scratch_, &piece_ids_);
  for (const int32_t id : piece_ids_) Append(id);
  if (piece.size() <= ShortWords::kMaxSize && piece_ids_.size() <= ShortWords::kMaxIds) {
    short_words_.Insert(ShortWords::KeyOf(piece, limit), piece_ids_);
  } else if (piece_ids_.size() <= LongWords::kMaxIds) {
    long_words_.Insert(key, piece_ids_);
  }
}

void WordEncoder::Flush() {
  ids_->insert(ids_->end(), buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
}

}  // namespace radlads
