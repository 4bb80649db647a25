#include "serve/sessions/text_runner.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "serve/error_code.h"

namespace radlads {
namespace {

constexpr size_t kMaxStops = 16, kMaxStopBytes = 256;
constexpr int64_t kMaxLogprobs = 20;
constexpr auto kTick = std::chrono::seconds(1);

}  // namespace

TextRunner::TextRunner(std::unique_ptr<Engine> engine, std::shared_ptr<const Tokenizer> tokenizer, StateLayout layout,
                       std::string model_hash, SessionStore& store, ServiceMetrics& metrics,
                       const SessionServiceOptions& options)
    : tokenizer_(std::move(tokenizer)),
      layout_(std::move(layout)),
      model_hash_(std::move(model_hash)),
      store_(store),
      metrics_(metrics),
      options_(options),
      cache_(options.cache_bytes),
      engine_(std::move(engine)),
      events_(std::make_unique<WorkQueue<TextEvent>>(
          [this](std::vector<TextEvent> events) { HandOut(std::move(events)); }, kTick)),
      writes_(std::make_unique<WorkQueue<std::function<void()>>>(
          [this](std::vector<std::function<void()>> writes) {
            for (const auto& write : writes) write();
            if (writes.empty() && !store_.Expire().ok()) metrics_.store_errors.Increment();
          },
          kTick)) {}

TextRunner::~TextRunner() {
  {
    std::lock_guard lock(mutex_);
    for (const auto& [number, text] : texts_) engine_->Cancel(number);
  }
  Drain();
  writes_.reset();
  events_.reset();
}

absl::Status TextRunner::Check(const TextRequest& request) const {
  if (!request.session.empty() && !request.snapshot.empty()) {
    return InvalidArgument("a text goes on from a session or from a snapshot, not from both");
  }
  if (request.max_tokens < 0) return InvalidArgument("max_tokens must be 0 or more, found ", request.max_tokens);
  if (request.min_tokens < 0 || (request.json && request.min_tokens > 0)) {
    return InvalidArgument("min_tokens must be 0 or more, and 0 for JSON, found ", request.min_tokens);
  }
  if (request.logprobs && (*request.logprobs < 0 || *request.logprobs > kMaxLogprobs)) {
    return InvalidArgument("logprobs must be in [0, ", kMaxLogprobs, "], found ", *request.logprobs);
  }
  if (request.reply_end < 0 || request.reply_end > static_cast<int64_t>(request.prompt.size())) {
    return InvalidArgument("reply_end must be in [0, ", request.prompt.size(), "], found ", request.reply_end);
  }
  if (!request.snapshot_id.empty()) RADLADS_RETURN_IF_ERROR(store_.CheckName(request.snapshot_id));
  if (request.stop.size() > kMaxStops) {
    return InvalidArgument("there are ", request.stop.size(), " stop strings; at most ", kMaxStops, " are watched for");
  }
  for (const std::string& stop : request.stop) {
    if (stop.size() > kMaxStopBytes) {
      return InvalidArgument("a stop string has ", stop.size(), " bytes; at most ", kMaxStopBytes, " are watched for");
    }
  }
  return absl::OkStatus();
}

// Where the text goes on from; for a reply that a crash cut, where that began, with prompt and reply taken from the
// log.
absl::StatusOr<StoredPlace> TextRunner::Begin(ServedText& text) {
  const TextRequest& request = text.request;
  if (!request.session.empty()) {
    RADLADS_RETURN_IF_ERROR(store_.CheckRoom(/*for_a_new_session=*/false));
    RADLADS_ASSIGN_OR_RETURN(SessionStore::Lease lease, store_.Acquire(request.session));
    text.lease.emplace(std::move(lease));
    text.session = request.session;
    StoredSession session = store_.Find(*text.lease);
    text.again = session.reply && request.prompt.empty();
    text.begin = text.again ? session.reply->prompt() : session.tokens;
    if (text.again) {
      RADLADS_ASSIGN_OR_RETURN(text.request.prompt, store_.Tokens(session, text.begin, session.reply->reply()));
      RADLADS_ASSIGN_OR_RETURN(const auto known, store_.Tokens(session, session.reply->reply(), session.tokens));
      for (const int64_t id : known) RADLADS_RETURN_IF_ERROR(text.Replay(id));
      text.replayed = static_cast<int64_t>(known.size());
      text.logged = true;
    }
    const int last = session.record.snapshots_size() - 1;
    const int64_t end = session.tokens;
    return FindPlace(store_, std::move(session), last, end);
  }
  if (request.keep) RADLADS_RETURN_IF_ERROR(store_.CheckRoom(/*for_a_new_session=*/true));
  if (request.snapshot.empty()) return StoredPlace();
  RADLADS_ASSIGN_OR_RETURN(auto found, store_.FindSnapshot(request.snapshot));
  text.begin = found.first.record.snapshots(found.second).tokens();
  text.parent = found.first.record.id();
  if (request.keep) {
    RADLADS_ASSIGN_OR_RETURN(text.before, store_.Tokens(found.first, 0, text.begin));
  }
  return FindPlace(store_, std::move(found.first), found.second, text.begin);
}

// What ends a reply is not read twice.
absl::Status TextRunner::DropReplyEnd(ServedText& text, const StoredPlace& place) {
  TextRequest& request = text.request;
  if (request.reply_end == 0 || text.begin == 0) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const auto last, store_.Tokens(place.session, text.begin - 1, text.begin));
  if (last.at(0) == request.prompt[request.reply_end - 1]) {
    request.prompt.erase(request.prompt.begin(), request.prompt.begin() + request.reply_end);
  }
  return absl::OkStatus();
}

// A state in the store that has read more of the text than the one in memory, if there is one, takes its place.
bool TextRunner::LoadLonger(std::span<const PrefixHash> hashes, PrefixCache::Match* match) {
  const auto prefix = store_.FindPrefix(hashes.subspan(match->place + 1));
  if (!prefix) return false;
  const auto& record = prefix->session.record.snapshots(prefix->snapshot);
  auto state =
      LoadState(store_, layout_, {.session = prefix->session, .snapshot = prefix->snapshot, .read = record.read()});
  if (!state.ok()) {
    // It is another session's: this text is computed instead.
    metrics_.store_errors.Increment();
    Log().warn("a text begins as a session does, but {}", std::string(state.status().message()));
    return false;
  }
  match->place += 1 + prefix->place;
  match->snapshot = *std::move(state);
  cache_.Put(hashes[match->place], match->snapshot);
  return true;
}

absl::StatusOr<EngineRequest> TextRunner::MakeRequest(ServedText& text, const StoredPlace& place) {
  const TextRequest& request = text.request;
  // All that is known of the text after the stored state: what was before the prompt, the prompt, the reply.
  std::vector<int64_t> known = place.unread;
  if (!text.again) known.insert(known.end(), request.prompt.begin(), request.prompt.end());
  const auto size = static_cast<int64_t>(known.size());
  if (size == 0) return InvalidArgument("there is nothing to go on from: give a prompt, of at least one token");
  if (options_.context > 0 && place.read + size + (request.max_tokens > 0) > options_.context) {
    return WithErrorCode(
        InvalidArgument("the text has ", place.read + size, " tokens with its prompt, of the ", options_.context,
                        " that may be; begin a new one, or go on from an earlier snapshot"),
        kContextLengthExceeded);
  }
  text.hash_begin = place.read;
  text.hashes = Chain(place.hash, known);
  text.full_hash = text.hashes.back();
  text.last_hash = text.hashes[size - 1];
  PrefixCache::Match match = cache_.Find(text.hashes, place.read);
  // A state from the store leaves the last token to read: what comes after it is wanted.
  bool stored = match.place < size && LoadLonger(std::span(text.hashes).first(size), &match);
  if (match.snapshot == nullptr && place.snapshot >= 0) {
    RADLADS_ASSIGN_OR_RETURN(match.snapshot, LoadState(store_, layout_, place));
    cache_.Put(place.hash, match.snapshot);
    stored = true;
  }
  (stored ? metrics_.disk_hits : match.snapshot != nullptr ? metrics_.memory_hits : metrics_.misses).Increment();
  const SnapshotPtr from = match.snapshot;
  const int64_t at = match.place, prompt_at = text.begin - place.read;
  text.cached = std::clamp<int64_t>(at - prompt_at, 0, static_cast<int64_t>(request.prompt.size()));

  const int64_t prompt_end = text.begin + static_cast<int64_t>(request.prompt.size());
  EngineRequest asked;
  auto start = std::make_shared<Snapshot>();
  if (from != nullptr) {
    start->state = from->state;
    start->logits = from->logits;
  }
  start->tokens = place.read + at;
  if (at < prompt_at) start->unread.assign(known.begin() + at, known.begin() + prompt_at);
  asked.from = std::move(start);
  asked.prompt = request.prompt;
  asked.read = std::max<int64_t>(0, at - prompt_at);
  asked.replay = text.reply;
  asked.max_tokens = text.Ended() ? text.replayed : text.replayed + request.max_tokens;
  if (options_.context > 0) {
    asked.max_tokens = std::min(asked.max_tokens, std::max(text.replayed, options_.context - prompt_end));
  }
  asked.sampling = request.sampling;
  asked.stop_ids = text.stop_ids;
  const int64_t bytes = layout_.ByteSize(prompt_end), shared = place.read + match.shared;
  const bool cached = bytes <= options_.cache_bytes;
  const bool kept = text.lease && bytes <= options_.state_bytes && prompt_end - place.read >= options_.snapshot_tokens;
  if (cached && match.shared > at) asked.snapshot_at.push_back(shared);
  if ((cached || kept) && prompt_end > std::max(shared, place.read + at)) asked.snapshot_at.push_back(prompt_end);
  if (text.lease && !layout_.grows()) asked.snapshot_every = options_.snapshot_tokens;
  text.stored_at = place.read;
  return asked;
}

absl::StatusOr<uint64_t> TextRunner::Start(TextRequest request, TextCallbacks callbacks) {
  RADLADS_RETURN_IF_ERROR(Check(request));
  const auto text = std::make_shared<ServedText>(tokenizer_, std::move(request), std::move(callbacks));
  RADLADS_ASSIGN_OR_RETURN(const StoredPlace place, Begin(*text));
  RADLADS_RETURN_IF_ERROR(DropReplyEnd(*text, place));
  RADLADS_ASSIGN_OR_RETURN(EngineRequest asked, MakeRequest(*text, place));
  // What the engine holds of a text must not hold the engine's request.
  const auto emit = [this, text](TextEvent event) {
    event.text = text;
    events_->Push(std::move(event));
  };
  asked.on_token = [text, emit](int64_t id, const Tensor& logits) { return text->OnToken(id, logits, emit); };
  if (text->json || text->request.min_tokens > 0) asked.allows = [text](int64_t id) { return text->Allows(id); };
  const int64_t prompt_end = text->begin + static_cast<int64_t>(text->request.prompt.size());
  asked.on_snapshot = [this, text, emit, prompt_end](SnapshotPtr snapshot) {
    const PrefixHash hash = text->HashAt(snapshot->tokens);
    if (snapshot->tokens <= prompt_end) cache_.Put(hash, snapshot);
    if (!text->lease || snapshot->tokens - text->stored_at < options_.snapshot_tokens) return;
    text->stored_at = snapshot->tokens;
    TextEvent event;
    event.snapshot = {std::move(snapshot), hash};
    emit(std::move(event));
  };
  asked.on_done = [this, text, emit](EngineResult result) {
    TextEvent event = text->OnEnd(std::move(result));
    if (event.result->snapshot != nullptr) cache_.Put(event.end_hash, event.result->snapshot);
    emit(std::move(event));
  };
  std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const uint64_t number, engine_->Submit(std::move(asked)));
  texts_[number] = text;
  text->number = number;
  return number;
}

void TextRunner::Cancel(uint64_t number) {
  std::lock_guard lock(mutex_);
  const auto found = texts_.find(number);
  if (found == texts_.end()) return;
  found->second->unwanted = true;
  // Past its prompt it ends with the next token, and its state is kept.
  if (!found->second->sampled) engine_->Cancel(number);
}

// To its end.
absl::Status TextRunner::Compute(EngineRequest request, std::stop_token stop) {
  const auto done = std::make_shared<std::promise<EngineResult>>();
  request.on_done = [done](EngineResult result) { done->set_value(std::move(result)); };
  RADLADS_ASSIGN_OR_RETURN(const uint64_t number, engine_->Submit(std::move(request)));
  const std::stop_callback cancel(std::move(stop), [&] { engine_->Cancel(number); });
  EngineResult result = done->get_future().get();
  RADLADS_RETURN_IF_ERROR(result.status);
  if (result.snapshot == nullptr) return absl::CancelledError("stopped before the text was read");
  return absl::OkStatus();
}

absl::Status TextRunner::Warm(std::span<const std::vector<int64_t>> prompts, std::stop_token stop) {
  RADLADS_RETURN_IF_ERROR(Compute({.prompt = {0}, .max_tokens = 2}, stop));
  for (const std::vector<int64_t>& prompt : prompts) {
    const auto size = static_cast<int64_t>(prompt.size());
    if (options_.context > 0 && size >= options_.context) {
      return InvalidArgument("the prompt has ", size, " tokens, of the ", options_.context, " that a text may have");
    }
    // With a token, so that there are logits: a text may be just this.
    SnapshotPtr snapshot;
    EngineRequest request{.prompt = prompt, .max_tokens = 1, .snapshot_at = {size}};
    request.on_snapshot = [&](SnapshotPtr made) { snapshot = std::move(made); };
    RADLADS_RETURN_IF_ERROR(Compute(std::move(request), stop));
    RADLADS_RETURN_IF_ERROR(cache_.Pin(Chain({}, prompt).back(), snapshot));
  }
  return absl::OkStatus();
}

void TextRunner::Drain() {
  engine_->Drain();
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return texts_.empty(); });
}

}  // namespace radlads
