// The name of a text of tokens: equal names, equal tokens.
#ifndef RADLADS_SERVE_SESSIONS_PREFIX_HASH_H_
#define RADLADS_SERVE_SESSIONS_PREFIX_HASH_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace radlads {

// Of the empty text, zeros; of a longer one, the first 16 bytes of the SHA-256 (FIPS 180-4) of the hash of the text
// without its last token, followed by that token in 4 bytes, little-endian. Nobody can make two texts of one hash, so
// that a state can be handed out by it.
using PrefixHash = std::array<uint8_t, 16>;
// For tables.
struct HashOfPrefixHash {
  size_t operator()(const PrefixHash& hash) const {
    size_t bits;
    std::memcpy(&bits, hash.data(), sizeof(bits));
    return bits;
  }
};

// The hash of a text of hash `before` that goes on with `token`. About 0.2 microseconds.
PrefixHash Extend(const PrefixHash& before, int64_t token);
// Of every place of the text as it goes on with `tokens`: `before` first, tokens.size() + 1 of them.
std::vector<PrefixHash> Chain(const PrefixHash& before, std::span<const int64_t> tokens);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_PREFIX_HASH_H_
