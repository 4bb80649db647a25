// The fused CPU path of TokenShift on plain memory; formulas as in token_shift.h. Arrays are contiguous.
#ifndef RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_CPU_H_
#define RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_CPU_H_

#include <cstdint>

namespace radlads {

// x, amounts, the results and their gradients are bf16 where the flag says so, else fp32.
struct TokenShiftArguments {
  int64_t batch, time, width, mixes;
  const void* x;          // [batch, time, width]
  const float* previous;  // [batch, width]; nullptr: 0
  const bool* reset;      // [batch, time]; nullptr: false
  const float* maa;       // [mixes, width]
  const void* amounts;    // [mixes, batch, time, width]; nullptr: 0
  bool bf16;
};

struct TokenShiftGradients {
  const void* const* dy;  // `mixes` arrays [batch, time, width]; nullptr for one that is 0
  void* dx;               // what follows has the shapes of the arguments
  float* d_previous;      // written where not nullptr
  float* d_maa;
  void* d_amounts;  // written where not nullptr
};

// y: `mixes` arrays [batch, time, width].
void TokenShiftForwardCpu(const TokenShiftArguments& arguments, void* const* y);
void TokenShiftBackwardCpu(const TokenShiftArguments& arguments, const TokenShiftGradients& gradients);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TOKEN_SHIFT_TOKEN_SHIFT_CPU_H_
