#include "model/channel_mixers/swiglu_mlp.h"

#include "kernels/swiglu/swiglu.h"

namespace radlads {

SwiGluMlp::SwiGluMlp(const ModelSizes& sizes) {
  gate_proj_ = register_module("gate_proj", std::make_shared<Linear>(sizes.width, sizes.feed_forward, false));
  up_proj_ = register_module("up_proj", std::make_shared<Linear>(sizes.width, sizes.feed_forward, false));
  down_proj_ = register_module("down_proj", std::make_shared<Linear>(sizes.feed_forward, sizes.width, false));
}

Tensor SwiGluMlp::Forward(const Tensor& x) {
  return down_proj_->Forward(SwiGlu(gate_proj_->Forward(x), up_proj_->Forward(x)));
}

}  // namespace radlads
