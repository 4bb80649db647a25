// Recordings are CUDA graphs (CUDA C++ Programming Guide, "CUDA Graphs").
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>

#include <memory>

#include "model/decode/recorder.h"

namespace radlads {
namespace {

std::function<void()> Record(c10::Device device, const std::function<void()>& work) {
  const c10::cuda::CUDAGuard guard(device);
  auto graph = std::make_shared<at::cuda::CUDAGraph>();
  at::cuda::getCurrentCUDAStream().synchronize();
  {
    // Nothing can be recorded on the default stream.
    const c10::cuda::CUDAStream stream = at::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index());
    const c10::cuda::CUDAStreamGuard stream_guard(stream);
    work();  // libraries make their handles and workspaces, which cannot be recorded
    stream.synchronize();
    graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    work();
    graph->capture_end();
  }
  return [graph, device] {
    const c10::cuda::CUDAGuard guard(device);
    graph->replay();
  };
}

const OnCudaRecord record([](c10::Device device) -> Recorder {
  return [device](const std::function<void()>& work) { return Record(device, work); };
});

}  // namespace
}  // namespace radlads
