// Memory that stays with the process.
#ifndef RADLADS_BASE_KEEP_FREED_MEMORY_H_
#define RADLADS_BASE_KEEP_FREED_MEMORY_H_

#include <malloc.h>

namespace radlads {

// What is freed is used again and not given back to the system: tensors come and go at the same sizes, and a page that
// is asked for anew must be cleared first. For programs that run a model; call it before threads are made.
inline void KeepFreedMemory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
}

}  // namespace radlads

#endif  // RADLADS_BASE_KEEP_FREED_MEMORY_H_
