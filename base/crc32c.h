// CRC-32C (Castagnoli, RFC 3720 appendix B.4), with the processor's instruction where it has one.
#ifndef RADLADS_BASE_CRC32C_H_
#define RADLADS_BASE_CRC32C_H_

#include <cstdint>
#include <string_view>

namespace radlads {

// The checksum of `bytes`, or of everything `before` was computed over followed by `bytes`.
uint32_t Crc32c(std::string_view bytes, uint32_t before = 0);

namespace internal {
uint32_t Crc32cPortable(std::string_view bytes, uint32_t before);  // without the instruction
}

}  // namespace radlads

#endif  // RADLADS_BASE_CRC32C_H_
