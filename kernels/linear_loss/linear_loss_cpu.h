// Softmax, loss and derivative of a chunk of logits on plain memory.
#ifndef RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_CPU_H_
#define RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_CPU_H_

#include <cstdint>

namespace radlads {

// [rows, vocabulary] logits, contiguous, bf16 or fp32. Labels are kIgnoredLabel or in [0, vocabulary).
struct LogitChunk {
  int64_t rows, vocabulary;
  void* student;
  bool student_bf16;
  const void* teacher;  // null: no KL
  bool teacher_bf16;
  const int64_t* labels;  // null: no CE
  // Where to leave the derivative kl_scale * dKL + ce_scale * dCE, in place of the student's logits.
  bool differentiate;
  double kl_scale, ce_scale;
};

// Writes KL(teacher || student) and the cross entropy of each row ([rows] each; null where not computed; 0 for an
// ignored label).
void LossRowsCpu(const LogitChunk& chunk, double* kl, double* ce);

// sum += part, [count] bf16.
void AddBf16Cpu(const void* part, float* sum, int64_t count);

}  // namespace radlads

#endif  // RADLADS_KERNELS_LINEAR_LOSS_LINEAR_LOSS_CPU_H_
