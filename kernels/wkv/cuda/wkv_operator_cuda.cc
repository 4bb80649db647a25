// The CUDA part of the torch operators wkv6 and wkv7 (wkv_operator.h): chooses between the chunked
// and the recurrent kernels, on the current stream of the operands' device. Results of the chunked
// kernels are bf16, of the recurrent ones fp32; states are fp32.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <type_traits>

#include "kernels/wkv/cuda/wkv_cuda.h"
#include "kernels/wkv/wkv_operator.h"

namespace radlads {
namespace {

using at::Tensor;

void Check(cuda::Error error, const char* what) {
  TORCH_CHECK(error == 0, what, ": CUDA error ", error, " (", cudaGetErrorString(static_cast<cudaError_t>(error)), ")");
}

template <typename T>
T* Data(const Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.mutable_data_ptr()) : nullptr;
}
template <typename T>
const T* ConstData(const Tensor& tensor) {
  return tensor.defined() ? static_cast<const T*>(tensor.const_data_ptr()) : nullptr;
}

// Whether the chunked kernels are meant: all operands but the decay in bf16, and more than a token at a time. Says once
// where the head size is what stands in their way.
bool Chunked(at::TensorList operands) {
  for (size_t i = 0; i < operands.size(); ++i) {
    if (i != kWkvLogDecay && operands[i].scalar_type() != at::kBFloat16) return false;
  }
  const WkvShape shape = WkvShapeOf(operands);
  if (shape.time <= 1) return false;
  if (!cuda::WkvChunkedTakes(shape)) {
    TORCH_WARN_ONCE("wkv: heads of [", shape.key_dim, ", ", shape.value_dim,
                    "] have no tensor-core kernel; the general one is used, which is several times slower");
    return false;
  }
  return true;
}

// The arguments as the kernels take them, alive as long as this object.
struct CudaOperands {
  CudaOperands(at::TensorList given, double scale, const OptionalTensor& given_state, const OptionalTensor& given_reset)
      : shape(WkvShapeOf(given)), chunked(Chunked(given)), scale(static_cast<float>(scale)) {
    TORCH_CHECK(WkvComputeType(given) == at::kFloat,
                "wkv: float64 is computed on the CPU only; move the tensors there, or make them "
                "float32 or bfloat16");
    for (size_t i = 0; i < given.size(); ++i) {
      operands.push_back(WkvOperand(given[i], chunked && i != kWkvLogDecay ? at::kBFloat16 : at::kFloat));
    }
    operands.resize(6);
    initial_state = WkvOperand(given_state, at::kFloat);
    reset = WkvOperand(given_reset, at::kByte);
  }

  cuda::WkvChunkedInputs ChunkedInputs() const {
    const auto bf16 = [&](size_t i) { return ConstData<cuda::Bf16>(operands[i]); };
    return {.shape = shape,
            .r = bf16(0),
            .k = bf16(2),
            .v = bf16(3),
            .a = bf16(4),
            .b = bf16(5),
            .log_w = ConstData<float>(operands[1]),
            .scale = scale,
            .initial_state = ConstData<float>(initial_state),
            .reset = ConstData<uint8_t>(reset)};
  }
  cuda::WkvRecurrentInputs RecurrentInputs() const {
    const auto fp32 = [&](size_t i) { return ConstData<float>(operands[i]); };
    return {.shape = shape,
            .r = fp32(0),
            .log_w = fp32(1),
            .k = fp32(2),
            .v = fp32(3),
            .a = fp32(4),
            .b = fp32(5),
            .scale = scale,
            .initial_state = ConstData<float>(initial_state),
            .reset = ConstData<uint8_t>(reset)};
  }

  bool delta() const { return operands[4].defined(); }
  at::TensorOptions Options(at::ScalarType type) const { return operands[0].options().dtype(type); }
  Tensor Empty(at::IntArrayRef sizes, at::ScalarType type) const { return at::empty(sizes, Options(type)); }

  WkvShape shape;
  bool chunked;
  float scale;
  std::vector<Tensor> operands;  // a and b undefined without the delta term
  Tensor initial_state, reset;
};

cuda::Stream CurrentStream(const Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.get_device()).stream();
}

std::tuple<Tensor, Tensor, std::vector<Tensor>> ForwardCuda(at::TensorList operands, double scale,
                                                            const OptionalTensor& initial_state,
                                                            const OptionalTensor& reset, at::ScalarType output_type,
                                                            bool for_backward, const OptionalTensor& into) {
  const c10::cuda::CUDAGuard device(operands[0].device());
  const CudaOperands in(operands, scale, initial_state, reset);
  const WkvShape& s = in.shape;
  const cuda::Stream stream = CurrentStream(operands[0]);
  const Tensor output = in.Empty({s.batch, s.time, s.heads, s.value_dim}, in.chunked ? at::kBFloat16 : at::kFloat);
  const Tensor final_state = into ? *into : in.Empty({s.batch, s.heads, s.key_dim, s.value_dim}, at::kFloat);
  std::vector<Tensor> saved;
  if (in.chunked) {
    cuda::WkvChunkedSaved kept = {};
    if (for_backward) {
      saved.push_back(in.Empty({s.batch, s.heads, cuda::WkvChunks(s.time), s.value_dim, s.key_dim}, at::kBFloat16));
      if (in.delta()) saved.push_back(at::empty_like(output));
      kept = {Data<cuda::Bf16>(saved[0]), in.delta() ? Data<cuda::Bf16>(saved[1]) : nullptr};
    }
    Check(cuda::WkvChunkedForward(in.ChunkedInputs(), Data<cuda::Bf16>(output), Data<float>(final_state), kept, stream),
          "wkv forward");
    return {output.to(output_type), final_state, std::move(saved)};
  }
  if (for_backward) saved.push_back(in.Empty({static_cast<int64_t>(cuda::WkvRecurrentCheckpointSize(s))}, at::kFloat));
  Check(cuda::WkvRecurrentForward(in.RecurrentInputs(), Data<float>(output), Data<float>(final_state),
                                  for_backward ? Data<float>(saved[0]) : nullptr, stream),
        "wkv forward");
  return {output.to(output_type), final_state, std::move(saved)};
}

std::vector<Tensor> BackwardCuda(at::TensorList operands, double scale, const OptionalTensor& initial_state,
                                 const OptionalTensor& reset, at::TensorList saved, const OptionalTensor& d_output,
                                 const OptionalTensor& d_final_state) {
  const c10::cuda::CUDAGuard device(operands[0].device());
  const CudaOperands in(operands, scale, initial_state, reset);
  const WkvShape& s = in.shape;
  const cuda::Stream stream = CurrentStream(operands[0]);
  std::vector<Tensor> d;
  for (const Tensor& operand : in.operands) d.push_back(operand.defined() ? at::empty_like(operand) : Tensor());
  d.push_back(in.initial_state.defined() ? at::empty_like(in.initial_state) : Tensor());
  const Tensor d_state = WkvOperand(d_final_state, at::kFloat);
  if (in.chunked) {
    const Tensor d_o = WkvOperand(d_output, at::kBFloat16), d_states = at::empty_like(saved[0]),
                 y = in.delta() ? at::empty_like(saved[1]) : Tensor();
    const auto bf16 = [&](size_t i) { return Data<cuda::Bf16>(d[i]); };
    Check(cuda::WkvChunkedBackward(in.ChunkedInputs(),
                                   {Data<cuda::Bf16>(saved[0]), in.delta() ? Data<cuda::Bf16>(saved[1]) : nullptr},
                                   {.output = ConstData<cuda::Bf16>(d_o),
                                    .final_state = ConstData<float>(d_state),
                                    .d_states = Data<cuda::Bf16>(d_states),
                                    .y = Data<cuda::Bf16>(y),
                                    .r = bf16(0),
                                    .k = bf16(2),
                                    .v = bf16(3),
                                    .a = bf16(4),
                                    .b = bf16(5),
                                    .log_w = Data<float>(d[1]),
                                    .initial_state = Data<float>(d[6])},
                                   stream),
          "wkv backward");
  } else {
    const Tensor d_o = WkvOperand(d_output, at::kFloat),
                 scratch = in.Empty({static_cast<int64_t>(cuda::WkvRecurrentScratchSize(s))}, at::kFloat);
    const auto fp32 = [&](size_t i) { return Data<float>(d[i]); };
    Check(cuda::WkvRecurrentBackward(in.RecurrentInputs(), ConstData<float>(saved[0]),
                                     {.output = ConstData<float>(d_o),
                                      .final_state = ConstData<float>(d_state),
                                      .r = fp32(0),
                                      .log_w = fp32(1),
                                      .k = fp32(2),
                                      .v = fp32(3),
                                      .a = fp32(4),
                                      .b = fp32(5),
                                      .initial_state = fp32(6)},
                                     Data<float>(scratch), stream),
          "wkv backward");
  }
  std::vector<Tensor> result;
  for (size_t i = 0; i < operands.size(); ++i) result.push_back(d[i].to(operands[i].scalar_type()));
  result.push_back(d[6].defined() ? d[6].to(initial_state->scalar_type()) : Tensor());
  return result;
}

static_assert(std::is_same_v<decltype(ForwardCuda), WkvForwardFunction> &&
              std::is_same_v<decltype(BackwardCuda), WkvBackwardFunction>);

}  // namespace

TORCH_LIBRARY_IMPL(radlads, CUDA, library) {
  for (const char* name : {"wkv6", "wkv7"}) {
    library.impl((std::string("_") + name + "_forward").c_str(), ForwardCuda);
    library.impl((std::string("_") + name + "_backward").c_str(), BackwardCuda);
  }
}

}  // namespace radlads
