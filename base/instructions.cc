#include "base/instructions.h"

#include <hwy/highway.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace radlads {
namespace {

// What Highway has above AVX-512 as Skylake knows it: VNNI, BF16, FP16, AMX.
int64_t BeyondAvx512() {
  int64_t targets = 0;
#ifdef HWY_AVX3_DL
  targets |= HWY_AVX3_DL;
#endif
#ifdef HWY_AVX3_ZEN4
  targets |= HWY_AVX3_ZEN4;
#endif
#ifdef HWY_AVX3_SPR
  targets |= HWY_AVX3_SPR;
#endif
  return targets;
}

// Returns whether the extensions of AVX-512 may be used.
bool Restrict() {
  const char* asked = std::getenv("RADLADS_INSTRUCTIONS");
  const std::string_view instructions = asked == nullptr ? "" : asked;
  if (instructions.empty()) return true;
  const bool avx2 = instructions == "avx2";
  if (!avx2 && instructions != "avx512") {
    std::fprintf(stderr, "RADLADS_INSTRUCTIONS is \"%s\", expected avx2 or avx512 (unset: all)\n", asked);
    std::exit(1);
  }
  hwy::DisableTargets(avx2 ? BeyondAvx512() | HWY_AVX3 : BeyondAvx512());
  // What somebody has set is left as it is.
  setenv("ATEN_CPU_CAPABILITY", avx2 ? "avx2" : "avx512", 0);
  setenv("ONEDNN_MAX_CPU_ISA", avx2 ? "AVX2" : "AVX512_CORE", 0);
  setenv("MKL_ENABLE_INSTRUCTIONS", avx2 ? "AVX2" : "AVX512", 0);
  return false;
}

const bool all_instructions = Restrict();

#if HWY_ARCH_X86
bool HasAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

}  // namespace

bool HasAvx512Vnni() {
#if HWY_ARCH_X86
  return all_instructions && HasAvx512() && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

bool HasAvx512Bf16() {
#if HWY_ARCH_X86
  return all_instructions && HasAvx512() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace radlads
