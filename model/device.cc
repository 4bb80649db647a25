#include "model/device.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <charconv>
#include <string_view>

#include "base/status.h"

namespace radlads {

absl::StatusOr<c10::Device> ChooseDevice(const std::string& name) {
  if (name == "cpu") return c10::Device(c10::kCPU);
  std::string_view rest = name;
  int index = 0;
  bool known = rest.starts_with("cuda");
  if (known) rest.remove_prefix(4);
  if (known && !rest.empty()) {
    const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), index);
    known = rest[0] == ':' && error == std::errc() && end == rest.data() + rest.size() && index >= 0 && index < 128;
  }
  if (!known) return InvalidArgument("device is '", name, "', expected cpu, cuda or cuda:N");
#ifdef RADLADS_CUDA
  const int64_t gpus = at::hasCUDA() ? at::detail::getCUDAHooks().getNumGPUs() : 0;
  if (index >= gpus) {
    return FailedPrecondition("there is no GPU for ", name, ": the driver shows ", gpus, "; nvidia-smi says why");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
#else
  return FailedPrecondition("this build has no CUDA for ", name, "; run tools/setup.sh --cuda and build with --config=cuda");
#endif
}

int64_t FreeMemory(c10::Device device) {
  return static_cast<int64_t>(at::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
}

}  // namespace radlads
