// Fingerprints: FNV-1a with 128 bits (http://www.isthe.com/chongo/tech/comp/fnv/). Not for input that an enemy chooses.
#ifndef RADLADS_BASE_FNV_H_
#define RADLADS_BASE_FNV_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace radlads {

// Every field is followed by its length or has a fixed one, so that different lists of fields cannot run together.
class Fnv128 {
 public:
  void Add(std::string_view bytes) {
    for (const char c : bytes) AddByte(static_cast<uint8_t>(c));
    AddNumber(bytes.size());
  }
  void AddNumber(uint64_t number) {
    for (int i = 0; i < 8; ++i) AddByte(static_cast<uint8_t>(number >> (8 * i)));
  }
  // 32 hexadecimal digits.
  std::string Hex() const {
    std::string hex;
    for (int shift = 124; shift >= 0; shift -= 4) hex += "0123456789abcdef"[static_cast<int>(state_ >> shift) & 15];
    return hex;
  }

 private:
  using Word = unsigned __int128;
  static constexpr Word kPrime = static_cast<Word>(1) << 88 | 0x13B;
  void AddByte(uint8_t byte) { state_ = (state_ ^ byte) * kPrime; }
  Word state_ = static_cast<Word>(0x6C62272E07BB0142ull) << 64 | 0x62B821756295C58Dull;
};

}  // namespace radlads

#endif  // RADLADS_BASE_FNV_H_
