#include "model/precision.h"

#include "base/instructions.h"
#include "base/status.h"

namespace radlads {

absl::StatusOr<Precision> ChoosePrecision(const std::string& precision) {
  if (precision == "fp32") return Precision{at::kFloat, "asked for"};
  if (precision == "bf16") return Precision{at::kBFloat16, "asked for"};
  if (precision != "auto") return InvalidArgument("precision is '", precision, "', expected auto, bf16 or fp32");
  if (HasAvx512Bf16()) return Precision{at::kBFloat16, "this processor multiplies bf16 (AVX-512 BF16)"};
  return Precision{at::kFloat, "this processor does not multiply bf16"};
}

}  // namespace radlads
