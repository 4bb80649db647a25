#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace radlads {
namespace {

// tables[k][b]: the remainder of byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    tables[0][byte] = crc;
  }
  for (int k = 1; k < 8; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      tables[k][byte] = tables[0][tables[k - 1][byte] & 0xFF] ^ tables[k - 1][byte] >> 8;
    }
  }
  return tables;
}
constexpr Tables kTables = MakeTables();

uint64_t Load64(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// Eight bytes a step (Kounavis and Berry, 2005). Little-endian.
uint32_t ExtendPortable(uint32_t crc, const char* at, const char* end) {
  for (; end - at >= 8; at += 8) {
    const uint64_t word = Load64(at) ^ crc;
    crc = 0;
    for (int k = 0; k < 8; ++k) crc ^= kTables[7 - k][word >> (8 * k) & 0xFF];
  }
  for (; at != end; ++at) crc = kTables[0][(crc ^ static_cast<unsigned char>(*at)) & 0xFF] ^ crc >> 8;
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ExtendSse42(uint32_t crc, const char* at, const char* end) {
  uint64_t wide = crc;
  for (; end - at >= 8; at += 8) wide = _mm_crc32_u64(wide, Load64(at));
  crc = static_cast<uint32_t>(wide);
  for (; at != end; ++at) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*at));
  return crc;
}
#endif

}  // namespace

uint32_t internal::Crc32cPortable(std::string_view bytes, uint32_t before) {
  return ~ExtendPortable(~before, bytes.data(), bytes.data() + bytes.size());
}

uint32_t Crc32c(std::string_view bytes, uint32_t before) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~ExtendSse42(~before, bytes.data(), bytes.data() + bytes.size());
#endif
  return internal::Crc32cPortable(bytes, before);
}

}  // namespace radlads
