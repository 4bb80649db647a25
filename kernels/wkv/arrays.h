// The arrays of a linear-attention recurrence in memory of one element type; wkv7.h has the mathematics. wkv6 is the
// recurrence without the delta term: `a` and `b` are empty. Shapes are those of shape.h.
#ifndef RADLADS_KERNELS_WKV_ARRAYS_H_
#define RADLADS_KERNELS_WKV_ARRAYS_H_

#include <cstdint>
#include <span>

#include "kernels/wkv/shape.h"

namespace radlads {

template <typename T>
struct WkvInputs {
  std::span<const T> r, log_w, k;  // [B,T,H,K]
  std::span<const T> v;            // [B,T,H,V]
  std::span<const T> a, b;         // [B,T,H,K]; empty for wkv6
  double scale;
  std::span<const T> initial_state;  // [B,H,K,V]; empty: zero
  std::span<const uint8_t> reset;    // [B,T]; empty: nowhere
};

template <typename T>
struct WkvOutputs {
  std::span<T> output;       // [B,T,H,V]
  std::span<T> final_state;  // [B,H,K,V]
};

// dL/d(output), dL/d(final_state); empty: zero.
template <typename T>
struct WkvOutputGradients {
  std::span<const T> output;       // [B,T,H,V]
  std::span<const T> final_state;  // [B,H,K,V]
};

// Overwritten, not added to.
template <typename T>
struct WkvGradients {
  std::span<T> r, log_w, k;    // [B,T,H,K]
  std::span<T> v;              // [B,T,H,V]
  std::span<T> a, b;           // [B,T,H,K]; empty for wkv6
  std::span<T> initial_state;  // [B,H,K,V]; empty: not wanted
};

}  // namespace radlads

#endif  // RADLADS_KERNELS_WKV_ARRAYS_H_
