// Output projection and loss in one operation that never holds [N,W] logits for the whole batch.
//
// Rows are taken in chunks: logits of the chunk by GEMM, softmax, loss and its derivative in place, then the chunk's
// share of the gradients by GEMM. Gradients are computed in the forward pass and only scaled in the backward pass,
// as in Liger Kernel (Hsu et al., 2024, arXiv 2410.10989). W is the vocabulary, N = B*T the rows.
#ifndef RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_H_
#define RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace radlads {

inline constexpr int64_t kIgnoredLabel = -100;

struct LinearLossInputs {
  at::Tensor hidden;                          // [N,C] the student's last hidden state, after its norm
  at::Tensor weight;                          // [W,C] the student's output projection
  at::Tensor teacher_hidden, teacher_weight;  // [N,Ct], [W,Ct]; both undefined: no KL
  at::Tensor labels;                          // [N] int64 in [0,W), kIgnoredLabel is not scored; undefined: no CE
  double kl_weight = 0, ce_weight = 0;
  int64_t chunk_rows = 0;  // 0: 512 on a CPU; on a GPU as many as make 1.25 GB of logits
};

struct LinearLossResult {
  at::Tensor loss;        // scalar, fp32 (double for double): kl_weight * kl + ce_weight * ce
  double kl = 0, ce = 0;  // means over the scored rows, each computed when its inputs are there, else 0
};

// KL(teacher || student) in nats, summed over the vocabulary, mean over the N rows; cross entropy of the labels in
// nats, mean over the rows that are not ignored (0 when all are). A weight that is not 0 needs its inputs.
//
// GEMMs run in hidden's dtype (teacher's in teacher_hidden's), a weight of another dtype is converted once per call;
// softmax and sums are in fp32 or wider (double when hidden is double). NaN in a row makes the loss NaN.
// Gradients: hidden and weight, each in its dtype, the sum over rows for weight in fp32; nothing to teacher and
// labels. No gradient work where nothing requires it. The graph of the result can be walked backward once: the
// gradients are handed over, not kept. On a GPU the call waits for the result.
//
// The GEMMs are LibTorch's: on a CPU the last bits of loss and gradients may depend on the number of threads.
LinearLossResult LinearLoss(const LinearLossInputs& inputs);

// log softmax(hidden weight^T) at the labels: hidden [N,C], weight [W,C], labels [N] int64 -> [N] fp32 (double for
// double), 0 where a label is kIgnoredLabel. Without gradient; never holds more than chunk_rows (as above) rows of logits.
at::Tensor TokenLogProbabilities(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                 int64_t chunk_rows = 0);

}  // namespace radlads

#endif  // RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_H_
