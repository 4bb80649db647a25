// Holds the CUDA kernels of an operation to the operation's own tests, without a GPU: a test
// includes the .cu file, puts its functions in the place of the CPU's, and is linked with
// <op>_test.cc.
#ifndef RADLADS_KERNELS_TESTING_CUDA_OPERATION_H_
#define RADLADS_KERNELS_TESTING_CUDA_OPERATION_H_

#include <hwy/highway.h>

#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/device_function.h"
#include "kernels/testing/cuda_on_cpu.h"

namespace radlads {

// Puts `cuda` in the place of the CPU's function, before main. Tests then run on one of Highway's
// targets: the others would do the same.
struct InPlaceOfCpu {
  template <class... Arguments>
  InPlaceOfCpu(DeviceFunction<Arguments...>& function, typename DeviceFunction<Arguments...>::Pointer cuda) {
    function.cpu = cuda;
    // The best of those that are compiled: a processor may have better ones that Highway leaves out.
    const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
    hwy::DisableTargets(~(targets & -targets));
  }
};

// The arguments of one call in memory that kernels may touch nothing beside, for the duration of
// the call. Threads run in another order in each call.
class GuardedArguments {
 public:
  GuardedArguments() {
    static int calls = 0;
    cuda::SetThreadOrder(static_cast<cuda::ThreadOrder>(calls++ % 3));
  }
  // Hands the results back.
  ~GuardedArguments() {
    for (const Result& result : results_) std::memcpy(result.to, result.from, result.bytes);
  }
  // While true, no memory is aligned to 16 bytes.
  static inline bool misaligned = false;

  GuardedArguments(const GuardedArguments&) = delete;
  GuardedArguments& operator=(const GuardedArguments&) = delete;

  // Replaces *p, `count` elements that are read, unless it is null. A void pointer is to bf16 or
  // fp32.
  template <class T>
  void Read(const T** p, int64_t count, bool bf16 = false) {
    if (*p == nullptr) return;
    const size_t bytes = count * ElementSize<T>(bf16);
    void* copy = Memory(bytes);
    std::memcpy(copy, *p, bytes);
    *p = static_cast<const T*>(copy);
  }
  // The same for what is written; NaN until then.
  template <class T>
  void Write(T** p, int64_t count, bool bf16 = false) {
    if (*p == nullptr) return;
    const size_t bytes = count * ElementSize<T>(bf16);
    void* memory = Memory(bytes);
    results_.push_back({*p, memory, bytes});
    *p = static_cast<T*>(memory);
  }
  float* Scratch(int64_t floats) { return static_cast<float*>(Memory(floats * sizeof(float))); }

 private:
  template <class T>
  static size_t ElementSize(bool bf16) {
    if constexpr (std::is_void_v<T>) {
      return bf16 ? 2 : 4;
    } else {
      return sizeof(T);
    }
  }
  void* Memory(size_t bytes) {
    buffers_.push_back(std::make_unique<cuda::GuardedBuffer>(bytes + (misaligned ? 4 : 0)));
    return buffers_.back()->data();
  }

  struct Result {
    void* to;
    const void* from;
    size_t bytes;
  };
  std::vector<std::unique_ptr<cuda::GuardedBuffer>> buffers_;
  std::vector<Result> results_;
};

}  // namespace radlads

#endif  // RADLADS_KERNELS_TESTING_CUDA_OPERATION_H_
