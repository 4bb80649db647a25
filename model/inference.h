// Inference on the CPU without tensors between operations: what the layers of one pass share.
//
// Where nothing learns, a token is some hundred operations of microseconds, for which making tensors and waking threads
// takes longer than computing. So a pass runs as one team of threads (base/parallel_for.h) over plain memory: every
// thread runs the whole pass, and shares the loops of the kernels with the others.
#ifndef RADLADS_MODEL_INFERENCE_H_
#define RADLADS_MODEL_INFERENCE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/parallel_for.h"
#include "kernels/quantized_linear/quantized_linear.h"

namespace radlads {

// Activations are arrays [rows, width], bf16 if `bf16`, else fp32; the residual stream is fp32.
struct InferencePass {
  int64_t batch, time;  // of the piece
  bool bf16;
  const float *cos, *sin;  // [T,D], or [B,T,D] if tables_per_batch
  bool tables_per_batch;
  const int64_t* lengths;  // [B], as in MixContext, or null
  float* v_first;  // [rows, A]: RAD-RWKV7's value of layer 0, written by that layer and read by those after it

  int64_t rows() const { return batch * time; }
  // Of an array of activations.
  int64_t Bytes(int64_t width) const { return rows() * width * (bf16 ? 2 : 4); }

  // Runs operations that follow each other, each a loop over the rows. Of few rows there is less to compute than it takes
  // threads to meet: one of them runs all.
  template <class Operations>
  void RunRows(const Operations& operations) const {
    rows() < kFewRows ? RunOnce(operations) : operations();
  }
  static constexpr int64_t kFewRows = 4;
};

// A parameter as contiguous fp32, itself if it is that; undefined stays undefined.
at::Tensor InferenceVector(const at::Tensor& parameter);
inline const float* Floats(const at::Tensor& vector) {
  return vector.defined() ? vector.const_data_ptr<float>() : nullptr;
}

// A matrix [in,out] as SetProjectionForInference lays it out: packed in fp32, where it is, and must outlive the result,
// in bf16. A pass reads these; of other dtypes and devices it is a placeholder.
WeightMatrix InferenceMatrix(const at::Tensor& projection);

// The tensor of a state that the pass overwrites: `carried` if nobody else holds it, a copy of it if somebody does, or
// zeros if it is undefined.
at::Tensor OwnState(const at::Tensor& carried, at::IntArrayRef sizes, at::ScalarType dtype);

}  // namespace radlads

#endif  // RADLADS_MODEL_INFERENCE_H_
