#include "serve/sessions/service_testing.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "model/testing.h"

namespace radlads {

std::string NewDirectory() {
  static int count = 0;
  const std::string directory = ::testing::TempDir() + "/service" + std::to_string(++count);
  std::filesystem::remove_all(directory);
  return directory;
}

SamplingOptions Greedy() {
  return {.logit_bias = {{0, -1000}}};
}
SamplingOptions Seeded(uint64_t seed) {
  return {.logit_bias = {{0, -1000}},
          .repetition_penalty = 1.2,
          .frequency_penalty = 0.3,
          .temperature = 1,
          .top_k = 50,
          .seed = seed};
}

SmallService::SmallService(const std::string& kind, SessionServiceOptions options)
    : options(std::move(options)), model_(InferenceModel(kind)) {
  Reopen();
}

void SmallService::Reopen() {
  service_ = nullptr;
  metrics_ = std::make_unique<prometheus::Registry>();
  auto service = SessionService::Create(*model_, SmallTokenizer(), options, *metrics_);
  RADLADS_CHECK(service.ok()) << service.status();
  service_ = *std::move(service);
}

double SmallService::Metric(const std::string& name, const std::string& label_value) const {
  for (const prometheus::MetricFamily& family : metrics_->Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) {
        if (label.value == label_value) return metric.counter.value + metric.gauge.value;
      }
    }
  }
  return -1;
}

Reader::Reader(TextService& service, TextRequest request, int64_t leave_after) : service_(service) {
  TextCallbacks callbacks;
  callbacks.on_piece = [this, leave_after](TextPiece piece) {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(done_) << "a piece after the end";
    text_ += piece.text;
    for (TextToken& token : piece.tokens) {
      ids_.push_back(token.id);
      tokens_.push_back(std::move(token));
    }
    changed_.notify_all();
    return leave_after < 0 || static_cast<int64_t>(ids_.size()) < leave_after;
  };
  callbacks.on_done = [this](TextResult result) {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(done_) << "done twice";
    result_ = std::move(result);
    done_ = true;
    changed_.notify_all();
  };
  const auto number = service.Start(std::move(request), std::move(callbacks));
  EXPECT_TRUE(number.ok()) << number.status();
  if (number.ok()) {
    number_ = *number;
  } else {
    result_.status = number.status();
    done_ = true;
  }
}

const TextResult& Reader::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_; });
  return result_;
}

void Reader::WaitForTokens(size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ || ids_.size() >= count; });
}

using Ids = std::vector<int64_t>;

Ids Joined(const std::vector<Ids>& parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Ids Reply(SmallService& service, const Ids& prompt, int64_t tokens, const SamplingOptions& sampling) {
  Reader reader(*service, {.prompt = prompt, .max_tokens = tokens, .sampling = sampling});
  EXPECT_EQ(reader.Wait().finish, TextFinish::kLength) << reader.Wait().status;
  return reader.ids();
}

Ids Say(SmallService& service, const std::string& session, const Ids& prompt, int64_t tokens,
        const SamplingOptions& sampling) {
  const int64_t had = service->GetSession(session)->tokens;
  Reader reader(*service, {.session = session, .prompt = prompt, .max_tokens = tokens, .sampling = sampling});
  const TextResult& result = reader.Wait();
  EXPECT_EQ(result.finish, TextFinish::kLength) << result.status;
  EXPECT_EQ(result.session, session);
  EXPECT_EQ(result.prompt_tokens, static_cast<int64_t>(prompt.size()));
  EXPECT_EQ(result.reply_tokens, tokens);
  EXPECT_EQ(result.text_tokens, had + static_cast<int64_t>(prompt.size()) + tokens);
  EXPECT_GT(result.state_bytes, 0);
  const auto info = service->GetSession(session);
  EXPECT_EQ(info->tokens, result.text_tokens);
  EXPECT_FALSE(info->busy);
  EXPECT_EQ(service->Snapshots(session)->back().id, result.snapshot);
  return reader.ids();
}

}  // namespace radlads
