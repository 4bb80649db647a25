// What the SIMD kernels share on top of Highway: fp32 vectors from and to fp32 or bf16 memory, whole and partial;
// exp and sigmoid that pass NaN on; sums over lanes.
//
// Included once per Highway target, inside and outside of foreach_target.h, hence the toggling guard.
#if defined(RADLADS_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RADLADS_KERNELS_SIMD_INL_H_
#undef RADLADS_KERNELS_SIMD_INL_H_
#else
#define RADLADS_KERNELS_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

// Before a loop over an array of vectors: GCC keeps the array in registers only where it unrolls such loops early.
#ifndef RADLADS_UNROLL
#define RADLADS_UNROLL _Pragma("GCC unroll 16")
#endif

HWY_BEFORE_NAMESPACE();
namespace radlads {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatV = hn::Vec<Floats>;

HWY_INLINE FloatV Splat(float x) {
  return hn::Set(Floats(), x);
}

// How much of a vector a step of ForEachVector covers.
struct Whole {};
struct Part {
  size_t count;
};

// Calls f(offset, Whole()) for each whole vector of `count` floats and f(offset, Part{rest}) for what is left.
template <class F>
HWY_INLINE void ForEachVector(size_t count, const F& f) {
  const size_t lanes = hn::Lanes(Floats());
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) f(i, Whole());
  if (i < count) f(i, Part{count - i});
}

HWY_INLINE FloatV Load(const float* p, Whole) {
  return hn::LoadU(Floats(), p);
}
HWY_INLINE void Store(FloatV v, float* p, Whole) {
  hn::StoreU(v, Floats(), p);
}

HWY_INLINE FloatV Load(const hwy::bfloat16_t* p, Whole) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> d32;
  const hn::Rebind<uint16_t, Floats> d16;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

// The upper halves of the lanes after rounding to nearest, ties to even; NaN stays NaN. The lower halves are garbage.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<Floats>> Bf16Bits(FloatV v) {
  const hn::RebindToUnsigned<Floats> d32;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(d32, 0x7FFF)), odd);
  const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000));
  return hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(v)), quiet, rounded);
}

HWY_INLINE void Store(FloatV v, hwy::bfloat16_t* p, Whole) {
  const hn::Rebind<uint16_t, Floats> d16;
  hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(Bf16Bits(v))), d16, reinterpret_cast<uint16_t*>(p));
}

// v as it would be read back after a store to an element of the type of `type`.
HWY_INLINE FloatV RoundAs(FloatV v, float) {
  return v;
}
HWY_INLINE FloatV RoundAs(FloatV v, hwy::bfloat16_t) {
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::ShiftRight<16>(Bf16Bits(v))));
}

// Lanes beyond the part read as 0.
template <class T>
HWY_INLINE FloatV Load(const T* p, Part part) {
  HWY_ALIGN T buffer[hn::MaxLanes(Floats())] = {};
  std::memcpy(buffer, p, part.count * sizeof(T));
  return Load(buffer, Whole());
}

template <class T>
HWY_INLINE void Store(FloatV v, T* p, Part part) {
  HWY_ALIGN T buffer[hn::MaxLanes(Floats())];
  Store(v, buffer, Whole());
  std::memcpy(p, buffer, part.count * sizeof(T));
}

// v with the lanes beyond the part set to 0.
HWY_INLINE FloatV ZeroBeyond(FloatV v, Whole) {
  return v;
}
HWY_INLINE FloatV ZeroBeyond(FloatV v, Part part) {
  return hn::IfThenElseZero(hn::FirstN(Floats(), part.count), v);
}

// p[...] += v.
template <class S>
HWY_INLINE void Accumulate(FloatV v, float* p, S size) {
  Store(hn::Add(Load(p, size), v), p, size);
}

// Calls f(float()) or f(hwy::bfloat16_t()), for bodies that take the element type from their argument.
template <class F>
HWY_INLINE void WithElementType(bool bf16, const F& f) {
  if (bf16) {
    f(hwy::bfloat16_t());
  } else {
    f(0.0f);
  }
}

HWY_INLINE float Sum(FloatV v) {
  return hn::GetLane(hn::SumOfLanes(Floats(), v));
}

// e^x within 2 ulp, x clamped to [-87, 88] so that the result is a normal number; NaN for NaN.
// Polynomial of Cephes (Moshier), after reduction to |r| <= ln(2)/2 in two steps.
HWY_INLINE FloatV Exp(FloatV x) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto clamped = hn::Min(hn::Max(x, Splat(-87.0f)), Splat(88.0f));
  const auto n = hn::Round(hn::Mul(clamped, Splat(1.44269504088896341f)));
  auto r = hn::NegMulAdd(n, Splat(0.693359375f), clamped);
  r = hn::NegMulAdd(n, Splat(-2.12194440e-4f), r);
  auto p = hn::MulAdd(Splat(1.9875691500e-4f), r, Splat(1.3981999507e-3f));
  p = hn::MulAdd(p, r, Splat(8.3334519073e-3f));
  p = hn::MulAdd(p, r, Splat(4.1665795894e-2f));
  p = hn::MulAdd(p, r, Splat(1.6666665459e-1f));
  p = hn::MulAdd(p, r, Splat(5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), Splat(1.0f));
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  const auto y = hn::Mul(p, hn::BitCast(d, power));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

HWY_INLINE FloatV Sigmoid(FloatV x) {
  const auto one = Splat(1.0f);
  return hn::Div(one, hn::Add(one, Exp(hn::Neg(x))));
}

// Within 2 ulp; a polynomial of Cephes' tanhf near 0, where 1 - e^-2|x| would cancel.
HWY_INLINE FloatV Tanh(FloatV x) {
  const auto one = Splat(1.0f), size = hn::Abs(x), square = hn::Mul(x, x);
  auto p = hn::MulAdd(Splat(-5.70498872745e-3f), square, Splat(2.06390887954e-2f));
  p = hn::MulAdd(p, square, Splat(-5.37397155531e-2f));
  p = hn::MulAdd(p, square, Splat(1.33314422036e-1f));
  p = hn::MulAdd(p, square, Splat(-3.33332819422e-1f));
  const auto near = hn::MulAdd(hn::Mul(p, square), x, x);
  const auto power = Exp(hn::Mul(Splat(-2.0f), size));
  const auto far = hn::CopySign(hn::Div(hn::Sub(one, power), hn::Add(one, power)), x);
  return hn::IfThenElse(hn::Lt(size, Splat(0.625f)), near, far);
}

}  // namespace HWY_NAMESPACE
}  // namespace radlads
HWY_AFTER_NAMESPACE();

#endif  // RADLADS_KERNELS_SIMD_INL_H_
