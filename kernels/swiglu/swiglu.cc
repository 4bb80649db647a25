#include "kernels/swiglu/swiglu.h"

#include "base/status.h"
#include "kernels/swiglu/swiglu_reference.h"

namespace radlads {

at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up) {
  RADLADS_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type())
      << "SwiGlu: gate is " << gate.sizes() << " " << gate.scalar_type() << ", up is " << up.sizes() << " "
      << up.scalar_type() << "; they must be alike";
  return SwiGluReference(gate, up);
}

}  // namespace radlads
