// Pickles of weights, made safe for LibTorch's unpickler.
#ifndef RADLADS_MODEL_CHECKPOINT_CHECKED_PICKLE_H_
#define RADLADS_MODEL_CHECKPOINT_CHECKED_PICKLE_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace radlads {

// A pickle is a program for a stack machine, and "globals" are the functions that it calls. This follows the program
// without running it, and returns it in the dialect that torch::jit::Unpickler knows, which is a part of what torch.save
// writes:
//   - OrderedDict() becomes a dict, _rebuild_parameter(tensor, ...) the tuple of its arguments;
//   - an object with attributes (the _metadata of a state dict) becomes the tuple (object, attributes).
// INVALID_ARGUMENT, begun with `where`, with the byte: globals other than those above, _rebuild_tensor_v2 and torch's
// storages; instructions that torch.save does not use for weights; a stack that runs empty; values more than 64 deep, and containers within two others.
absl::StatusOr<std::string> CheckedPickle(std::span<const uint8_t> pickle, const std::string& where);

}  // namespace radlads

#endif  // RADLADS_MODEL_CHECKPOINT_CHECKED_PICKLE_H_
