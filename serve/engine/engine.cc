#include "serve/engine/engine.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/parallel_for.h"
#include "base/release_threads.h"
#include "base/status.h"
#include "model/decode/decode_batch.h"
#include "model/decode/recorder.h"
#include "model/token_ids.h"

namespace radlads {
namespace {

// A request under way.
struct Text {
  uint64_t number;
  EngineRequest request;
  TokenSampler sampler;
  std::vector<int64_t> reading;  // what is to be read before the first token is sampled
  size_t read = 0;               // of it
  int64_t tokens = 0;            // that the state has read
  size_t snapshots = 0;          // of snapshot_at that lie behind
  ModelState state;              // until it steps with others
  int64_t last = -1;             // sampled, not read yet
  int64_t sampled = 0;
};
using TextPtr = std::unique_ptr<Text>;

class BatchingEngine : public Engine {
 public:
  BatchingEngine(Transformer& model, const EngineOptions& options)
      : model_(model), options_(options), batch_(model, RecorderFor(model.device())) {
    ReleaseThreads();
    worker_ = std::thread([this, threads = Threads()] {
      // OpenMP keeps the number for each thread that starts loops.
      SetThreads(threads);
      at::set_num_threads(threads);
      Work();
    });
  }

  ~BatchingEngine() override {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    worker_.join();
  }

  absl::StatusOr<uint64_t> Submit(EngineRequest request) override {
    RADLADS_RETURN_IF_ERROR(Check(request));
    std::lock_guard lock(mutex_);
    if (draining_ || closing_) return absl::UnavailableError("the engine is shutting down; ask another server");
    if (static_cast<int64_t>(waiting_.size()) >= options_.waiting) {
      return absl::ResourceExhaustedError(Concatenate("the queue is full: ", waiting_.size(), " requests wait for ",
                                                      options_.active, " places; try again later"));
    }
    auto text = std::make_unique<Text>(
        Text{.number = ++last_number_, .request = std::move(request), .sampler = TokenSampler({})});
    Prepare(text.get());
    waiting_.push_back(std::move(text));
    ++unfinished_;
    changed_.notify_all();
    return last_number_;
  }

  void Cancel(uint64_t number) override {
    std::lock_guard lock(mutex_);
    cancelled_.insert(number);
    changed_.notify_all();
  }

  void Drain() override {
    std::unique_lock lock(mutex_);
    draining_ = true;
    changed_.wait(lock, [&] { return unfinished_ == 0; });
  }

  EngineStats stats() const override {
    std::lock_guard lock(mutex_);
    EngineStats stats = stats_;
    stats.waiting = static_cast<int64_t>(waiting_.size());
    return stats;
  }

 private:
  absl::Status Check(const EngineRequest& request) const {
    const int64_t vocabulary = model_.config().vocab_size();
    if (request.max_tokens < 0) return InvalidArgument("max_tokens must be 0 or more, found ", request.max_tokens);
    if (static_cast<int64_t>(request.replay.size()) > request.max_tokens) {
      return InvalidArgument(request.replay.size(), " tokens to replay, of at most ", request.max_tokens);
    }
    const auto known = static_cast<int64_t>(request.prompt.size() + request.replay.size());
    const bool has_logits = request.from != nullptr && request.from->logits.defined() && request.replay.empty();
    const bool leaves_some = request.read < known || (has_logits && request.read == known);
    if (request.read < 0 || (request.read > 0 && (request.from == nullptr || !leaves_some))) {
      return InvalidArgument(request.read, " tokens were read, of ", known, " that are known");
    }
    if (request.prompt.empty() && !has_logits && (request.from == nullptr || request.from->unread.empty())) {
      return InvalidArgument("the prompt has no token; give at least one, the begin-of-text token for example");
    }
    RADLADS_RETURN_IF_ERROR(CheckTokenIds(request.prompt, vocabulary));
    RADLADS_RETURN_IF_ERROR(CheckTokenIds(request.replay, vocabulary));
    return request.sampling.Check(vocabulary);
  }

  static void Prepare(Text* text) {
    const EngineRequest& request = text->request;
    text->sampler = TokenSampler(request.sampling);
    text->sampler.Read(request.prompt);
    if (request.from != nullptr) text->tokens = request.from->tokens;
    if (request.from != nullptr && request.read == 0) text->reading = request.from->unread;
    text->reading.insert(text->reading.end(), request.prompt.begin(), request.prompt.end());
    if (!request.replay.empty()) {
      text->reading.insert(text->reading.end(), request.replay.begin(), request.replay.end() - 1);
      text->last = request.replay.back();
      text->sampled = static_cast<int64_t>(request.replay.size());
      for (const int64_t id : request.replay) text->sampler.Replay(id);
    }
    text->reading.erase(text->reading.begin(), text->reading.begin() + request.read);
  }

  void Work() {
    const at::NoGradGuard no_grad;
    while (Admit()) {
      try {
        ReadPiece();
        Step();
      } catch (const std::exception& error) {
        // What was under way may be half done: nobody continues from it.
        const absl::Status status = absl::InternalError(Concatenate("the model failed: ", error.what()));
        while (!reading_.empty()) FinishWith(Take(&reading_), FinishReason::kError, status);
        batch_.Clear();
        while (!stepping_.empty()) {
          FinishWith(std::move(stepping_.extract(stepping_.begin()).mapped()), FinishReason::kError, status);
        }
      }
    }
  }

  static TextPtr Take(std::deque<TextPtr>* texts) {
    TextPtr text = std::move(texts->front());
    texts->pop_front();
    return text;
  }

  int64_t active() const { return static_cast<int64_t>(stepping_.size()); }

  // Waits for something to do, lets requests in where there is room and drops those that were cancelled. Returns false
  // when the engine closes.
  bool Admit() {
    std::unordered_set<uint64_t> cancelled;
    std::vector<TextPtr> dropped;
    bool closing;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        return closing_ || !waiting_.empty() || !reading_.empty() || active() > 0 || !cancelled_.empty();
      });
      closing = closing_;
      cancelled.swap(cancelled_);
      const auto drop = [&](const TextPtr& text) { return closing || cancelled.contains(text->number); };
      for (TextPtr& text : waiting_) {
        if (drop(text)) dropped.push_back(std::move(text));
      }
      std::erase(waiting_, nullptr);
      while (!waiting_.empty() && active() + static_cast<int64_t>(reading_.size()) < options_.active) {
        reading_.push_back(Take(&waiting_));
      }
      CountTexts();
    }
    const auto drop = [&](const TextPtr& text) { return closing || cancelled.contains(text->number); };
    if (closing || !cancelled.empty()) {
      for (TextPtr& text : reading_) {
        if (drop(text)) dropped.push_back(std::move(text));
      }
      std::erase(reading_, nullptr);
      for (const uint64_t number : batch_.texts()) {
        if (drop(stepping_.at(number))) dropped.push_back(TakeStepping(number));
      }
    }
    for (TextPtr& text : dropped) FinishWith(std::move(text), FinishReason::kCancelled, absl::OkStatus());
    return !closing;
  }

  // With the lock, on the worker's thread.
  void CountTexts() {
    stats_.reading = static_cast<int64_t>(reading_.size());
    stats_.active = active();
    stats_.state_bytes = batch_.ByteSize();
  }

  // A piece of the prompt that has waited longest.
  void ReadPiece() {
    if (reading_.empty()) return;
    Text& text = *reading_.front();
    // A pass leaves what somebody else holds as it is.
    if (text.read == 0 && text.request.from != nullptr) text.state = text.request.from->state.To(model_.device());
    const int64_t left = static_cast<int64_t>(text.reading.size() - text.read);
    const std::vector<int64_t>& at = text.request.snapshot_at;
    while (text.snapshots < at.size() && at[text.snapshots] <= text.tokens) ++text.snapshots;
    int64_t time = std::min(options_.prompt_tokens, left);
    if (text.snapshots < at.size()) time = std::min(time, at[text.snapshots] - text.tokens);
    const bool sampling = time == left && text.last < 0 && text.request.max_tokens > 0;
    // With nothing left, the state has read all but the last token of `replay`, or the logits are known.
    Tensor hidden, logits;
    if (time > 0) hidden = Read(time, &text);
    absl::StatusOr<int64_t> id;
    bool more = true;
    if (sampling) {
      logits = time > 0 ? LogitsOf(hidden.select(1, time - 1))[0] : text.request.from->logits;
      id = text.sampler.Sample(logits, text.request.allows);
      more = id.ok() && Deliver(*id, logits, &text);
    }
    // After the token, which somebody waits for.
    if (text.snapshots < at.size() && at[text.snapshots] == text.tokens) HandOut(text.state.Copy(), {}, logits, text);
    {
      std::lock_guard lock(mutex_);
      stats_.prompt_tokens += time;
    }
    TextPtr taken = Take(&reading_);
    if (time < left) {
      reading_.push_back(std::move(taken));
    } else if (sampling && !id.ok()) {
      FinishWith(std::move(taken), FinishReason::kError, id.status());
    } else if (!more) {
      Finish(std::move(taken), FinishReason::kCallback);
    } else if (text.last >= 0) {
      AfterLast(std::move(taken));
    } else {
      Finish(std::move(taken), FinishReason::kLength);
    }
  }

  // The next tokens of `reading`. -> [1,time,C]
  Tensor Read(int64_t time, Text* text) {
    const at::ArrayRef<int64_t> ids(text->reading.data() + text->read, time);
    Tensor hidden = model_.Forward(at::tensor(ids, at::kLong).view({1, time}), &text->state);
    text->read += time;
    text->tokens += time;
    return hidden;
  }

  // [N,W] fp32 on the CPU.
  Tensor LogitsOf(const Tensor& hidden) { return model_.Logits(hidden).to(at::kCPU, at::kFloat); }

  static void HandOut(const ModelState& state, std::vector<int64_t> unread, const Tensor& logits, const Text& text) {
    if (!text.request.on_snapshot) return;
    text.request.on_snapshot(std::make_shared<Snapshot>(
        Snapshot{.state = state.To(at::kCPU), .unread = std::move(unread), .tokens = text.tokens, .logits = logits}));
  }

  // Returns whether the text's owner wants more.
  bool Deliver(int64_t id, const Tensor& logits, Text* text) {
    text->last = id;
    ++text->sampled;
    {
      std::lock_guard lock(mutex_);
      ++stats_.sampled_tokens;
    }
    return !text->request.on_token || text->request.on_token(id, logits) || IsStop(*text);
  }

  static bool IsStop(const Text& text) {
    const std::vector<int64_t>& stops = text.request.stop_ids;
    return std::find(stops.begin(), stops.end(), text.last) != stops.end();
  }

  // How a text ends with its last token, if it does.
  static std::optional<FinishReason> EndOf(const Text& text) {
    if (IsStop(text)) return FinishReason::kStopToken;
    if (text.sampled >= text.request.max_tokens) return FinishReason::kLength;
    return std::nullopt;
  }

  // A text whose prompt is read goes on with the others, or ends.
  void AfterLast(TextPtr text) {
    if (const auto end = EndOf(*text)) return Finish(std::move(text), *end);
    batch_.Add(text->number, text->state);
    text->state = ModelState();
    stepping_.emplace(text->number, std::move(text));
  }

  TextPtr TakeStepping(uint64_t number) {
    batch_.Remove(number);
    return std::move(stepping_.extract(number).mapped());
  }

  // One token for every text that is past its prompt.
  void Step() {
    if (stepping_.empty()) return;
    const Tensor logits = LogitsOf(batch_.Step([&](uint64_t number) { return stepping_.at(number)->last; }));
    const std::vector<uint64_t> numbers = batch_.texts();
    std::vector<Text*> texts;
    for (const uint64_t number : numbers) texts.push_back(stepping_.at(number).get());
    std::vector<absl::StatusOr<int64_t>> sampled(texts.size(), absl::UnknownError(""));
    ParallelFor(static_cast<int64_t>(texts.size()), 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) sampled[i] = texts[i]->sampler.Sample(logits[i], texts[i]->request.allows);
    });
    for (size_t i = 0; i < texts.size(); ++i) {
      ++texts[i]->tokens;
      EndStep(texts[i], sampled[i], logits[static_cast<int64_t>(i)]);
    }
  }

  void EndStep(Text* text, const absl::StatusOr<int64_t>& id, const Tensor& logits) {
    if (!id.ok()) return FinishWith(TakeStepping(text->number), FinishReason::kError, id.status());
    const bool more = Deliver(*id, logits, text);
    const std::optional<FinishReason> end = more ? EndOf(*text) : FinishReason::kCallback;
    if (end) {
      text->state = batch_.StateOf(text->number);
      return Finish(TakeStepping(text->number), *end);
    }
    const int64_t every = text->request.snapshot_every;
    if (every > 0 && text->sampled % every == 0) HandOut(batch_.StateOf(text->number), {*id}, /*logits=*/{}, *text);
  }

  // With a snapshot of text.state.
  void Finish(TextPtr text, FinishReason reason) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->tokens = text->tokens;
    snapshot->state = text->state.To(at::kCPU);
    if (text->last >= 0) snapshot->unread = {text->last};
    End(std::move(text), {.finish = reason, .snapshot = std::move(snapshot)});
  }

  void FinishWith(TextPtr text, FinishReason reason, const absl::Status& status) {
    End(std::move(text), {.finish = reason, .status = status});
  }

  void End(TextPtr text, EngineResult result) {
    result.prompt_tokens = static_cast<int64_t>(text->request.prompt.size());
    result.sampled_tokens = text->sampled;
    {
      std::lock_guard lock(mutex_);
      ++(result.finish == FinishReason::kCancelled ? stats_.cancelled
         : result.finish == FinishReason::kError   ? stats_.failed
                                                   : stats_.finished);
      CountTexts();  // before its owner hears of it: there may be nothing to do for long
    }
    if (text->request.on_done) text->request.on_done(std::move(result));
    text.reset();
    std::lock_guard lock(mutex_);
    --unfinished_;
    changed_.notify_all();
  }

  Transformer& model_;
  const EngineOptions options_;
  // Of the worker:
  std::deque<TextPtr> reading_;
  std::unordered_map<uint64_t, TextPtr> stepping_;  // past their prompts, by number
  DecodeBatch batch_;                               // of these

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<TextPtr> waiting_;
  std::unordered_set<uint64_t> cancelled_;
  EngineStats stats_;
  uint64_t last_number_ = 0;
  int64_t unfinished_ = 0;
  bool draining_ = false, closing_ = false;
  std::thread worker_;
};

}  // namespace

absl::Status EngineOptions::Check() const {
  if (active < 1) return InvalidArgument("active must be at least 1, found ", active);
  if (waiting < 1) return InvalidArgument("waiting must be at least 1, found ", waiting);
  if (prompt_tokens < 1) return InvalidArgument("prompt_tokens must be at least 1, found ", prompt_tokens);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(Transformer& model, const EngineOptions& options) {
  RADLADS_RETURN_IF_ERROR(options.Check());
  return std::make_unique<BatchingEngine>(model, options);
}

}  // namespace radlads
