// Work that a device does again and again the same way, given to it at once.
#ifndef RADLADS_MODEL_DECODE_RECORDER_H_
#define RADLADS_MODEL_DECODE_RECORDER_H_

#include <c10/core/Device.h>

#include <functional>

namespace radlads {

// Calls `work` as often as it needs to, once at least, and returns what does the same on the same memory, each time
// that it is called. `work` asks the device only, and waits for nothing that it gives.
using Recorder = std::function<std::function<void()>(const std::function<void()>& work)>;

// On CUDA, that of CUDA graphs (--config=cuda builds only); none where calls cost too little to be recorded.
Recorder RecorderFor(c10::Device device);

// Puts in the one for CUDA, before main.
struct OnCudaRecord {
  explicit OnCudaRecord(Recorder (*make)(c10::Device));
};

}  // namespace radlads

#endif  // RADLADS_MODEL_DECODE_RECORDER_H_
