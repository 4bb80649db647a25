#include "kernels/token_shift/token_shift_reference.h"

#include <ATen/ATen.h>

#include "kernels/tensor_arguments.h"

namespace radlads {

std::vector<at::Tensor> TokenShiftReference(const at::Tensor& x, const at::Tensor& previous, const at::Tensor& reset,
                                            const at::Tensor& maa, const at::Tensor& amounts) {
  const at::ScalarType type = ArithmeticType({x, previous, maa, amounts});
  const at::Tensor wide = x.to(type);
  const at::Tensor first =
      previous.defined() ? previous.to(type).unsqueeze(1) : at::zeros({x.size(0), 1, x.size(2)}, wide.options());
  at::Tensor before = at::cat({first, wide}, 1).narrow(1, 0, x.size(1));
  if (reset.defined()) before = before.masked_fill(reset.unsqueeze(2), 0);
  std::vector<at::Tensor> mixed;
  for (int64_t i = 0; i < maa.size(0); ++i) {
    at::Tensor amount = maa[i].to(type);
    if (amounts.defined()) amount = amount + amounts[i].to(type);
    mixed.push_back((wide + (before - wide) * amount).to(x.scalar_type()));
  }
  return mixed;
}

}  // namespace radlads
