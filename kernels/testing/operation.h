// Checks that every differentiable operation of kernels/ must pass: fused against reference, gradients against
// finite differences, independence of the number of threads, each instruction set of the machine.
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

// `operation` on `inputs` against `reference` on the same values in double: outputs within `tolerance`, gradients
// within `gradient_tolerance`, on one and on three threads (bitwise equal) and on each instruction set.
void ExpectMatchesReference(const Operation& operation, const Operation& reference, const Tensors& inputs,
                            double tolerance, double gradient_tolerance, const std::string& what);

// Gradients of `operation` in double against central differences, each element. Inputs must be small.
void ExpectGradientsMatchDifferences(const Operation& operation, const Tensors& inputs, const std::string& what);

// Runs `body` once per Highway target that this machine supports and this build contains.
void ForEachTarget(const std::function<void(const std::string& target)>& body);

}  // namespace radlads

#endif  // RADLADS_KERNELS_TESTING_OPERATION_H_
