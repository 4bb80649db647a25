#include "kernels/testing/compare.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace radlads {
namespace {

struct Difference {
  double relative_rms = 0;
  double largest = 0;  // max |got - want|
  size_t place = 0;    // of `largest`
  double rms = 0;      // of `want`
};

template <typename Got, typename Want>
Difference Measure(std::span<const Got> got, std::span<const Want> want) {
  Difference result;
  if (got.size() != want.size()) {
    result.relative_rms = result.largest = std::numeric_limits<double>::infinity();
    return result;
  }
  double difference_squares = 0, want_squares = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double w = want[i], d = std::abs(static_cast<double>(got[i]) - w);
    difference_squares += d * d;
    want_squares += w * w;
    if (d > result.largest || (std::isnan(d) && !std::isnan(result.largest))) {
      result.largest = d;
      result.place = i;
    }
  }
  if (difference_squares == 0) {
    result.relative_rms = 0;
  } else {
    result.relative_rms = std::sqrt(difference_squares) / std::sqrt(want_squares);  // x/0 is infinity
  }
  result.rms = want.empty() ? 0 : std::sqrt(want_squares / want.size());
  return result;
}

template <typename Got, typename Want>
::testing::AssertionResult Judge(std::span<const Got> got, std::span<const Want> want, double tolerance) {
  if (got.size() != want.size()) {
    return ::testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
  }
  const Difference difference = Measure(got, want);
  // Written so that NaN fails.
  if (difference.relative_rms <= tolerance && difference.largest <= 20 * tolerance * difference.rms) {
    return ::testing::AssertionSuccess();
  }
  const size_t at = difference.place;
  return ::testing::AssertionFailure() << "relative RMS " << difference.relative_rms << ", largest difference "
                                       << difference.largest << " at element " << at << " of " << want.size()
                                       << " (got " << got[at] << ", expected " << want[at] << "); rms of the reference "
                                       << difference.rms << ", tolerance " << tolerance;
}

std::span<const double> Doubles(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<double>(), static_cast<size_t>(tensor.numel())};
}

at::Tensor AsDouble(const at::Tensor& tensor) { return tensor.detach().to(at::kDouble).contiguous(); }

}  // namespace

double RelativeRms(std::span<const double> got, std::span<const double> want) {
  return Measure(got, want).relative_rms;
}
double RelativeRms(std::span<const float> got, std::span<const double> want) { return Measure(got, want).relative_rms; }
double RelativeRms(std::span<const float> got, std::span<const float> want) { return Measure(got, want).relative_rms; }

double RelativeRms(const at::Tensor& got, const at::Tensor& want) {
  if (!got.sizes().equals(want.sizes())) return std::numeric_limits<double>::infinity();
  const at::Tensor g = AsDouble(got), w = AsDouble(want);
  return RelativeRms(Doubles(g), Doubles(w));
}

::testing::AssertionResult IsClose(std::span<const double> got, std::span<const double> want, double tolerance) {
  return Judge(got, want, tolerance);
}
::testing::AssertionResult IsClose(std::span<const float> got, std::span<const double> want, double tolerance) {
  return Judge(got, want, tolerance);
}
::testing::AssertionResult IsClose(std::span<const float> got, std::span<const float> want, double tolerance) {
  return Judge(got, want, tolerance);
}

::testing::AssertionResult IsClose(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  if (!got.defined() || !want.defined()) {
    if (got.defined() == want.defined()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << (got.defined() ? "the reference" : "the result") << " is undefined";
  }
  if (!got.sizes().equals(want.sizes())) {
    return ::testing::AssertionFailure() << "shape " << got.sizes() << ", expected " << want.sizes();
  }
  const at::Tensor g = AsDouble(got), w = AsDouble(want);
  return Judge(Doubles(g), Doubles(w), tolerance);
}

::testing::AssertionResult BitwiseEqual(std::span<const float> got, std::span<const float> want) {
  if (got.size() != want.size()) {
    return ::testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
  }
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(float)) != 0) {
      return ::testing::AssertionFailure() << "element " << i << " of " << want.size() << " is " << got[i]
                                           << ", expected " << want[i] << " (difference " << got[i] - want[i] << ")";
    }
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult BitwiseEqual(const at::Tensor& got, const at::Tensor& want) {
  if (got.scalar_type() != want.scalar_type() || !got.sizes().equals(want.sizes())) {
    return ::testing::AssertionFailure() << got.scalar_type() << got.sizes() << ", expected " << want.scalar_type()
                                         << want.sizes();
  }
  const at::Tensor g = got.detach().contiguous(), w = want.detach().contiguous();
  if (g.nbytes() == 0 || std::memcmp(g.const_data_ptr(), w.const_data_ptr(), g.nbytes()) == 0) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "bits differ; relative RMS " << RelativeRms(got, want);
}

}  // namespace radlads
