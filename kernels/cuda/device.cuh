// What device code is written in: the instructions that a kernel needs beyond C++, by name.
//
// Compiled by nvcc these are the instructions. Compiled by any other C++ compiler they come from
// kernels/testing/cuda_on_cpu.h, which runs blocks, warps, barriers, shuffles, asynchronous copies
// and matrix instructions on the CPU and checks them: every kernel that keeps to this header is
// tested without a GPU.
//
// A kernel is a function of one parameter struct, started by Launch. Blocks are one-dimensional and
// a multiple of 32 threads; every warp-wide function here is called by all 32 lanes of a warp
// together.
//
// Fragments of matrix instructions, with g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix Fragments
// for mma.m16n8k16"):
//   A [16 x 16], row-major: a[0] = (g, 2t..2t+1), a[1] = (g+8, 2t..), a[2] = (g, 2t+8..), a[3] =
//   (g+8, 2t+8..) B [16 x 8]:             b[0] = (2t..2t+1, g), b[1] = (2t+8.., g) C [16 x 8],
//   fp32:       c[0], c[1] = (g, 2t), (g, 2t+1); c[2], c[3] = (g+8, 2t), (g+8, 2t+1)
#ifndef RADLADS_KERNELS_CUDA_DEVICE_CUH_
#define RADLADS_KERNELS_CUDA_DEVICE_CUH_

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/types.h"

#if !defined(__CUDACC__)
#include "kernels/testing/cuda_on_cpu.h"
#else

#include <cuda_runtime.h>

#include <cstring>

namespace radlads::cuda {

__device__ __forceinline__ int ThreadIndex() {
  return threadIdx.x;
}
__device__ __forceinline__ int BlockThreads() {
  return blockDim.x;
}
__device__ __forceinline__ int64_t BlockX() {
  return blockIdx.x;
}
__device__ __forceinline__ int BlockY() {
  return blockIdx.y;
}
// Blocks of the grid in x.
__device__ __forceinline__ int64_t GridX() {
  return gridDim.x;
}
__device__ __forceinline__ int Lane() {
  return threadIdx.x & 31;
}
__device__ __forceinline__ int Warp() {
  return threadIdx.x >> 5;
}
// The same in a way that tells the compiler that all lanes agree, so that loops over it do not
// count as divergent. By all lanes of a warp.
__device__ __forceinline__ int UniformWarp() {
  return __shfl_sync(0xffffffffu, threadIdx.x >> 5, 0);
}

__device__ __forceinline__ void SyncThreads() {
  __syncthreads();
}
// Orders the shared memory accesses of a warp's lanes.
__device__ __forceinline__ void SyncWarp() {
  __syncwarp();
}
__device__ __forceinline__ float ShuffleXor(float x, int mask) {
  return __shfl_xor_sync(0xffffffffu, x, mask);
}
__device__ __forceinline__ float ShuffleFrom(float x, int lane) {
  return __shfl_sync(0xffffffffu, x, lane);
}
__device__ __forceinline__ uint32_t Ballot(bool x) {
  return __ballot_sync(0xffffffffu, x);
}

// 2^x; denormal results are zero.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x within 1 ulp; denormals are zero.
__device__ __forceinline__ float Reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// e^x, ln x and ln(1 + x) in full precision; 1 / sqrt(x) within 2 ulp.
__device__ __forceinline__ float Exp(float x) {
  return expf(x);
}
__device__ __forceinline__ float Log(float x) {
  return logf(x);
}
__device__ __forceinline__ float Log1p(float x) {
  return log1pf(x);
}
__device__ __forceinline__ float Sqrt(float x) {
  return sqrtf(x);
}
__device__ __forceinline__ float InverseSqrt(float x) {
  return rsqrtf(x);
}
// The larger one; of a number and NaN the number.
__device__ __forceinline__ float Max(float x, float y) {
  return fmaxf(x, y);
}
__device__ __forceinline__ float ToFloat(Bf16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}
__device__ __forceinline__ Bf16 ToBf16(float x) {
  Bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
// Two numbers rounded to nearest even, `low` in the lower half.
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
// Bits set; the place of the highest one (-1 for none).
__device__ __forceinline__ int PopulationCount(uint32_t x) {
  return __popc(x);
}
__device__ __forceinline__ int HighestBit(uint32_t x) {
  return 31 - __clz(x);
}

// c += a b
__device__ __forceinline__ void Mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
// Four 8 x 8 matrices of bf16 in shared memory: lane 8i + r gives the address of row r of matrix i,
// 16-byte aligned; x[i] is (row g, columns 2t..2t+1) of matrix i.
__device__ __forceinline__ void LoadMatrices(uint32_t (&x)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(SharedAddress(row)));
}
// The same with each matrix transposed: x[i] is (rows 2t..2t+1, column g).
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&x)[4], const Bf16* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(SharedAddress(row)));
}

// Starts copying 16 bytes from global to shared memory, both 16-byte aligned; zeros where not
// `valid` (`from` is then not read).
__device__ __forceinline__ void CopyAsync16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits for all of this thread's copies but those of the `kPending` newest groups.
template <int kPending>
__device__ __forceinline__ void WaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// 16 bytes of global memory, aligned, as elements.
template <typename T>
__device__ __forceinline__ void LoadGlobal16(T (&x)[16 / sizeof(T)], const T* from) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  memcpy(x, &bits, 16);
}
template <typename T>
__device__ __forceinline__ void StoreGlobal16(T* to, const T (&x)[16 / sizeof(T)]) {
  uint4 bits;
  memcpy(&bits, x, 16);
  *reinterpret_cast<uint4*>(to) = bits;
}

// Shared memory, element by element.
template <typename T>
__device__ __forceinline__ T LoadShared(const T* p) {
  return *p;
}
template <typename T>
__device__ __forceinline__ void StoreShared(T* p, T x) {
  *p = x;
}
// The block's dynamic shared memory, 128-byte aligned.
__device__ __forceinline__ uint8_t* SharedMemory() {
  extern __shared__ __align__(128) uint8_t radlads_shared_memory[];
  return radlads_shared_memory;
}

// Starts `kernel` on grid_x * grid_y blocks. Returns what CUDA says of the launch; nothing is
// waited for.
template <typename Parameters>
Error Launch(void (*kernel)(Parameters), int64_t grid_x, int grid_y, int threads, size_t shared_bytes, Stream stream,
             const Parameters& parameters) {
  if (grid_x == 0 || grid_y == 0) return cudaSuccess;
  if (shared_bytes > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  const void* arguments[] = {&parameters};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(grid_x), grid_y), threads,
                          const_cast<void**>(arguments), shared_bytes, stream);
}

}  // namespace radlads::cuda

#endif  // __CUDACC__
#endif  // RADLADS_KERNELS_CUDA_DEVICE_CUH_
