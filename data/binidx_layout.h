// Offsets and constants of the MMIDIDX index; see docs/formats/binidx.md. Private to the reader and the writer.
#ifndef RADLADS_DATA_BINIDX_LAYOUT_H_
#define RADLADS_DATA_BINIDX_LAYOUT_H_

#include <bit>
#include <cstdint>
#include <cstring>

namespace radlads::binidx {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and read in place");

inline constexpr char kMagic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
inline constexpr uint64_t kVersion = 1;
inline constexpr size_t kVersionAt = 9, kTypeAt = 17, kSequencesAt = 18, kDocumentsAt = 26, kHeaderBytes = 34;

// The format aligns nothing.
template <typename T>
T Load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

}  // namespace radlads::binidx

#endif  // RADLADS_DATA_BINIDX_LAYOUT_H_
