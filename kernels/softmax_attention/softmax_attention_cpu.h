// The fused CPU paths of CausalSoftmaxAttention on plain memory; formulas as in softmax_attention.h.
#ifndef RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_CPU_H_
#define RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_CPU_H_

#include <cstdint>

namespace radlads {

// An array [batch, time, heads, head_dim] whose last dimension is contiguous; strides in elements.
struct AttentionOperand {
  const void* data;
  int64_t batch_stride, time_stride, head_stride;
};

struct SoftmaxAttentionArguments {
  int64_t batch, time, keys, heads, kv_heads, head_dim;
  AttentionOperand q, k, v;  // k and v: `keys` in time, `kv_heads` heads
  const int64_t* first;      // [batch, time]; nullptr: 0
  float scale;
  bool bf16;  // q, k, v and y; else fp32
  // [batch]: how many of the `keys` a sequence has, from time to keys; nullptr: all.
  const int64_t* lengths = nullptr;

  int64_t length(int64_t b) const { return lengths == nullptr ? keys : lengths[b]; }
};

// All write y [batch, time, heads, head_dim], contiguous. `first` must be within its bounds.

// By the faster of the two below that can.
void SoftmaxAttentionCpu(const SoftmaxAttentionArguments& arguments, void* y);

// Reads keys and values where they are, once for every 128 queries of a group's heads. What a query gives has the same
// bits whatever the other queries, rows and keys beyond those that it sees.
void SoftmaxAttentionRowsCpu(const SoftmaxAttentionArguments& arguments, void* y);

// Packs keys and values for vdpbf16ps: for many queries, bf16 only, without `lengths`, and only where the processor has
// AVX-512 BF16.
// `workspace` has the size in bytes that the second function gives.
bool SoftmaxAttentionBf16Supported();
int64_t SoftmaxAttentionBf16WorkspaceSize(const SoftmaxAttentionArguments& arguments);
void SoftmaxAttentionBf16Cpu(const SoftmaxAttentionArguments& arguments, void* workspace, void* y);

}  // namespace radlads

#endif  // RADLADS_KERNELS_SOFTMAX_ATTENTION_SOFTMAX_ATTENTION_CPU_H_
