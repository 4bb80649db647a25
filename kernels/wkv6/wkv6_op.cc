#include "kernels/wkv6/wkv6_op.h"

#include "kernels/wkv/wkv_operator.h"

namespace radlads {
namespace {

struct Recurrence {
  static constexpr char kName[] = "wkv6";
  static constexpr std::array kOperands = {"q", "log_w", "k", "v"};
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(radlads, library) {
  WkvOperator<Recurrence>::Define(library);
}

std::pair<at::Tensor, at::Tensor> Wkv6(const at::Tensor& q, const at::Tensor& log_w, const at::Tensor& k,
                                       const at::Tensor& v, double scale, OptionalTensor initial_state,
                                       const OptionalTensor& reset, std::optional<at::ScalarType> output_type) {
  return WkvOperator<Recurrence>::Call(q, log_w, k, v, scale, std::move(initial_state), reset, output_type);
}

}  // namespace radlads
