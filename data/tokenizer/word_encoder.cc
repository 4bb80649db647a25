#include "data/tokenizer/word_encoder.h"

namespace radlads {

void WordEncoder::Resolve() {
  if (used_ + kBatch * ShortWords::kMaxIds > kBuffer) Flush();
  for (size_t i = 0; i < waiting_; ++i) {
    const ShortWords::Entry* entry = short_words_.Find(keys_[i]);
    if (entry == nullptr || entry->ids[0] == kElsewhere) {
      EncodeShort(keys_[i]);
      if (used_ + kBatch * ShortWords::kMaxIds > kBuffer) Flush();
      continue;
    }
    std::memcpy(&buffer_[used_], entry->ids, sizeof(entry->ids));
    used_ += entry->count;
  }
  waiting_ = 0;
}

void WordEncoder::EncodeShort(const ShortWords::Key& key) {
  char word[sizeof(key)];
  std::memcpy(word, &key, sizeof(key));
  const std::string_view piece(word, static_cast<uint8_t>(word[sizeof(key) - 1]));
  if (short_words_.Find(key) != nullptr) {
    EncodeLong(piece, word + sizeof(word));
    return;
  }
  piece_ids_.clear();
  bpe_->Encode(piece, &scratch_, &piece_ids_);
  Put(piece_ids_);
  if (piece_ids_.size() <= ShortWords::kMaxIds) {
    short_words_.Insert(key, piece_ids_);
  } else {
    short_words_.Insert(key, std::span(&kElsewhere, 1));
  }
}

void WordEncoder::EncodeLong(std::string_view piece, const char* limit) {
  if (piece.size() > LongWords::kMaxSize) {
    Flush();
    bpe_->Encode(piece, &scratch_, ids_);
    return;
  }
  const LongWords::Key key = LongWords::KeyOf(piece, limit);
  if (const auto* entry = long_words_.Find(key)) {
    if (used_ + LongWords::kMaxIds > kBuffer) Flush();
    std::memcpy(&buffer_[used_], entry->ids, sizeof(entry->ids));  // all of them, which needs no loop
    used_ += entry->count;
    return;
  }
  piece_ids_.clear();
  bpe_->Encode(piece, &scratch_, &piece_ids_);
  Put(piece_ids_);
  if (piece_ids_.size() <= LongWords::kMaxIds) long_words_.Insert(key, piece_ids_);
}

void WordEncoder::Put(std::span<const int32_t> ids) {
  if (used_ + ids.size() > kBuffer) Flush();
  std::copy(ids.begin(), ids.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ += ids.size();
}

void WordEncoder::Flush() {
  ids_->insert(ids_->end(), buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
}

}  // namespace radlads
