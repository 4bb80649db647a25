// What the tests of models share: small models of every kind, goldens, comparisons.
#ifndef RADLADS_MODEL_TESTING_H_
#define RADLADS_MODEL_TESTING_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/transformer.h"

namespace radlads {

// Path of a file or directory of model/testdata.
std::string TestData(const std::string& name);

// ||got - want|| / ||want||; infinite when shapes differ or a value is not finite; ||got|| when want is zero.
double RelativeError(const at::Tensor& got, const at::Tensor& want);

// A tensor of a safetensors file; aborts the test program when it is missing.
at::Tensor ReadTensor(const std::string& path, const std::string& name);

// 3 layers, width 64, 4 heads of 16 (2 for keys and values), 97 words; eos is word 0. `tmix` as in ModelConfig; the "_alt"
// variants of the students switch every option of their preset.
ModelConfig SmallConfig(const std::string& kind);
// softmax kinds, both students with both presets, and a hybrid.
std::vector<std::string> SmallKinds();

// Words of these models, but for eos.
std::vector<int64_t> RandomTokens(int seed, int64_t size);

// A model with every parameter drawn at random (nothing left at an initial zero). From then on loops
// run on one thread.
std::shared_ptr<Transformer> RandomModel(const ModelConfig& config, at::ScalarType dtype = at::kFloat, int64_t seed = 1);
// One of SmallConfig(kind).
std::shared_ptr<Transformer> SmallModel(const std::string& kind, at::ScalarType dtype = at::kFloat, int64_t seed = 1);
// The same, for inference, as LoadForInference makes them.
std::shared_ptr<Transformer> InferenceModel(const std::string& kind);

}  // namespace radlads

#endif  // RADLADS_MODEL_TESTING_H_
