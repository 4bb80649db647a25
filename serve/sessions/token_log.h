// Values of the token log of a session store, and how RocksDB joins them. Private to the store.
#ifndef RADLADS_SERVE_SESSIONS_TOKEN_LOG_H_
#define RADLADS_SERVE_SESSIONS_TOKEN_LOG_H_

#include <rocksdb/merge_operator.h>
#include <rocksdb/slice.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace radlads {

// A value of the token log: a place in the chunk, and the tokens from there on. Joined to what is before it, it takes
// the place of all from its own place on, so that writing it twice is as writing it once.
class TokenLog : public rocksdb::AssociativeMergeOperator {
 public:
  static std::string Value(uint32_t place, std::span<const int64_t> tokens) {
    std::string value(4 + 4 * tokens.size(), '\0');
    std::memcpy(value.data(), &place, 4);
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto id = static_cast<uint32_t>(tokens[i]);
      std::memcpy(value.data() + 4 + 4 * i, &id, 4);
    }
    return value;
  }
  static uint32_t PlaceOf(rocksdb::Slice value) {
    uint32_t place = 0;
    std::memcpy(&place, value.data(), 4);
    return place;
  }
  static bool IsSound(rocksdb::Slice value) { return value.size() >= 4 && value.size() % 4 == 0; }

  bool Merge(const rocksdb::Slice&, const rocksdb::Slice* existing, const rocksdb::Slice& value, std::string* merged,
             rocksdb::Logger*) const override {
    if (!IsSound(value) || (existing != nullptr && !IsSound(*existing))) return false;
    if (existing == nullptr || PlaceOf(value) <= PlaceOf(*existing)) {
      merged->assign(value.data(), value.size());
      return true;
    }
    const size_t kept = std::min<size_t>(existing->size(), 4 + 4 * size_t{PlaceOf(value) - PlaceOf(*existing)});
    merged->reserve(kept + value.size());
    merged->assign(existing->data(), kept);
    merged->append(value.data() + 4, value.size() - 4);
    return true;
  }
  const char* Name() const override { return "radlads.TokenLog"; }
};

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_TOKEN_LOG_H_
