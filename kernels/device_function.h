// What a fused operation does with plain memory, once for each kind of device.
//
// An operation keeps its functions as objects in <op>_kernels.h:
//
//   inline constinit DeviceFunction rms_norm_forward(RmsNormForwardCpu);
//
// and calls them by the device of its tensors: rms_norm_forward(x.device(), arguments, y). The
// CPU's is always there. That for CUDA is put in before main by kernels/<op>/<op>_op_cuda.cc, which
// the operation depends on under --config=cuda only:
//
//   const OnCuda forward(rms_norm_forward, [](const RmsNormArguments& arguments, void* y) { ... });
//
// Where it is absent the operation composes ATen operations instead, on CUDA as on any other
// device.
#ifndef RADLADS_KERNELS_DEVICE_FUNCTION_H_
#define RADLADS_KERNELS_DEVICE_FUNCTION_H_

#include <c10/core/DeviceGuard.h>

#include "base/status.h"
#include "kernels/tensor_arguments.h"

namespace radlads {

template <class... Arguments>
class DeviceFunction {
 public:
  using Pointer = void (*)(Arguments...);

  constexpr explicit DeviceFunction(Pointer cpu) : cpu(cpu) {}

  // `device` holds the memory that the arguments point to; it is the current device during the
  // call.
  void operator()(c10::Device device, Arguments... arguments) const {
    if (device.is_cpu()) return cpu(arguments...);
    RADLADS_CHECK(device.is_cuda() && cuda != nullptr) << "no fused path for " << device.str();
    const c10::DeviceGuard guard(device);
    cuda(arguments...);
  }

  // Whether these tensors may be given: on one device that has the function, fp32 or bf16.
  // Undefined tensors do not count.
  bool Takes(TensorArguments tensors) const { return FusedPathApplies(tensors, cuda != nullptr); }

  Pointer cpu, cuda = nullptr;
};
template <class... Arguments>
DeviceFunction(void (*)(Arguments...)) -> DeviceFunction<Arguments...>;

// Puts in the function for CUDA.
struct OnCuda {
  template <class... Arguments>
  OnCuda(DeviceFunction<Arguments...>& function, typename DeviceFunction<Arguments...>::Pointer cuda) {
    function.cuda = cuda;
  }
};

}  // namespace radlads

#endif  // RADLADS_KERNELS_DEVICE_FUNCTION_H_
