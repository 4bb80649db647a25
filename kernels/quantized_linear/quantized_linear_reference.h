#ifndef RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_REFERENCE_H_
#define RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_REFERENCE_H_

#include <cstdint>
#include <span>
#include <vector>

namespace radlads {

// x [rows, in] w [out, in]^T + bias [out], which may be empty, in double -> [rows, out].
inline std::vector<double> QuantizedLinearReference(std::span<const float> w, std::span<const float> x,
                                                    std::span<const float> bias, int64_t out, int64_t in) {
  const int64_t rows = static_cast<int64_t>(x.size()) / in;
  std::vector<double> y(rows * out);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0 : bias[o];
      for (int64_t i = 0; i < in; ++i) sum += static_cast<double>(w[o * in + i]) * x[r * in + i];
      y[r * out + o] = sum;
    }
  }
  return y;
}

}  // namespace radlads

#endif  // RADLADS_KERNELS_QUANTIZED_LINEAR_QUANTIZED_LINEAR_REFERENCE_H_
