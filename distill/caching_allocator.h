// Memory of large CPU tensors that is kept when they die and handed to the next ones.
//
// A training step makes and drops the same few gigabytes of activations and gradients every time. From malloc, most of
// these come as fresh pages that the kernel must clear at first touch; kept and backed by huge pages they cost that
// once.
#ifndef RADLADS_DISTILL_CACHING_ALLOCATOR_H_
#define RADLADS_DISTILL_CACHING_ALLOCATOR_H_

#include <cstdint>

namespace radlads {

// Becomes LibTorch's CPU allocator for tensors of 128 KiB and more from now on; smaller ones and those that exist
// already are not touched. Once is enough, more often does no harm. For programs, before they load models.
void InstallCachingAllocator();

// Gives memory that no tensor uses back to the system: between phases that need tensors of other sizes.
void ReleaseCachedMemory();

struct CachedMemory {
  int64_t used = 0;  // bytes in living tensors, rounded up to their size class
  int64_t kept = 0;  // bytes waiting for the next tensor
};
CachedMemory GetCachedMemory();

}  // namespace radlads

#endif  // RADLADS_DISTILL_CACHING_ALLOCATOR_H_
