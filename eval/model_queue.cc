#include "eval/model_queue.h"

#include <ATen/Parallel.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include "base/parallel_for.h"
#include "base/release_threads.h"
#include "base/status.h"
#include "eval/continue_tokens.h"
#include "eval/token_scores.h"
#include "model/transformer.h"

namespace radlads {
namespace {

constexpr auto kCancelInterval = std::chrono::milliseconds(50);
// A model that has nothing to do waits for company until so much time has passed since the last arrival, and so much in
// all: a client that asks 8 times at once, with the choices of a question here and there, is served in one batch.
constexpr auto kNextArrival = std::chrono::milliseconds(5), kLastArrival = std::chrono::milliseconds(50);

// One call of Score or Continue; the other kind's fields are empty.
struct Call {
  std::vector<TokenScoreRequest> questions;  // until the model begins with them
  std::vector<ContinueRequest> prompts;
  const ContinueCallback* on_token = nullptr;  // the caller's, who does not leave while `in_token` is held
  std::mutex in_token;
  std::atomic<bool> cancelled = false;

  // Guarded by the queue's mutex.
  std::vector<std::pair<int64_t, std::vector<TokenScore>>> answers;  // not yet taken by the caller
  size_t unanswered = 0;
  bool over = false;  // nothing more will come
  absl::Status status;
  std::condition_variable changed;
};

// Request `index` of a call, in the batch under way.
struct Place {
  std::shared_ptr<Call> call;
  int64_t index;
};

// LibTorch's messages go on for a page.
std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

class ModelQueue::Impl {
 public:
  Impl(Transformer& model, int64_t batch_tokens, int64_t max_length, prometheus::Registry& metrics)
      : model_(model),
        batch_tokens_(batch_tokens),
        max_length_(max_length),
        states_(prometheus::BuildGauge()
                    .Name("radlads_eval_model_requests")
                    .Help("Token requests that the model has before it.")
                    .Register(metrics)),
        results_(prometheus::BuildCounter()
                     .Name("radlads_eval_model_requests_total")
                     .Help("Token requests that the model is done with.")
                     .Register(metrics)),
        busy_(prometheus::BuildCounter()
                  .Name("radlads_eval_model_busy_seconds_total")
                  .Help("Time that the model has computed.")
                  .Register(metrics)
                  .Add({})) {
    ReleaseThreads();
    worker_ = std::thread([this, threads = Threads()] {
      // OpenMP keeps the number for each thread that starts loops.
      SetThreads(threads);
      at::set_num_threads(threads);
      Work();
    });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    submitted_.notify_one();
    worker_.join();
  }

  int64_t vocabulary() const { return model_.config().vocab_size(); }
  int64_t max_length() const { return max_length_; }

  // `call` is new and has a question or a prompt.
  absl::Status Wait(const std::shared_ptr<Call>& call, const TokenScoreCallback& done,
                    const CancelledCallback& cancelled) {
    std::unique_lock lock(mutex_);
    waiting_.push_back(call);
    waiting_requests_.Increment(call->unanswered);
    submitted_.notify_one();
    const auto changed = [&] { return call->over || !call->answers.empty(); };
    for (auto next_check = std::chrono::steady_clock::now() + kCancelInterval;;) {
      if (!cancelled || call->cancelled) {
        call->changed.wait(lock, changed);
      } else if (!call->changed.wait_until(lock, next_check, changed) ||
                 std::chrono::steady_clock::now() >= next_check) {
        lock.unlock();
        if (cancelled()) {
          std::lock_guard token_lock(call->in_token);
          call->cancelled = true;
        }
        next_check = std::chrono::steady_clock::now() + kCancelInterval;
        lock.lock();
        if (call->cancelled && !call->over) Drop(call);
        continue;
      }
      std::vector<std::pair<int64_t, std::vector<TokenScore>>> answers;
      answers.swap(call->answers);
      if (answers.empty()) return call->status;
      lock.unlock();
      for (auto& [index, scores] : answers) done(index, std::move(scores));
      lock.lock();
    }
  }

 private:
  // The batch under way sees `cancelled` by itself.
  void Drop(const std::shared_ptr<Call>& call) {
    const auto at = std::find(waiting_.begin(), waiting_.end(), call);
    if (at != waiting_.end()) {
      waiting_.erase(at);
      waiting_requests_.Decrement(call->unanswered);
    }
    End(*call, absl::OkStatus());
  }

  // What is unanswered was dropped, or failed.
  void End(Call& call, const absl::Status& failure) {
    call.status = call.cancelled ? absl::CancelledError("the caller left") : failure;
    (call.cancelled ? dropped_ : failed_).Increment(call.unanswered);
    call.over = true;
    call.changed.notify_all();
  }

  void Work() {
    for (;;) {
      std::vector<std::shared_ptr<Call>> calls;
      {
        std::unique_lock lock(mutex_);
        if (waiting_.empty()) AwaitCompany(lock);
        if (waiting_.empty()) {
          if (closing_) return;
          continue;
        }
        calls.swap(waiting_);
        running_requests_.Set(waiting_requests_.Value());
        waiting_requests_.Set(0);
      }
      const auto start = std::chrono::steady_clock::now();
      absl::Status status;
      try {
        status = Compute(calls);
      } catch (const std::exception& error) {
        status = absl::InternalError("the model failed: " + FirstLine(error.what()));
      }
      busy_.Increment(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      std::lock_guard lock(mutex_);
      running_requests_.Set(0);
      for (const auto& call : calls) {
        if (!call->over) End(*call, status);
      }
    }
  }

  void AwaitCompany(std::unique_lock<std::mutex>& lock) {
    submitted_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
    const auto end = std::chrono::steady_clock::now() + kLastArrival;
    for (size_t seen = 0; seen < waiting_.size() && !closing_;) {
      seen = waiting_.size();
      submitted_.wait_until(lock, std::min(end, std::chrono::steady_clock::now() + kNextArrival),
                            [&] { return closing_ || waiting_.size() > seen; });
    }
  }

  absl::Status Compute(const std::vector<std::shared_ptr<Call>>& calls) {
    std::vector<TokenScoreRequest> questions;
    std::vector<ContinueRequest> prompts;
    std::vector<Place> asked, begun;
    for (const auto& call : calls) {
      Move(call, call->questions, &questions, &asked);
      Move(call, call->prompts, &prompts, &begun);
    }
    RADLADS_RETURN_IF_ERROR(ScoreTokens(
        model_, questions, batch_tokens_,
        [&](int64_t i, std::vector<TokenScore> scores) { Answer(asked[i], std::move(scores)); },
        [&](int64_t i) { return !asked[i].call->cancelled; }));
    return ContinueTokens(
        model_, prompts, batch_tokens_,
        [&](int64_t i, int64_t id, const TokenScore& score) {
          Call& call = *begun[i].call;
          std::lock_guard lock(call.in_token);
          return !call.cancelled && (*call.on_token)(begun[i].index, id, score);
        },
        [&](int64_t i) { Answer(begun[i], {}); }, [&](int64_t i) { return !begun[i].call->cancelled; });
  }

  template <typename Request>
  static void Move(const std::shared_ptr<Call>& call, std::vector<Request>& requests, std::vector<Request>* all,
                   std::vector<Place>* places) {
    for (size_t i = 0; i < requests.size(); ++i) places->push_back({call, static_cast<int64_t>(i)});
    std::move(requests.begin(), requests.end(), std::back_inserter(*all));
  }

  void Answer(const Place& place, std::vector<TokenScore> scores) {
    Call& call = *place.call;
    std::lock_guard lock(mutex_);
    if (call.over) return;  // the caller left
    call.answers.emplace_back(place.index, std::move(scores));
    call.over = --call.unanswered == 0;
    answered_.Increment();
    running_requests_.Decrement();
    call.changed.notify_all();
  }

  Transformer& model_;
  const int64_t batch_tokens_, max_length_;
  prometheus::Family<prometheus::Gauge>& states_;
  prometheus::Family<prometheus::Counter>& results_;
  prometheus::Gauge& waiting_requests_ = states_.Add({{"state", "waiting"}});
  prometheus::Gauge& running_requests_ = states_.Add({{"state", "running"}});
  prometheus::Counter& answered_ = results_.Add({{"result", "answered"}});
  prometheus::Counter& dropped_ = results_.Add({{"result", "cancelled"}});
  prometheus::Counter& failed_ = results_.Add({{"result", "failed"}});
  prometheus::Counter& busy_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::vector<std::shared_ptr<Call>> waiting_;
  bool closing_ = false;
  std::thread worker_;
};

// The model as one caller sees it.
class ModelQueue::QueuedModel : public TokenModel {
 public:
  QueuedModel(Impl& queue, CancelledCallback cancelled) : queue_(queue), cancelled_(std::move(cancelled)) {}

  absl::Status Score(const std::vector<TokenScoreRequest>& requests, const TokenScoreCallback& done) override {
    RADLADS_RETURN_IF_ERROR(Check(requests));
    if (requests.empty()) return absl::OkStatus();
    const auto call = std::make_shared<Call>();
    call->questions = requests;
    call->unanswered = requests.size();
    return queue_.Wait(call, done, cancelled_);
  }

  absl::Status Continue(const std::vector<ContinueRequest>& requests, const ContinueCallback& on_token,
                        const ContinuedCallback& done) override {
    RADLADS_RETURN_IF_ERROR(Check(requests));
    if (requests.empty()) return absl::OkStatus();
    const auto call = std::make_shared<Call>();
    call->prompts = requests;
    call->on_token = &on_token;
    call->unanswered = requests.size();
    return queue_.Wait(
        call, [&](int64_t index, const std::vector<TokenScore>&) { done(index); }, cancelled_);
  }

  int64_t vocabulary() const override { return queue_.vocabulary(); }
  int64_t max_length() const override { return queue_.max_length(); }

 private:
  template <typename Request>
  absl::Status Check(const std::vector<Request>& requests) const {
    for (size_t i = 0; i < requests.size(); ++i) {
      const absl::Status status = requests[i].Check(queue_.vocabulary());
      if (!status.ok()) return Annotate(status, Concatenate("request ", i));
    }
    return absl::OkStatus();
  }

  Impl& queue_;
  const CancelledCallback cancelled_;
};

ModelQueue::ModelQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelQueue::~ModelQueue() = default;

absl::StatusOr<std::unique_ptr<ModelQueue>> ModelQueue::Create(Transformer& model, const TokenModelOptions& options,
                                                               prometheus::Registry& metrics) {
  RADLADS_ASSIGN_OR_RETURN(const int64_t max_length, ContextLength(model, options));
  return std::unique_ptr<ModelQueue>(
      new ModelQueue(std::make_unique<Impl>(model, options.batch_tokens, max_length, metrics)));
}

std::unique_ptr<TokenModel> ModelQueue::Caller(CancelledCallback cancelled) {
  return std::make_unique<QueuedModel>(*impl_, std::move(cancelled));
}

int64_t ModelQueue::vocabulary() const {
  return impl_->vocabulary();
}
int64_t ModelQueue::max_length() const {
  return impl_->max_length();
}

}  // namespace radlads
