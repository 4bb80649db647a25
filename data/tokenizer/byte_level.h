// The byte-level alphabet of GPT-2: every byte written as one printable character.
//
// 33-126, 161-172 and 174-255 are written as themselves, the other 68 bytes as U+0100 + n in order.
#ifndef RADLADS_DATA_TOKENIZER_BYTE_LEVEL_H_
#define RADLADS_DATA_TOKENIZER_BYTE_LEVEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace radlads {

// The character of `byte`, as UTF-8.
std::string ByteToCharacter(uint8_t byte);

// The bytes that `token` (valid UTF-8) spells, or nothing if a character of it is outside the
// alphabet.
std::optional<std::string> TokenToBytes(std::string_view token);

}  // namespace radlads

#endif  // RADLADS_DATA_TOKENIZER_BYTE_LEVEL_H_
