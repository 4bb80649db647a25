#include "model/decode/recorder.h"

#include "base/status.h"

namespace radlads {
namespace {

Recorder (*make_for_cuda)(c10::Device) = nullptr;

}  // namespace

Recorder RecorderFor(c10::Device device) {
  if (device.is_cpu()) return nullptr;
  RADLADS_CHECK(device.is_cuda() && make_for_cuda != nullptr) << "no recorder for " << device.str();
  return make_for_cuda(device);
}

OnCudaRecord::OnCudaRecord(Recorder (*make)(c10::Device)) {
  make_for_cuda = make;
}

}  // namespace radlads
