// How many texts, and how many states, a machine has room for.
#ifndef RADLADS_SERVE_SESSIONS_SERVICE_SIZES_H_
#define RADLADS_SERVE_SESSIONS_SERVICE_SIZES_H_

#include <cstdint>
#include <optional>

namespace radlads {

// Texts that may wait, for each that is active.
inline constexpr int64_t kWaitingForEach = 16;

struct ServiceSizes {
  int64_t active = 0;       // texts that step together
  int64_t cache_bytes = 0;  // of states in memory
};

// Of `memory` bytes that nobody has yet, half is for the states of active texts, each of `state_bytes` at its longest,
// and an eighth for states that are kept; the rest is for what computing takes. Where texts are active on a device of its
// own, the half is of `device_memory`. At least 1 text is active, and at most 64: more would wait for each other's tokens,
// however much memory there is.
ServiceSizes ChooseSizes(int64_t memory, std::optional<int64_t> device_memory, int64_t state_bytes);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_SERVICE_SIZES_H_
