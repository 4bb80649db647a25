#include "kernels/swiglu/swiglu_reference.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {

at::Tensor SwiGluReference(const at::Tensor& gate, const at::Tensor& up) {
  const at::ScalarType type = ArithmeticType({gate, up});
  const at::Tensor wide = gate.to(type);
  return (wide * at::sigmoid(wide) * up.to(type)).to(gate.scalar_type());
}

}  // namespace radlads
