// Memory for weights that are read whole for every token.
#ifndef RADLADS_KERNELS_QUANTIZED_LINEAR_WEIGHT_MEMORY_H_
#define RADLADS_KERNELS_QUANTIZED_LINEAR_WEIGHT_MEMORY_H_

#include <cstdint>
#include <memory>

namespace radlads {

// `bytes` of memory that begins at a multiple of 64. What several calls return lies together on huge pages where
// the system has them (reading is up to 1.6 times as fast as from pages of 4 KiB), and goes back to the system when the
// last of it is released. Thread-safe.
std::shared_ptr<uint8_t> AllocateWeightMemory(int64_t bytes);

}  // namespace radlads

#endif  // RADLADS_KERNELS_QUANTIZED_LINEAR_WEIGHT_MEMORY_H_
