#include "kernels/wkv7/wkv7_op.h"

#include "kernels/wkv/wkv_operator.h"

namespace radlads {
namespace {

struct Recurrence {
  static constexpr char kName[] = "wkv7";
  static constexpr std::array kOperands = {"r", "log_w", "k", "v", "a", "b"};
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(radlads, library) {
  WkvOperator<Recurrence>::Define(library);
}

std::pair<at::Tensor, at::Tensor> Wkv7(const at::Tensor& r, const at::Tensor& log_w, const at::Tensor& k,
                                       const at::Tensor& v, const at::Tensor& a, const at::Tensor& b, double scale,
                                       OptionalTensor initial_state, const OptionalTensor& reset,
                                       std::optional<at::ScalarType> output_type) {
  return WkvOperator<Recurrence>::Call(r, log_w, k, v, a, b, scale, std::move(initial_state), reset, output_type);
}

}  // namespace radlads
