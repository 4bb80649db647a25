// The rotation of one head of one token, for the kernels that contain it.
#if defined(RADLADS_KERNELS_ROPE_ROTATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RADLADS_KERNELS_ROPE_ROTATION_INL_H_
#undef RADLADS_KERNELS_ROPE_ROTATION_INL_H_
#else
#define RADLADS_KERNELS_ROPE_ROTATION_INL_H_
#endif

#include <cstddef>

#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {

// y [D] = x [D] * cos + rotate_half(x) * sin, as in rope.h; a copy if cos and sin are null. x may be y.
template <class X, class Y>
void Rotate(const X* x, const float* cos, const float* sin, size_t head_dim, Y* y) {
  if (cos == nullptr) {
    ForEachVector(head_dim, [&](size_t i, auto size) HWY_ATTR { Store(Load(x + i, size), y + i, size); });
    return;
  }
  const size_t half = head_dim / 2;
  ForEachVector(half, [&](size_t i, auto size) HWY_ATTR {
    const auto low = Load(x + i, size), high = Load(x + half + i, size);
    const auto y_low = hn::NegMulAdd(high, Load(sin + i, size), hn::Mul(low, Load(cos + i, size)));
    const auto y_high = hn::MulAdd(low, Load(sin + half + i, size), hn::Mul(high, Load(cos + half + i, size)));
    Store(y_low, y + i, size);
    Store(y_high, y + half + i, size);
  });
}

// dx [D]: the transpose of the rotation applied to dy [D], which is its gradient.
template <class Y, class X>
void RotateBack(const Y* dy, const float* cos, const float* sin, size_t head_dim, X* dx) {
  if (cos == nullptr) {
    ForEachVector(head_dim, [&](size_t i, auto size) HWY_ATTR { Store(Load(dy + i, size), dx + i, size); });
    return;
  }
  const size_t half = head_dim / 2;
  ForEachVector(half, [&](size_t i, auto size) HWY_ATTR {
    const auto low = Load(dy + i, size), high = Load(dy + half + i, size);
    const auto dx_low = hn::MulAdd(high, Load(sin + half + i, size), hn::Mul(low, Load(cos + i, size)));
    const auto dx_high = hn::NegMulAdd(low, Load(sin + i, size), hn::Mul(high, Load(cos + half + i, size)));
    Store(dx_low, dx + i, size);
    Store(dx_high, dx + half + i, size);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#endif  // RADLADS_KERNELS_ROPE_ROTATION_INL_H_
