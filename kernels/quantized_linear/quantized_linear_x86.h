// Kernels with instructions that Highway has no name for. On other processors they are not available.
#ifndef RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_X86_H_
#define RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_X86_H_

#include "kernels/quantized_linear/quantized_linear_cpu.h"

namespace radlads {

// Q8 and Q4 with AVX-512 VNNI: products of unsigned codes and signed bytes of x in fixed point, summed as integers.
//
// 32 inputs of a row are integers times 2^e, e so that the largest takes as many bits as there are: three bytes for
// fp32, two for bf16. A sum over a block is then exact, whatever its order, and one product of vectors multiplies 64
// inputs, so that two bytes cost what pairs of bf16 would, without the conversion of weights.
bool ByteProductsAvailable();
LinearKernel ByteProductKernel(WeightKind kind, bool x_bf16);

// bf16 weights and bf16 x with AVX-512 BF16.
bool Bf16ProductsAvailable();
LinearKernel Bf16ProductKernel();

}  // namespace radlads

#endif  // RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_X86_H_
