// The rotation of one head of one token, for the kernels that contain it.
#ifndef RADLADS_KERNELS_ROPE_ROTATION_CUH_
#define RADLADS_KERNELS_ROPE_ROTATION_CUH_

#include "kernels/cuda/rows.cuh"

namespace radlads::cuda {

// The place in a head [2 * half] that is rotated together with i.
__device__ __forceinline__ int RotationPartner(int i, int half) {
  return i < half ? i + half : i - half;
}

// The pack at i of the rotation of x, from the packs of x at i and at its partner, as in rope.h; `cos` and `sin`
// [2 * half] are the token's.
template <int kPack>
__device__ __forceinline__ Pack<kPack> Rotate(const Pack<kPack>& x, const Pack<kPack>& partner, const float* cos,
                                              const float* sin, int i, int half) {
  const Pack<kPack> c = Load<kPack>(cos + i), s = Load<kPack>(sin + i);
  Pack<kPack> y;
  for (int e = 0; e < kPack; ++e) y[e] = x[e] * c[e] + (i < half ? -partner[e] : partner[e]) * s[e];
  return y;
}
// The pack at i of the gradient of x from those of y: the rotation's transpose.
template <int kPack>
__device__ __forceinline__ Pack<kPack> RotateBack(const Pack<kPack>& dy, const Pack<kPack>& partner, const float* cos,
                                                  const float* sin, int i, int half) {
  const Pack<kPack> c = Load<kPack>(cos + i), s = Load<kPack>(sin + RotationPartner(i, half));
  Pack<kPack> dx;
  for (int e = 0; e < kPack; ++e) dx[e] = dy[e] * c[e] + (i < half ? partner[e] : -partner[e]) * s[e];
  return dx;
}

}  // namespace radlads::cuda

#endif  // RADLADS_KERNELS_ROPE_ROTATION_CUH_
