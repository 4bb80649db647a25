// The device on which a model computes, chosen by name.
#ifndef RADLADS_MODEL_DEVICE_H_
#define RADLADS_MODEL_DEVICE_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace radlads {

// "cpu", "cuda" (the first GPU) or "cuda:N". INVALID_ARGUMENT for anything else; FAILED_PRECONDITION for a GPU that is not
// there, or in a build without CUDA.
absl::StatusOr<c10::Device> ChooseDevice(const std::string& name);

// Bytes of a GPU's memory that nobody has yet.
int64_t FreeMemory(c10::Device device);

}  // namespace radlads

#endif  // RADLADS_MODEL_DEVICE_H_
