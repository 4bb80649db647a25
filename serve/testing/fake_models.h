// Models for tests of transports: names, a fake text service behind each, and a small tokenizer with a chat template.
#ifndef RADLADS_SERVE_TESTING_FAKE_MODELS_H_
#define RADLADS_SERVE_TESTING_FAKE_MODELS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "serve/testing/fake_text_service.h"
#include "serve/transport/served_model.h"

namespace radlads {

class FakeModels {
 public:
  // Each has a service of its own.
  FakeModels(const FakeOptions& options, const std::vector<std::string>& names);

  const std::vector<ServedModel>& served() const { return served_; }
  FakeTextService& service(size_t i = 0) { return *services_[i]; }
  // Waits until as many texts go on, of all models; fails after 5 s.
  void WaitForRunning(int64_t count);

 private:
  std::vector<std::unique_ptr<FakeTextService>> services_;
  std::vector<ServedModel> served_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_TESTING_FAKE_MODELS_H_
