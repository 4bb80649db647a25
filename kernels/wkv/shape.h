// The shape of a linear-attention recurrence (wkv6, wkv7) and of its tensors, all contiguous:
//   keys    [B,T,H,K]   r/q, log_w, k, a, b
//   values  [B,T,H,V]   v, output
//   state   [B,H,K,V]
//   reset   [B,T]
#ifndef RADLADS_KERNELS_WKV_SHAPE_H_
#define RADLADS_KERNELS_WKV_SHAPE_H_

#include <cstddef>
#include <cstdint>

namespace radlads {

struct WkvShape {
  int64_t batch = 0;
  int64_t time = 0;
  int64_t heads = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;

  constexpr size_t keys() const { return static_cast<size_t>(batch * time * heads * key_dim); }
  constexpr size_t values() const { return static_cast<size_t>(batch * time * heads * value_dim); }
  constexpr size_t states() const { return static_cast<size_t>(batch * heads * key_dim * value_dim); }
  constexpr size_t resets() const { return static_cast<size_t>(batch * time); }
};

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_SHAPE_H_
