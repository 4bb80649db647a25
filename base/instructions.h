// Which of the processor's vector instructions this process uses: all, unless the environment variable
// RADLADS_INSTRUCTIONS says "avx2" or "avx512" (without VNNI, BF16 and AMX). It is for tests, and for results that are
// equal on machines of different kinds; a processor that has less is not asked for more. It binds our own kernels,
// Highway, and LibTorch's products (ATen, oneDNN, MKL), as every program that links this has it read before main. Any
// other value ends the program with a message.
#ifndef RADLADS_BASE_INSTRUCTIONS_H_
#define RADLADS_BASE_INSTRUCTIONS_H_

namespace radlads {

// AVX-512 F, BW, DQ and VL, with products of bytes (VNNI).
bool HasAvx512Vnni();
// AVX-512 F, BW, DQ and VL, with products of bf16 pairs (BF16).
bool HasAvx512Bf16();

}  // namespace radlads

#endif  // RADLADS_BASE_INSTRUCTIONS_H_
