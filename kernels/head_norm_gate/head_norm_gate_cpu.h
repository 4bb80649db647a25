// The fused CPU path of HeadNormGate on plain memory; formulas as in head_norm_gate.h.
#ifndef RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_CPU_H_
#define RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_CPU_H_

#include <cstdint>

namespace radlads {

// Contiguous; rows = B*T. Each array is [rows, heads * head_dim] but for weight and bias.
struct HeadNormGateArguments {
  int64_t rows, heads, head_dim;
  const void* o;  // bf16 if o_bf16, else fp32; its gradient too
  bool o_bf16;
  const float *weight, *bias;  // [heads * head_dim]; null: scale instead of norm
  float eps, scale;
  const void* gate;  // bf16 if gate_bf16, else fp32; null: no gate
  bool gate_bf16, gate_sigmoid;
  bool out_bf16;  // dtype of y and dy
};

struct HeadNormGateGradients {
  const void* dy;
  void* d_o;
  float *d_weight, *d_bias;  // null where weight is
  void* d_gate;              // in gate's dtype; null where gate is
};

void HeadNormGateForwardCpu(const HeadNormGateArguments& arguments, void* y);
void HeadNormGateBackwardCpu(const HeadNormGateArguments& arguments, const HeadNormGateGradients& gradients);

}  // namespace radlads

#endif  // RADLADS_KERNELS_HEAD_NORM_GATE_HEAD_NORM_GATE_CPU_H_
