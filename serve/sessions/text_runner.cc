#include "serve/sessions/text_runner.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "serve/sessions/session_blob.h"

namespace radlads {
namespace {

using sessions::SnapshotRecord;
using std::chrono::duration;

constexpr size_t kMaxStops = 16, kMaxStopBytes = 256;
constexpr int64_t kMaxLogprobs = 20;
constexpr auto kTick = std::chrono::seconds(1);

double Seconds(std::chrono::steady_clock::duration time) {
  return duration<double>(time).count();
}

}  // namespace

absl::StatusOr<StoredPlace> FindPlace(SessionStore& store, StoredSession session, int last_snapshot, int64_t tokens) {
  StoredPlace place{.session = std::move(session)};
  for (int i = 0; i <= last_snapshot; ++i) {
    const SnapshotRecord& snapshot = place.session.record.snapshots(i);
    if (snapshot.bytes() == 0 || snapshot.read() > tokens) continue;
    if (snapshot.prefix_hash().size() != place.hash.size()) {
      return DataLoss("a snapshot of session '", place.session.record.id(), "' has no hash; delete the session");
    }
    place.snapshot = i;
    place.read = snapshot.read();
    std::copy(snapshot.prefix_hash().begin(), snapshot.prefix_hash().end(), place.hash.begin());
  }
  RADLADS_ASSIGN_OR_RETURN(place.unread, store.Tokens(place.session, place.read, tokens));
  return place;
}

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
  if (request.logprobs && (*request.logprobs < 0 || *request.logprobs > kMaxLogprobs)) {
    return InvalidArgument("logprobs must be in [0, ", kMaxLogprobs, "], found ", *request.logprobs);
  }
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
      for (const int64_t id : known) text.Replay(id);
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

absl::StatusOr<SnapshotPtr> TextRunner::LoadState(const StoredPlace& place) {
  auto snapshot = std::make_shared<Snapshot>();
  const auto read = [&](std::string_view bytes) -> absl::Status {
    RADLADS_ASSIGN_OR_RETURN(const SessionBlob blob, ParseBlob(bytes));
    RADLADS_ASSIGN_OR_RETURN(snapshot->state, layout_.State(blob));
    snapshot->tokens = blob.read;
    if (blob.read != place.read) return DataLoss("it has read ", blob.read, " tokens, expected ", place.read);
    return absl::OkStatus();
  };
  const int64_t number = place.session.record.snapshots(place.snapshot).number();
  const absl::Status status = store_.ReadState(place.session, number, read);
  if (status.ok()) return snapshot;
  return DataLoss("the state of snapshot ", SnapshotId(place.session.number, number), ": ", status.message(),
                  "; set the session back to another snapshot, or delete it");
}

absl::StatusOr<EngineRequest> TextRunner::MakeRequest(ServedText& text, const StoredPlace& place) {
  const TextRequest& request = text.request;
  // All that is known of the text after the stored state: what was before the prompt, the prompt, the reply.
  std::vector<int64_t> known = place.unread;
  if (!text.again) known.insert(known.end(), request.prompt.begin(), request.prompt.end());
  const auto size = static_cast<int64_t>(known.size());
  if (size == 0) return InvalidArgument("there is nothing to go on from: give a prompt, of at least one token");
  if (options_.context > 0 && place.read + size + (request.max_tokens > 0) > options_.context) {
    return InvalidArgument("the text has ", place.read + size, " tokens with its prompt, of the ", options_.context,
                           " that may be; begin a new one, or go on from an earlier snapshot");
  }
  text.hash_begin = place.read;
  text.hashes = Chain(place.hash, known);
  text.full_hash = text.hashes.back();
  text.last_hash = text.hashes[size - 1];
  // The last token is left to read: what comes after it is wanted.
  const PrefixCache::Match match = cache_.Find(std::span(text.hashes).first(size), place.read);
  (match.snapshot != nullptr ? metrics_.hits : metrics_.misses).Increment();
  SnapshotPtr from = match.snapshot;
  if (from == nullptr && place.snapshot >= 0) {
    RADLADS_ASSIGN_OR_RETURN(from, LoadState(place));
    cache_.Put(place.hash, from);
  }
  const int64_t at = match.place, prompt_at = text.begin - place.read;
  text.cached = std::clamp<int64_t>(at - prompt_at, 0, static_cast<int64_t>(request.prompt.size()));

  const int64_t prompt_end = text.begin + static_cast<int64_t>(request.prompt.size());
  EngineRequest asked;
  auto start = std::make_shared<Snapshot>();
  if (from != nullptr) start->state = from->state;
  start->tokens = place.read + at;
  if (at < prompt_at) start->unread.assign(known.begin() + at, known.begin() + prompt_at);
  asked.from = std::move(start);
  asked.prompt = request.prompt;
  asked.read = std::max<int64_t>(0, at - prompt_at);
  asked.replay = text.reply;
  asked.max_tokens = text.growing.ended() ? text.replayed : text.replayed + request.max_tokens;
  if (options_.context > 0) {
    asked.max_tokens = std::min(asked.max_tokens, std::max(text.replayed, options_.context - prompt_end));
  }
  asked.sampling = request.sampling;
  asked.stop_ids = text.stop_ids;
  const int64_t bytes = layout_.ByteSize(prompt_end), shared = place.read + match.shared;
  const bool cached = bytes <= options_.cache_bytes;
  const bool stored =
      text.lease && bytes <= options_.state_bytes && prompt_end - place.read >= options_.snapshot_tokens;
  if (cached && match.shared > at) asked.snapshot_at.push_back(shared);
  if ((cached || stored) && prompt_end > std::max(shared, place.read + at)) asked.snapshot_at.push_back(prompt_end);
  if (text.lease && !layout_.grows()) asked.snapshot_every = options_.snapshot_tokens;
  text.stored_at = place.read;
  return asked;
}

absl::StatusOr<uint64_t> TextRunner::Start(TextRequest request, TextCallbacks callbacks) {
  RADLADS_RETURN_IF_ERROR(Check(request));
  const auto text = std::make_shared<ServedText>(tokenizer_, std::move(request), std::move(callbacks));
  RADLADS_ASSIGN_OR_RETURN(const StoredPlace place, Begin(*text));
  RADLADS_ASSIGN_OR_RETURN(EngineRequest asked, MakeRequest(*text, place));
  // What the engine holds of a text must not hold the engine's request.
  const auto emit = [this, text](TextEvent event) {
    event.text = text;
    events_->Push(std::move(event));
  };
  asked.on_token = [text, emit](int64_t id, const Tensor& logits) { return text->OnToken(id, logits, emit); };
  asked.on_snapshot = [this, text, emit](SnapshotPtr snapshot) {
    const PrefixHash hash = text->HashAt(snapshot->tokens);
    if (!text->sampled) cache_.Put(hash, snapshot);
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

void TextRunner::Drain() {
  engine_->Drain();
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return texts_.empty(); });
}

void TextRunner::HandOut(std::vector<TextEvent> events) {
  WriteTokens(events);
  for (TextEvent& event : events) Deliver(event);
  metrics_.Update(engine_->stats(), cache_.stats(), store_);
}

void TextRunner::WriteTokens(const std::vector<TextEvent>& events) {
  std::map<ServedText*, SessionStore::Append> appends;
  for (const TextEvent& event : events) {
    ServedText& text = *event.text;
    if (event.piece.tokens.empty() || event.stored || !text.lease || !text.failure.ok()) continue;
    SessionStore::Append& append = appends[&text];
    append.lease = &*text.lease;
    if (!text.logged && !append.begin) {
      append.begin.emplace();
      append.begin->set_prompt(text.begin);
      append.begin->set_reply(text.begin + static_cast<int64_t>(text.request.prompt.size()));
      append.tokens = text.request.prompt;
    }
    for (const TextToken& token : event.piece.tokens) append.tokens.push_back(token.id);
  }
  if (appends.empty()) return;
  std::vector<SessionStore::Append> all;
  for (auto& [text, append] : appends) all.push_back(std::move(append));
  const absl::Status written = store_.AppendTokens(all);
  if (!written.ok()) metrics_.store_errors.Increment();
  for (auto& [text, append] : appends) {
    if (written.ok()) {
      text->logged = true;
    } else {
      text->failure = written;
      text->unwanted = true;
    }
  }
}

void TextRunner::Deliver(TextEvent& event) {
  ServedText& text = *event.text;
  if (event.stored) {
    metrics_.Finished(event.stored->finish);
    if (text.callbacks.on_done) text.callbacks.on_done(*std::move(event.stored));
    std::lock_guard lock(mutex_);
    texts_.erase(text.number);
    ended_.notify_all();
    return;
  }
  if (!event.piece.tokens.empty()) {
    metrics_.sampled_tokens.Increment();
    if (text.last_token) {
      metrics_.token_seconds.Observe(Seconds(event.time - *text.last_token));
    } else {
      metrics_.first_token_seconds.Observe(Seconds(event.time - text.started));
    }
    text.last_token = event.time;
  }
  const bool says = !event.piece.tokens.empty() || !event.piece.text.empty();
  if (says && !text.left && text.failure.ok() && text.callbacks.on_piece && !text.callbacks.on_piece(event.piece)) {
    text.left = true;
    text.unwanted = true;
  }
  // A state is stored when the tokens that it has read are.
  if (event.snapshot) text.pending = std::move(event.snapshot);
  if (text.pending && text.logged && text.failure.ok()) {
    writes_->Push([this, text = event.text, snapshot = *std::exchange(text.pending, std::nullopt)] {
      StorePending(text, snapshot);
    });
  }
  if (!event.result) return;
  writes_->Push([this, text = event.text, result = *std::move(event.result), hash = event.end_hash] {
    TextEvent stored;
    stored.stored = StoreEnd(*text, result, hash);
    stored.text = text;
    text->lease.reset();
    events_->Push(std::move(stored));
  });
}

SessionStore::Place TextRunner::PlaceOf(const Snapshot& snapshot, const PrefixHash& hash, int64_t tokens, bool message,
                                        std::string* state) const {
  SessionStore::Place place;
  place.record.set_tokens(tokens);
  place.record.set_read(snapshot.tokens);
  place.record.set_prefix_hash(hash.data(), hash.size());
  place.record.set_message(message);
  if (!snapshot.state.empty() && snapshot.state.ByteSize() <= options_.state_bytes) {
    *state = layout_.Serialize(
        {.model_hash = model_hash_, .prefix_hash = hash, .read = snapshot.tokens, .tokens = tokens}, snapshot.state);
    place.state = *state;
  }
  return place;
}

void TextRunner::StorePending(const ServedTextPtr& text, const HashedSnapshot& snapshot) {
  std::string state;
  const int64_t read = snapshot.snapshot->tokens;
  const SessionStore::Place place = PlaceOf(*snapshot.snapshot, snapshot.hash, read, /*message=*/false, &state);
  if (place.state.empty()) return;
  const auto begun = std::chrono::steady_clock::now();
  // Without it, the way back after a crash is longer, and that is all.
  if (!store_.Commit(*text->lease, place).ok()) metrics_.store_errors.Increment();
  metrics_.put_seconds.Observe(Seconds(std::chrono::steady_clock::now() - begun));
}

TextResult TextRunner::StoreEnd(ServedText& text, const EngineResult& result, const PrefixHash& hash) {
  const auto prompt = static_cast<int64_t>(text.request.prompt.size());
  TextResult stored{.finish = FinishOf(text, result), .status = result.status, .session = text.session};
  stored.prompt_tokens = text.again ? 0 : prompt;
  stored.cached_tokens = text.again ? 0 : text.cached;
  stored.reply_tokens = static_cast<int64_t>(text.reply.size()) - text.replayed;
  stored.text_tokens = text.begin + prompt + static_cast<int64_t>(text.reply.size());
  if (result.snapshot != nullptr) stored.state_bytes = result.snapshot->state.ByteSize();
  metrics_.prompt_tokens.Increment(static_cast<double>(prompt - text.cached));
  metrics_.cached_tokens.Increment(static_cast<double>(text.cached));
  absl::Status status = text.failure;
  if (status.ok()) status = StoreSession(text, result, hash, &stored);
  if (!status.ok()) {
    metrics_.store_errors.Increment();
    stored.finish = TextFinish::kError;
    stored.status = status;
    stored.snapshot.clear();
  }
  // As if it had not been asked for; what is left of a reply that was cut before stays.
  if (stored.finish == TextFinish::kError && text.lease && text.logged && !text.again) {
    if (!store_.Truncate(*text.lease, text.begin).ok()) metrics_.store_errors.Increment();
  }
  return stored;
}

absl::Status TextRunner::StoreSession(ServedText& text, const EngineResult& result, const PrefixHash& hash,
                                      TextResult* stored) {
  std::string state;
  if (result.snapshot == nullptr) {
    // Cancelled between two tokens: the state is lost, but can be made from the tokens.
    if (stored->finish == TextFinish::kCancelled && text.lease && text.logged) return store_.EndReply(*text.lease);
    return absl::OkStatus();
  }
  if (!text.lease && !text.request.keep) return absl::OkStatus();
  const auto begun = std::chrono::steady_clock::now();
  const SessionStore::Place place = PlaceOf(*result.snapshot, hash, stored->text_tokens, /*message=*/true, &state);
  if (text.lease) {
    if (!text.logged) {  // nothing was sampled
      const SessionStore::Append append{.lease = &*text.lease, .tokens = text.request.prompt};
      RADLADS_RETURN_IF_ERROR(store_.AppendTokens({&append, 1}));
      text.logged = true;
    }
    RADLADS_ASSIGN_OR_RETURN(const int64_t number, store_.Commit(*text.lease, place));
    stored->snapshot = SnapshotId(text.lease->number(), number);
  } else {
    std::vector<int64_t> tokens = std::move(text.before);
    tokens.insert(tokens.end(), text.request.prompt.begin(), text.request.prompt.end());
    tokens.insert(tokens.end(), text.reply.begin(), text.reply.end());
    RADLADS_ASSIGN_OR_RETURN(const StoredSession kept, store_.Insert("", 0, text.parent, tokens, &place));
    stored->session = kept.record.id();
    stored->snapshot = SnapshotId(kept.number, kept.record.snapshots(0).number());
  }
  metrics_.put_seconds.Observe(Seconds(std::chrono::steady_clock::now() - begun));
  return absl::OkStatus();
}

}  // namespace radlads
