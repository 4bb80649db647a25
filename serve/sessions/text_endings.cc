// What becomes of a text's tokens and states: on the thread that hands out and the one that stores.
#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "base/status.h"
#include "serve/sessions/session_blob.h"
#include "serve/sessions/text_runner.h"

namespace radlads {
namespace {

using std::chrono::duration;

double Seconds(std::chrono::steady_clock::duration time) {
  return duration<double>(time).count();
}

}  // namespace

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
  absl::Status status = text.failure.ok() ? text.broken : text.failure;
  if (status.ok()) status = StoreSession(text, result, hash, &stored);
  if (!status.ok()) {
    metrics_.store_errors.Increment();
    stored.finish = TextFinish::kError;
    stored.status = status;
    stored.snapshot.clear();
  }
  // As if it had not been asked for; what is left of a reply that was cut before stays.
  if (stored.finish == TextFinish::kError && text.lease && text.logged && !text.again) {
    if (!store_.TakeBack(*text.lease, text.begin).ok()) metrics_.store_errors.Increment();
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
  SessionStore::Place place = PlaceOf(*result.snapshot, hash, stored->text_tokens, /*message=*/true, &state);
  place.record.set_name(text.request.snapshot_id);
  if (text.lease) {
    if (!text.logged) {  // nothing was sampled
      const SessionStore::Append append{.lease = &*text.lease, .tokens = text.request.prompt};
      RADLADS_RETURN_IF_ERROR(store_.AppendTokens({&append, 1}));
      text.logged = true;
    }
    RADLADS_ASSIGN_OR_RETURN(stored->snapshot, store_.Commit(*text.lease, place));
  } else {
    std::vector<int64_t> tokens = std::move(text.before);
    tokens.insert(tokens.end(), text.request.prompt.begin(), text.request.prompt.end());
    tokens.insert(tokens.end(), text.reply.begin(), text.reply.end());
    RADLADS_ASSIGN_OR_RETURN(const StoredSession kept, store_.Insert("", 0, text.parent, tokens, &place));
    stored->session = kept.record.id();
    stored->snapshot = SnapshotId(kept.number, kept.record.snapshots(0));
  }
  metrics_.put_seconds.Observe(Seconds(std::chrono::steady_clock::now() - begun));
  return absl::OkStatus();
}

}  // namespace radlads
