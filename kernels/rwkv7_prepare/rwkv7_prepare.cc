#include "kernels/rwkv7_prepare/rwkv7_prepare.h"

#include "base/status.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_reference.h"

namespace radlads {
namespace {

void CheckArguments(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                    const at::Tensor& sin, bool balance_state) {
  RADLADS_CHECK(logits.q.dim() == 4) << "Rwkv7Prepare: q must be [B,T,H,D], got " << logits.q.sizes();
  const int64_t B = logits.q.size(0), T = logits.q.size(1), H = logits.q.size(2), D = logits.q.size(3);
  RADLADS_CHECK(logits.k.dim() == 4 && logits.k.size(0) == B && logits.k.size(1) == T && logits.k.size(3) == D &&
                logits.k.size(2) > 0 && H % logits.k.size(2) == 0 && logits.v.sizes() == logits.k.sizes())
      << "Rwkv7Prepare: q " << logits.q.sizes() << " needs k and v [B,T,KV,D] with KV a divisor of H, got k "
      << logits.k.sizes() << " and v " << logits.v.sizes();
  auto check_logit = [&](const char* name, const at::Tensor& x) {
    RADLADS_CHECK(x.dim() == 3 && x.size(0) == B && x.size(1) == T && x.size(2) == H * D)
        << "Rwkv7Prepare: q " << logits.q.sizes() << " needs " << name << " [B,T,H*D], got " << x.sizes();
  };
  check_logit("w", logits.w);
  check_logit("a", logits.a);
  RADLADS_CHECK(logits.v_mix.defined() == logits.v_first.defined())
      << "Rwkv7Prepare: v_mix and v_first must both be defined (layers above 0) or both undefined (layer 0)";
  if (logits.v_mix.defined()) {
    check_logit("v_mix", logits.v_mix);
    RADLADS_CHECK(logits.v_first.sizes() == logits.q.sizes())
        << "Rwkv7Prepare: v_first must be shaped as q " << logits.q.sizes() << ", got " << logits.v_first.sizes();
  }
  auto check_parameter = [&](const char* name, const at::Tensor& x) {
    RADLADS_CHECK(x.defined() && x.numel() == H * D) << "Rwkv7Prepare: " << name << " must have " << H * D << " elements";
  };
  check_parameter("w0", parameters.w0);
  check_parameter("a0", parameters.a0);
  if (logits.v_mix.defined()) check_parameter("v0", parameters.v0);
  if (!balance_state) {
    check_parameter("k_k", parameters.k_k);
    check_parameter("k_a", parameters.k_a);
  }
  RADLADS_CHECK(cos.defined() == sin.defined()) << "Rwkv7Prepare: cos and sin must both be defined or both undefined";
  if (cos.defined()) {
    RADLADS_CHECK(D % 2 == 0 && (cos.dim() == 2 || (cos.dim() == 3 && cos.size(0) == B)) && cos.size(-2) == T &&
                  cos.size(-1) == D && sin.sizes() == cos.sizes())
        << "Rwkv7Prepare: q " << logits.q.sizes() << " needs tables [T,D] or [B,T,D], got cos " << cos.sizes()
        << " and sin " << sin.sizes();
  }
}

}  // namespace

Rwkv7Operands Rwkv7Prepare(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                           const at::Tensor& sin, bool balance_state) {
  CheckArguments(logits, parameters, cos, sin, balance_state);
  return Rwkv7PrepareReference(logits, parameters, cos, sin, balance_state);
}

}  // namespace radlads
