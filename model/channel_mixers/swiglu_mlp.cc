#include "model/channel_mixers/swiglu_mlp.h"

#include "base/parallel_for.h"
#include "kernels/swiglu/swiglu.h"
#include "kernels/swiglu/swiglu_cpu.h"

namespace radlads {

SwiGluMlp::SwiGluMlp(const ModelSizes& sizes) {
  gate_proj_ = register_module("gate_proj", std::make_shared<Linear>(sizes.width, sizes.feed_forward, false));
  up_proj_ = register_module("up_proj", std::make_shared<Linear>(sizes.width, sizes.feed_forward, false));
  down_proj_ = register_module("down_proj", std::make_shared<Linear>(sizes.feed_forward, sizes.width, false));
}

Tensor SwiGluMlp::Forward(const Tensor& x) {
  return down_proj_->Forward(SwiGlu(gate_proj_->Forward(x), up_proj_->Forward(x)));
}

void SwiGluMlp::Infer(const InferencePass& pass, const void* x, float* residual) const {
  const int64_t width = down_proj_->matrix().in();
  const SharedMemory gate(pass.Bytes(width)), up(pass.Bytes(width));
  const LinearProduct in[] = {gate_proj_->Product(pass, x, gate.data()), up_proj_->Product(pass, x, up.data())};
  QuantizedLinears(in, pass.rows(), pass.bf16);
  SwiGluForwardCpu(pass.rows() * width, pass.bf16, gate.data(), up.data(), gate.data());
  const LinearProduct out[] = {down_proj_->Addition(gate.data(), residual)};
  QuantizedLinears(out, pass.rows(), pass.bf16);
}

}  // namespace radlads
