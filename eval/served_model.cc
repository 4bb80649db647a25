#include "eval/served_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "eval/testing.h"
#include "model/pretrained.h"
#include "model/testing.h"

namespace radlads {

std::shared_ptr<Transformer> EndlessModel() {
  const at::NoGradGuard no_grad;
  auto model = SmallModel("rad_rwkv7");
  for (const auto& [name, parameter] : model->NamedParameters()) {
    if (name == "lm_head.weight") Tensor(parameter)[0].zero_();
  }
  return model;
}

double MetricValue(const prometheus::Registry& metrics, const std::string& name, const std::string& label_value) {
  for (const prometheus::MetricFamily& family : metrics.Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (label_value.empty() && metric.label.empty()) return metric.counter.value + metric.gauge.value;
      for (const auto& label : metric.label) {
        if (label.value == label_value) return metric.counter.value + metric.gauge.value;
      }
    }
  }
  return 0;
}

void WaitForMetric(const prometheus::Registry& metrics, const std::string& name, const std::string& label_value,
                   double want) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (double found; (found = MetricValue(metrics, name, label_value)) != want;) {
    if (std::chrono::steady_clock::now() > limit) {
      ADD_FAILURE() << name << " " << label_value << " is " << found << ", expected " << want;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

namespace {

std::shared_ptr<Transformer> SmallServedModel() {
  auto model = EndlessModel();
  model->SetForInference();
  return model;
}

}  // namespace

ServedModel::ServedModel(const TokenModelOptions& options)
    : options_(options),
      metrics_(std::make_shared<prometheus::Registry>()),
      model_(SmallServedModel()),
      copy_(SmallServedModel()) {
  auto queue = ModelQueue::Create(*model_, options_, *metrics_);
  RADLADS_CHECK(queue.ok()) << queue.status();
  queue_ = *std::move(queue);
}

ServedModel::~ServedModel() = default;

std::unique_ptr<TokenModel> ServedModel::Alone() {
  auto model = MakeTokenModel(*copy_, options_);
  RADLADS_CHECK(model.ok()) << model.status();
  return *std::move(model);
}

void ServedModel::Break() {
  model_->NamedParameters().back().second.fill_(std::nan(""));
}

void ServedModel::Save(const std::string& directory) const {
  absl::Status saved = MakeDirectories(directory);
  if (saved.ok()) saved = SaveTransformer(*EndlessModel(), directory, at::kFloat, "");
  RADLADS_CHECK(saved.ok()) << saved;
  WriteSmallTokenizer(directory);
}

}  // namespace radlads
