#include "kernels/rwkv7_prepare/rwkv7_prepare.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "base/status.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_cuda.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_kernels.h"
#include "kernels/rwkv7_prepare/rwkv7_prepare_reference.h"
#include "kernels/tensor_arguments.h"

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
    RADLADS_CHECK(x.defined() && x.numel() == H * D)
        << "Rwkv7Prepare: " << name << " must have " << H * D << " elements";
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

const float* FloatData(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}
const void* Data(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr() : nullptr;
}

// The arguments as contiguous memory in the fused path's dtypes, alive as long as this object. q may be undefined:
// the backward pass does not read it.
class FusedArguments {
 public:
  FusedArguments(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                 const at::Tensor& sin, bool balance_state, at::ScalarType output_type) {
    const at::ScalarType type = logits.k.scalar_type();
    const int64_t head_dim = logits.k.size(3);
    const bool rotates = cos.defined(), mixes = logits.v_mix.defined();
    view_ = {.batch = logits.k.size(0),
             .time = logits.k.size(1),
             .heads = logits.w.size(2) / head_dim,
             .kv_heads = logits.k.size(2),
             .head_dim = head_dim,
             .bf16 = type == at::kBFloat16,
             .results_bf16 = output_type == at::kBFloat16,
             .balance_state = balance_state,
             .q = Data(Keep(logits.q, type)),
             .k = Data(Keep(logits.k, type)),
             .v = Data(Keep(logits.v, type)),
             .w = Data(Keep(logits.w, type)),
             .a = Data(Keep(logits.a, type)),
             .v_mix = Data(Keep(logits.v_mix, type)),
             .v_first = Data(Keep(logits.v_first, output_type)),
             .cos = FloatData(Keep(cos, at::kFloat)),
             .sin = FloatData(Keep(sin, at::kFloat)),
             .tables_per_batch = rotates && cos.dim() == 3,
             .w0 = FloatData(Keep(parameters.w0, at::kFloat)),
             .a0 = FloatData(Keep(parameters.a0, at::kFloat)),
             .v0 = FloatData(Keep(mixes ? parameters.v0 : at::Tensor(), at::kFloat)),
             .k_k = FloatData(Keep(balance_state ? at::Tensor() : parameters.k_k, at::kFloat)),
             .k_a = FloatData(Keep(balance_state ? at::Tensor() : parameters.k_a, at::kFloat))};
  }
  const Rwkv7PrepareArguments& view() const { return view_; }

 private:
  at::Tensor Keep(const at::Tensor& x, at::ScalarType type) {
    if (!x.defined()) return x;
    kept_.push_back(x.detach().to(type).contiguous());
    return kept_.back();
  }
  std::vector<at::Tensor> kept_;
  Rwkv7PrepareArguments view_;
};

using TensorVector = torch::autograd::variable_list;

TensorVector FusedForward(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                          const at::Tensor& sin, bool balance_state, at::ScalarType output_type) {
  const FusedArguments arguments(logits, parameters, cos, sin, balance_state, output_type);
  TensorVector y;
  for (int i = 0; i < 6; ++i) {
    const at::ScalarType type = i == 1 ? at::kFloat : output_type;
    y.push_back(at::empty(logits.q.sizes(), logits.q.options().dtype(type)));
  }
  auto data = [&](int i) { return y[i].mutable_data_ptr(); };
  rwkv7_prepare_forward(logits.q.device(), arguments.view(),
                        {.r = data(0),
                         .k = data(2),
                         .v = data(3),
                         .a = data(4),
                         .b = data(5),
                         .log_w = y[1].mutable_data_ptr<float>()});
  return y;
}

class FusedRwkv7Prepare : public torch::autograd::Function<FusedRwkv7Prepare> {
 public:
  using Maybe = std::optional<at::Tensor>;

  static TensorVector forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                              const at::Tensor& v, const at::Tensor& w, const at::Tensor& a, const Maybe& v_mix,
                              const Maybe& v_first, const at::Tensor& w0, const at::Tensor& a0, const Maybe& v0,
                              const Maybe& k_k, const Maybe& k_a, const Maybe& cos, const Maybe& sin,
                              bool balance_state, at::ScalarType output_type) {
    const Rwkv7Logits logits = {q, k, v, w, a, OrUndefined(v_mix), OrUndefined(v_first)};
    const Rwkv7Parameters parameters = {w0, a0, OrUndefined(v0), OrUndefined(k_k), OrUndefined(k_a)};
    context->save_for_backward({at::Tensor(), k, v, w, a, logits.v_mix, logits.v_first, w0, a0, parameters.v0,
                                parameters.k_k, parameters.k_a, OrUndefined(cos), OrUndefined(sin)});
    context->saved_data["balance_state"] = balance_state;
    return FusedForward(logits, parameters, OrUndefined(cos), OrUndefined(sin), balance_state, output_type);
  }

  static TensorVector backward(torch::autograd::AutogradContext* context, TensorVector gradients) {
    CheckFirstDerivative("Rwkv7Prepare");
    const TensorVector saved = context->get_saved_variables();
    const Rwkv7Logits logits = {saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]};
    const Rwkv7Parameters parameters = {saved[7], saved[8], saved[9], saved[10], saved[11]};
    const FusedArguments arguments(logits, parameters, saved[12], saved[13],
                                   context->saved_data["balance_state"].toBool(), gradients[0].scalar_type());
    for (at::Tensor& gradient : gradients) gradient = gradient.contiguous();

    TensorVector result(16);  // one per argument of forward
    result[0] = at::empty(gradients[0].sizes(), logits.k.options());
    for (int i = 1; i < 6; ++i) {
      if (saved[i].defined()) result[i] = at::empty(saved[i].sizes(), logits.k.options());
    }
    if (saved[6].defined()) result[6] = at::empty(saved[6].sizes(), gradients[0].options());
    const at::Tensor sums = at::empty({5, saved[7].numel()}, logits.k.options().dtype(at::kFloat));
    auto in = [&](int i) { return gradients[i].const_data_ptr(); };
    auto out = [&](int i) { return result[i].defined() ? result[i].mutable_data_ptr() : nullptr; };
    auto sum = [&](int i) { return sums.mutable_data_ptr<float>() + i * saved[7].numel(); };
    rwkv7_prepare_backward(sums.device(), arguments.view(),
                           {.r = in(0),
                            .k = in(2),
                            .v = in(3),
                            .a = in(4),
                            .b = in(5),
                            .log_w = gradients[1].const_data_ptr<float>(),
                            .dq = out(0),
                            .dk = out(1),
                            .dv = out(2),
                            .dw = out(3),
                            .da = out(4),
                            .dv_mix = out(5),
                            .dv_first = out(6),
                            .dw0 = sum(0),
                            .da0 = sum(1),
                            .dv0 = sum(2),
                            .dk_k = sum(3),
                            .dk_a = sum(4)});
    if (saved[6].defined()) result[6] = result[6].to(saved[6].scalar_type());
    for (int i = 0; i < 5; ++i) {
      const at::Tensor& parameter = saved[7 + i];
      if (parameter.defined() && parameter.requires_grad()) {
        result[7 + i] = sums.select(0, i).to(parameter.scalar_type()).view(parameter.sizes());
      }
    }
    return result;
  }
};

}  // namespace

Rwkv7Operands Rwkv7Prepare(const Rwkv7Logits& logits, const Rwkv7Parameters& parameters, const at::Tensor& cos,
                           const at::Tensor& sin, bool balance_state, std::optional<at::ScalarType> output_type) {
  CheckArguments(logits, parameters, cos, sin, balance_state);
  const Rwkv7Logits& l = logits;
  const Rwkv7Parameters& p = parameters;
  const bool alike = l.k.scalar_type() == l.q.scalar_type() && l.v.scalar_type() == l.q.scalar_type() &&
                     l.w.scalar_type() == l.q.scalar_type() && l.a.scalar_type() == l.q.scalar_type() &&
                     (!l.v_mix.defined() || l.v_mix.scalar_type() == l.q.scalar_type());
  RADLADS_CHECK(alike) << "Rwkv7Prepare: logits must have one dtype; q is " << l.q.scalar_type() << ", k "
                       << l.k.scalar_type() << ", v " << l.v.scalar_type() << ", w " << l.w.scalar_type() << ", a "
                       << l.a.scalar_type();
  const at::ScalarType type = output_type.value_or(at::kFloat);
  const bool fits = l.q.is_cpu() || l.q.size(3) <= cuda::kRwkv7PrepareMaxHeadDim;
  const bool stores = type == at::kFloat || type == at::kBFloat16;
  if (!fits || !stores ||
      !rwkv7_prepare_forward.Takes(
          {l.q, l.k, l.v, l.w, l.a, l.v_mix, l.v_first, p.w0, p.a0, p.v0, p.k_k, p.k_a, cos, sin})) {
    return Rwkv7PrepareReference(logits, parameters, cos, sin, balance_state, output_type);
  }
  TensorVector y;
  if (RecordsGradient({l.q, l.k, l.v, l.w, l.a, l.v_mix, l.v_first, p.w0, p.a0, p.v0, p.k_k, p.k_a})) {
    y = FusedRwkv7Prepare::apply(l.q, l.k, l.v, l.w, l.a, Optional(l.v_mix), Optional(l.v_first), p.w0, p.a0,
                                 Optional(p.v0), Optional(p.k_k), Optional(p.k_a), Optional(cos), Optional(sin),
                                 balance_state, type);
  } else {
    y = FusedForward(logits, parameters, cos, sin, balance_state, type);
  }
  return {y[0], y[1], y[2], y[3], y[4], y[5]};
}

}  // namespace radlads
