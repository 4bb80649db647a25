// Checks that every differentiable operation of kernels/ must pass: fused against reference, gradients against
// finite differences, what the number of threads may change, each instruction set of the machine.
#ifndef RADLADS_KERNELS_TESTING_OPERATION_H_
#define RADLADS_KERNELS_TESTING_OPERATION_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace radlads {

using Tensors = std::vector<at::Tensor>;
// Undefined tensors may stand for absent inputs.
using Operation = std::function<Tensors(const Tensors& inputs)>;

// Normal random numbers from a fixed seed.
at::Tensor RandomTensor(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type = at::kFloat);
Tensors ToType(const Tensors& tensors, at::ScalarType type);

struct OutputsAndGradients {
  Tensors outputs;
  Tensors gradients;  // one per input; undefined where the input is undefined or got none
};
// Runs `operation` on leaves made of `inputs` and goes back from a fixed random weighting of all outputs.
OutputsAndGradients Differentiate(const Operation& operation, const Tensors& inputs);

// How an operation adds up.
enum class SumOrder {
  kFixed,     // in an order that does not depend on the number of threads: the same bits on any number of them
  kLibTorch,  // with LibTorch's products, which MKL divides among threads as it likes: nearly the same
};

// `operation` on `inputs` against `reference` on the same values in double: outputs within `tolerance`, gradients
// within `gradient_tolerance`, on one and on three threads and on each instruction set. On three threads the bits are
// those of one thread where the order of sums is fixed.
void ExpectMatchesReference(const Operation& operation, const Operation& reference, const Tensors& inputs,
                            double tolerance, double gradient_tolerance, const std::string& what,
                            SumOrder order = SumOrder::kFixed);

// Gradients of `operation` in double against central differences, each element. Inputs must be small.
void ExpectGradientsMatchDifferences(const Operation& operation, const Tensors& inputs, const std::string& what);

// Runs `body` once per Highway target that this machine supports and this build contains.
void ForEachTarget(const std::function<void(const std::string& target)>& body);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TESTING_OPERATION_H_
