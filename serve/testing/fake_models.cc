#include "serve/testing/fake_models.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "data/tokenizer/testing/small_tokenizer.h"

namespace radlads {
namespace {

constexpr char kTemplate[] =
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

}  // namespace

FakeModels::FakeModels(const FakeOptions& options, const std::vector<std::string>& names) {
  const std::shared_ptr<const Tokenizer> tokenizer = SmallTokenizer(kTemplate);
  for (const std::string& name : names) {
    services_.push_back(std::make_unique<FakeTextService>(tokenizer, options));
    served_.push_back({.name = name, .service = services_.back().get(), .tokenizer = tokenizer});
  }
}

void FakeModels::WaitForRunning(int64_t count) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  int64_t running = 0;
  while (std::chrono::steady_clock::now() < limit) {
    running = 0;
    for (const auto& service : services_) running += service->running();
    if (running == count) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ADD_FAILURE() << running << " texts go on, expected " << count;
}

}  // namespace radlads
