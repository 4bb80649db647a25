#include "serve/sessions/service_sizes.h"

#include <algorithm>

namespace radlads {
namespace {

constexpr int64_t kMostActive = 64;

}  // namespace

ServiceSizes ChooseSizes(int64_t memory, std::optional<int64_t> device_memory, int64_t state_bytes) {
  memory = std::max<int64_t>(memory, 0);
  const int64_t of_active = device_memory.value_or(memory) / 2;
  ServiceSizes sizes{.cache_bytes = memory / 8};
  sizes.active = std::clamp<int64_t>(of_active / std::max<int64_t>(state_bytes, 1), 1, kMostActive);
  return sizes;
}

}  // namespace radlads
