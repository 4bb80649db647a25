// The float recurrence on spans, for wkv6.h and wkv7.h, which have the contract. A span of a wrong size aborts with
// the name `op`.
#ifndef RADLADS_KERNELS_WKV_ARRAYS_CPU_H_
#define RADLADS_KERNELS_WKV_ARRAYS_CPU_H_

#include <span>

#include "kernels/wkv/arrays.h"

namespace radlads {

void WkvForward(const char* op, const WkvShape& shape, const WkvInputs<float>& in, const WkvOutputs<float>& out,
                std::span<float> checkpoints);

void WkvBackward(const char* op, const WkvShape& shape, const WkvInputs<float>& in, std::span<const float> checkpoints,
                 const WkvOutputGradients<float>& d_out, const WkvGradients<float>& d_in);

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_ARRAYS_CPU_H_
