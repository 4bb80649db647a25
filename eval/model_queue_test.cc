#include "eval/model_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <future>
#include <random>
#include <thread>

#include "eval/scorer.h"
#include "eval/served_model.h"
#include "eval/testing.h"

namespace radlads {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int64_t>;

Ids Random(std::mt19937_64& random, int64_t length) {
  Ids ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back(1 + random() % 96);
  return ids;
}

class ModelQueueTest : public ::testing::Test {
 protected:
  double Requests(const std::string& result) {
    return MetricValue(served_.metrics(), "radlads_eval_model_requests_total", result);
  }
  double RequestsThatAre(const std::string& state) {
    return MetricValue(served_.metrics(), "radlads_eval_model_requests", state);
  }
  void WaitUntil(const std::string& state, double want) {
    WaitForMetric(served_.metrics(), "radlads_eval_model_requests", state, want);
  }

  // What the model says to one caller alone.
  std::vector<Ids> Alone(const std::vector<ContinueRequest>& requests) {
    std::vector<Ids> texts(requests.size());
    const absl::Status status = served_.Alone()->Continue(
        requests,
        [&](int64_t index, int64_t id, const TokenScore&) {
          texts[index].push_back(id);
          return true;
        },
        [](int64_t) {});
    EXPECT_TRUE(status.ok()) << status;
    return texts;
  }

  // Keeps the model busy with one text until Release.
  class Blocker {
   public:
    explicit Blocker(ModelQueue& queue)
        : thread_([this, &queue] {
            const absl::Status status = queue.Caller()->Continue(
                {{.ids = {1}, .max_tokens = 1}},
                [this](int64_t, int64_t, const TokenScore&) {
                  begun_.set_value();
                  released_.get_future().wait();
                  return true;
                },
                [](int64_t) {});
            EXPECT_TRUE(status.ok()) << status;
          }) {
      begun_.get_future().wait();
    }
    void Release() {
      released_.set_value();
      thread_.join();
    }

   private:
    std::promise<void> begun_, released_;
    std::thread thread_;
  };

  ServedModel served_{{.batch_tokens = 64, .max_length = 1 << 30}};
  ModelQueue& queue_ = served_.queue();
};

TEST_F(ModelQueueTest, ManyCallersGetWhatEachGetsAlone) {
  std::mt19937_64 random(2);
  std::vector<std::vector<LoglikelihoodRequest>> questions(6);
  std::vector<std::vector<GenerateRequest>> prompts(6);
  for (auto& mine : questions) {
    for (int i = 0; i < 9; ++i) mine.push_back({Random(random, i % 4), Random(random, 1 + i % 3)});
  }
  for (auto& mine : prompts) {
    for (int i = 0; i < 3; ++i) mine.push_back({.prompt = Random(random, 2 + i), .until = {"7"}, .max_new_tokens = 20});
  }
  const auto tokenizer = SmallTokenizer();
  std::vector<std::vector<LoglikelihoodResult>> scores;
  std::vector<std::vector<std::string>> texts;
  const auto alone = *MakeScorer(served_.Alone(), *tokenizer);
  for (int i = 0; i < 6; ++i) {
    scores.push_back(*alone->Loglikelihood(questions[i]));
    texts.push_back(*alone->GenerateUntil(prompts[i]));
  }
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, i] {
      const auto queued = *MakeScorer(queue_.Caller(), *tokenizer);
      const auto got = *queued->Loglikelihood(questions[i]);
      for (size_t q = 0; q < got.size(); ++q) {
        EXPECT_EQ(got[q].logprob, scores[i][q].logprob);
        EXPECT_EQ(got[q].is_greedy, scores[i][q].is_greedy);
      }
      EXPECT_EQ(*queued->GenerateUntil(prompts[i]), texts[i]);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(Requests("answered"), 6 * (9 + 3));
  EXPECT_EQ(RequestsThatAre("waiting"), 0);
}

// Callers that come one after the other, 2 ms apart, find an idle model, and are one batch all the same. On a busy machine
// they may come further apart: some attempts.
TEST_F(ModelQueueTest, AnIdleModelWaitsForCompany) {
  constexpr int kCallers = 4;
  std::atomic<double> most = 0;
  for (int attempt = 0; attempt < 5 && most < kCallers; ++attempt) {
    std::barrier together(kCallers);
    std::vector<std::thread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([&, i] {
        together.arrive_and_wait();
        std::this_thread::sleep_for(std::chrono::milliseconds(2 * i));
        const absl::Status status = queue_.Caller()->Continue(
            {{.ids = {5}, .max_tokens = 1}},
            [&](int64_t, int64_t, const TokenScore&) {
              most = std::max(most.load(), RequestsThatAre("running"));
              return true;
            },
            [](int64_t) {});
        EXPECT_TRUE(status.ok()) << status;
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
  EXPECT_EQ(most, kCallers);
  // The seconds are counted after the answers, and before the next call is begun.
  ASSERT_TRUE(queue_.Caller()->Score({{.ids = {1}, .targets = {2}}}, [](int64_t, const auto&) {}).ok());
  EXPECT_GT(MetricValue(served_.metrics(), "radlads_eval_model_busy_seconds_total", ""), 0);
}

TEST_F(ModelQueueTest, WhatComesMeanwhileIsOneBatch) {
  Blocker blocker(queue_);
  std::vector<std::thread> callers;
  std::atomic<double> most = 0;
  for (int i = 0; i < 5; ++i) {
    callers.emplace_back([&] {
      const absl::Status status = queue_.Caller()->Continue(
          {{.ids = {5}, .max_tokens = 2}, {.ids = {6}, .max_tokens = 2}},
          [&](int64_t, int64_t, const TokenScore&) {
            most = std::max(most.load(), RequestsThatAre("running"));
            return true;
          },
          [](int64_t) {});
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  WaitUntil("waiting", 10);
  blocker.Release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(most, 10);
}

TEST_F(ModelQueueTest, WhatWaitsForACallerWhoLeftIsNeverComputed) {
  Blocker blocker(queue_);
  std::atomic<bool> left = false;
  auto gone = std::async(std::launch::async, [&] {
    return queue_.Caller([&] { return left.load(); })
        ->Continue(
            {{.ids = {5}, .max_tokens = 1'000'000'000}},
            [](int64_t, int64_t, const TokenScore&) {
              ADD_FAILURE() << "it was computed";
              return false;
            },
            [](int64_t) {});
  });
  const std::vector<ContinueRequest> requests = {{.ids = {7, 8}, .max_tokens = 9}};
  Ids text;
  auto other = std::async(std::launch::async, [&] {
    return queue_.Caller([] { return false; })
        ->Continue(
            requests,
            [&](int64_t, int64_t id, const TokenScore&) {
              text.push_back(id);
              return true;
            },
            [](int64_t) {});
  });
  WaitUntil("waiting", 2);
  left = true;
  EXPECT_TRUE(absl::IsCancelled(gone.get())) << "while the model is still busy";
  EXPECT_EQ(RequestsThatAre("waiting"), 1);
  EXPECT_EQ(Requests("cancelled"), 1);
  blocker.Release();
  EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(text, Alone(requests)[0]);
}

TEST_F(ModelQueueTest, ATextEndsWhenItsCallerLeaves) {
  Blocker blocker(queue_);
  std::atomic<int64_t> tokens = 0;
  auto gone = std::async(std::launch::async, [&] {
    return queue_.Caller([&] { return tokens > 30; })
        ->Continue(
            {{.ids = {5}, .max_tokens = 1'000'000'000}, {.ids = {6, 7}, .max_tokens = 1'000'000'000}},
            [&](int64_t, int64_t, const TokenScore&) {
              ++tokens;
              return true;
            },
            [](int64_t) { ADD_FAILURE() << "a text without end was done"; });
  });
  const std::vector<ContinueRequest> requests = {{.ids = {7, 8}, .max_tokens = 5}, {.ids = {9}, .max_tokens = 400}};
  std::vector<Ids> texts(2);
  auto other = std::async(std::launch::async, [&] {
    return queue_.Caller()->Continue(
        requests,
        [&](int64_t index, int64_t id, const TokenScore&) {
          texts[index].push_back(id);
          return true;
        },
        [](int64_t) {});
  });
  WaitUntil("waiting", 4);
  blocker.Release();
  EXPECT_TRUE(absl::IsCancelled(gone.get()));
  const int64_t seen = tokens;
  EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(texts, Alone(requests)) << "others do not notice";
  WaitUntil("running", 0);
  EXPECT_EQ(tokens, seen) << "nothing is called after the call";
  EXPECT_EQ(Requests("cancelled"), 2);
}

TEST_F(ModelQueueTest, ScoringStopsBetweenBatches) {
  std::mt19937_64 random(4);
  std::vector<TokenScoreRequest> requests;
  for (int i = 0; i < 20'000; ++i) requests.push_back({.ids = Random(random, 40), .first = 39, .targets = {-1}});
  Blocker blocker(queue_);
  std::atomic<int64_t> answered = 0;
  auto gone = std::async(std::launch::async, [&] {
    return queue_.Caller([&] { return answered > 0; })->Score(requests, [&](int64_t, const auto&) { ++answered; });
  });
  int64_t mine = 0;
  auto other = std::async(std::launch::async, [&] {
    return queue_.Caller()->Score({requests.begin(), requests.begin() + 10}, [&](int64_t, const auto&) { ++mine; });
  });
  WaitUntil("waiting", 20'010);
  blocker.Release();
  EXPECT_TRUE(absl::IsCancelled(gone.get()));
  EXPECT_LT(answered, 20'000);
  EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(mine, 10);
  WaitUntil("running", 0);
  EXPECT_EQ(Requests("cancelled") + Requests("answered"), 1 + 20'010);
  EXPECT_GT(Requests("cancelled"), 0);
}

TEST_F(ModelQueueTest, OnlyWrongRequestsAreRefused) {
  const auto refused = [&](const TokenScoreRequest& request) {
    return std::string(
        queue_.Caller()->Score({{.ids = {1}, .targets = {2}}, request}, [](int64_t, const auto&) {}).message());
  };
  EXPECT_THAT(refused({.ids = {97}, .targets = {1}}), HasSubstr("request 1: token id 97"));
  EXPECT_THAT(refused({.ids = {1}, .first = 1, .targets = {}}), HasSubstr("request 1: it asks for 0 places"));
  EXPECT_EQ(queue_.Caller()->Score({}, {}), absl::OkStatus());

  served_.Break();
  const absl::Status lost = queue_.Caller()->Score({{.ids = {1}, .targets = {2}}}, [](int64_t, const auto&) {});
  EXPECT_TRUE(absl::IsDataLoss(lost)) << lost;
  EXPECT_EQ(Requests("failed"), 1);
}

}  // namespace
}  // namespace radlads
