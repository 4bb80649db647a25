#include "model/rope_tables.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/status.h"

namespace radlads {
namespace {

// The dimension at which a frequency makes `rotations` turns within `length` positions (YaRN, arXiv 2309.00071).
double YarnDimension(double rotations, int64_t head_dim, double base, double length) {
  return head_dim * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(base));
}

}  // namespace

at::Tensor RopeFrequencies(const RopeConfig& rope, int64_t head_dim) {
  const double base = rope.base() * rope.rebase();
  const int64_t half = head_dim / 2;
  std::vector<double> frequency(half);
  for (int64_t i = 0; i < half; ++i) frequency[i] = std::pow(base, -2.0 * i / head_dim) / rope.rescale();

  const double factor = rope.factor();
  const double original = rope.original_max_position_embeddings();
  if (rope.type() == "linear") {
    for (double& f : frequency) f /= factor;
  } else if (rope.type() == "llama3") {
    const double long_wave = original / rope.low_freq_factor(), short_wave = original / rope.high_freq_factor();
    for (double& f : frequency) {
      const double wave = 2 * std::numbers::pi / f;
      if (wave > long_wave) {
        f /= factor;
      } else if (wave >= short_wave) {
        const double smooth =
            (original / wave - rope.low_freq_factor()) / (rope.high_freq_factor() - rope.low_freq_factor());
        f = (1 - smooth) * f / factor + smooth * f;
      }
    }
  } else if (rope.type() == "yarn") {
    double low = std::max(std::floor(YarnDimension(rope.beta_fast(), head_dim, base, original)), 0.0);
    double high = std::min(std::ceil(YarnDimension(rope.beta_slow(), head_dim, base, original)), head_dim - 1.0);
    if (low == high) high += 0.001;
    for (int64_t i = 0; i < half; ++i) {
      const double interpolate = std::min(std::max((i - low) / (high - low), 0.0), 1.0);
      frequency[i] = frequency[i] / factor * interpolate + frequency[i] * (1 - interpolate);
    }
  }
  return at::tensor(frequency, at::kDouble);
}

absl::Status CheckRope(const RopeConfig& rope) {
  const std::string& type = rope.type();
  if (type != "default" && type != "linear" && type != "llama3" && type != "yarn") {
    return InvalidArgument("rope type '", type, "' is unknown; known are default, linear, llama3, yarn");
  }
  if (!(rope.base() > 0) || !(rope.factor() > 0) || !(rope.rescale() > 0)) {
    return InvalidArgument("rope base, factor and rescale must be positive, found ", rope.base(), ", ", rope.factor(), ", ",
                           rope.rescale());
  }
  if ((type == "llama3" || type == "yarn") && rope.original_max_position_embeddings() <= 0) {
    return InvalidArgument("rope type ", type, " needs original_max_position_embeddings");
  }
  if (type == "llama3" && !(rope.high_freq_factor() > rope.low_freq_factor())) {
    return InvalidArgument("rope type llama3 needs high_freq_factor > low_freq_factor, found ", rope.high_freq_factor(),
                           " and ", rope.low_freq_factor());
  }
  return absl::OkStatus();
}

std::pair<at::Tensor, at::Tensor> RopeTables(const RopeConfig& rope, const at::Tensor& frequencies,
                                             const at::Tensor& positions, at::ScalarType dtype) {
  // transformers holds frequencies in fp32; so do we, unless the whole model is in double.
  at::Tensor angle = at::outer(positions.to(dtype), frequencies.to(dtype));
  angle = at::cat({angle, angle}, -1);
  at::Tensor cos = at::cos(angle), sin = at::sin(angle);
  if (rope.type() == "yarn") {
    const double attention = rope.attention_factor() > 0 ? rope.attention_factor()
                             : rope.factor() > 1         ? 0.1 * std::log(rope.factor()) + 1
                                                         : 1;
    cos = cos * attention;
    sin = sin * attention;
  }
  return {cos, sin};
}

}  // namespace radlads
