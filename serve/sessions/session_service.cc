#include "serve/sessions/session_service.h"

#include <algorithm>
#include <random>
#include <span>
#include <utility>

#include "base/logging.h"
#include "base/memory.h"
#include "base/status.h"
#include "model/token_ids.h"
#include "serve/sessions/model_hash.h"
#include "serve/sessions/service_metrics.h"
#include "serve/sessions/service_sizes.h"
#include "serve/sessions/session_blob.h"
#include "serve/sessions/state_layout.h"
#include "serve/sessions/stored_place.h"
#include "serve/sessions/text_runner.h"

namespace radlads {
namespace {

using sessions::SnapshotRecord;

SessionInfo Describe(const StoredSession& session) {
  SessionInfo info{.id = session.record.id(),
                   .tokens = session.tokens,
                   .stored_bytes = session.bytes,
                   .created = session.record.created(),
                   .used = session.record.used(),
                   .parent = session.record.parent(),
                   .busy = session.leased,
                   .cut = session.reply && !session.leased};
  if (session.record.ttl() > 0) info.expires = session.record.used() + session.record.ttl();
  for (const SnapshotRecord& snapshot : session.record.snapshots()) {
    if (snapshot.bytes() > 0) info.state_bytes = snapshot.bytes();
  }
  return info;
}

absl::Status Busy(std::string_view id) {
  return FailedPrecondition("session '", id,
                            "' is busy: its end moves; wait for the text that goes on from it, cancel "
                            "it, or name one of the session's snapshots");
}

PrefixHash HashOf(std::span<const int64_t> tokens) {
  PrefixHash hash{};
  for (const int64_t token : tokens) hash = Extend(hash, token);
  return hash;
}

PrefixHash RandomHash() {
  std::random_device device;
  PrefixHash hash;
  for (uint8_t& byte : hash) byte = static_cast<uint8_t>(device());
  return hash;
}

// `options` with all sizes chosen, which are logged.
absl::StatusOr<SessionServiceOptions> WithSizes(SessionServiceOptions options, const StateLayout& layout) {
  if (layout.grows() && options.memory > 0 && options.context == 0) {
    return InvalidArgument(
        "the state of this model grows with every token; say how many a text may have (context), so ",
        "that the number of texts can be chosen from the memory");
  }
  const int64_t state_bytes = layout.ByteSize(std::max<int64_t>(options.context, 1));
  const ServiceSizes sizes = ChooseSizes(options.memory, options.device_memory, state_bytes);
  if (options.engine.active == kFromMemory) options.engine.active = sizes.active;
  if (options.engine.waiting == kFromMemory) options.engine.waiting = kWaitingForEach * options.engine.active;
  if (options.cache_bytes == kFromMemory) options.cache_bytes = sizes.cache_bytes;
  const std::string free = options.memory > 0 ? Concatenate("; ", SpellBytes(options.memory), " are free") : "";
  Log().info("model {}: {} texts at once, with states of {}{}, {} more may wait; {} of states stay in memory{}",
             options.model, options.engine.active, layout.grows() ? "up to " : "", SpellBytes(state_bytes),
             options.engine.waiting, SpellBytes(options.cache_bytes), free);
  return options;
}

class ModelSessions : public SessionService {
 public:
  ModelSessions(ServiceInfo info, StateLayout layout, std::string model_hash, const SessionServiceOptions& options,
                std::unique_ptr<SessionStore> store, std::unique_ptr<Engine> engine,
                std::shared_ptr<const Tokenizer> tokenizer, prometheus::Registry& metrics)
      : info_(std::move(info)),
        layout_(layout),
        model_hash_(model_hash),
        metrics_(metrics, info_.model),
        store_(std::move(store)),
        runner_(std::move(engine), std::move(tokenizer), std::move(layout), std::move(model_hash), *store_, metrics_,
                options) {}

  ServiceInfo info() const override { return info_; }

  absl::StatusOr<uint64_t> Start(TextRequest request, TextCallbacks callbacks) override {
    return runner_.Start(std::move(request), std::move(callbacks));
  }
  void Cancel(uint64_t number) override { runner_.Cancel(number); }
  void Drain() override { runner_.Drain(); }
  absl::Status Warm(std::span<const std::vector<int64_t>> prompts, std::stop_token stop) override {
    return runner_.Warm(prompts, std::move(stop));
  }

  absl::StatusOr<SessionInfo> CreateSession(std::string_view id, int64_t ttl_seconds) override {
    RADLADS_ASSIGN_OR_RETURN(const StoredSession made, store_->Insert(id, ttl_seconds, "", {}, nullptr));
    return Describe(made);
  }

  absl::StatusOr<SessionInfo> GetSession(std::string_view id) override {
    RADLADS_ASSIGN_OR_RETURN(const StoredSession session, store_->Find(id));
    return Describe(session);
  }

  absl::StatusOr<std::vector<SessionInfo>> ListSessions(std::string_view after, int64_t limit) override {
    if (limit < 1) return InvalidArgument("limit must be at least 1, found ", limit);
    std::vector<SessionInfo> list;
    for (const StoredSession& session : store_->List(after, limit)) list.push_back(Describe(session));
    return list;
  }

  absl::Status DeleteSession(std::string_view id) override { return store_->Remove(id); }

  absl::StatusOr<std::vector<SnapshotInfo>> Snapshots(std::string_view id) override {
    RADLADS_ASSIGN_OR_RETURN(const StoredSession session, store_->Find(id));
    std::vector<SnapshotInfo> list;
    for (const SnapshotRecord& snapshot : session.record.snapshots()) {
      list.push_back({.id = SnapshotId(session.number, snapshot),
                      .tokens = snapshot.tokens(),
                      .bytes = snapshot.bytes(),
                      .created = snapshot.created()});
    }
    return list;
  }

  absl::StatusOr<std::vector<int64_t>> Tokens(std::string_view id, int64_t first, int64_t limit) override {
    RADLADS_ASSIGN_OR_RETURN(const StoredSession session, store_->Find(id));
    if (first < 0 || first > session.tokens) {
      return InvalidArgument("session '", id, "' has ", session.tokens, " tokens; none from ", first, " on");
    }
    if (limit < 0) return InvalidArgument("limit must be 0 or more, found ", limit);
    return store_->Tokens(session, first, limit < session.tokens - first ? first + limit : session.tokens);
  }

  absl::StatusOr<SessionInfo> ForkSession(std::string_view id, std::string_view snapshot,
                                          std::string_view fork) override {
    RADLADS_ASSIGN_OR_RETURN(StoredPlace place, Place(id, snapshot));
    RADLADS_ASSIGN_OR_RETURN(const auto tokens, store_->Tokens(place.session, 0, place.end()));
    const sessions::SessionRecord& record = place.session.record;
    std::string state;
    RADLADS_RETURN_IF_ERROR(CopyState(place, &state));
    place.session.view = nullptr;
    SessionStore::Place end{.state = state};
    if (place.snapshot >= 0) end.record = record.snapshots(place.snapshot);
    end.record.clear_name();
    RADLADS_ASSIGN_OR_RETURN(const StoredSession made,
                             store_->Insert(fork, record.ttl(), record.id(), tokens, state.empty() ? nullptr : &end));
    return Describe(made);
  }

  absl::StatusOr<SessionInfo> RewindSession(std::string_view id, std::string_view snapshot) override {
    RADLADS_ASSIGN_OR_RETURN(const SessionStore::Lease lease, store_->Acquire(id));
    RADLADS_ASSIGN_OR_RETURN(auto found, FindOwnSnapshot(id, snapshot));
    found.first.view = nullptr;
    RADLADS_RETURN_IF_ERROR(store_->Truncate(lease, found.first.record.snapshots(found.second).tokens()));
    StoredSession session = store_->Find(lease);
    session.leased = false;  // with the end of this call
    return Describe(session);
  }

  absl::StatusOr<std::string> ExportSession(std::string_view id) override {
    RADLADS_ASSIGN_OR_RETURN(const StoredPlace place, Place(id, ""));
    SessionBlob blob{.model_hash = model_hash_};
    std::string state;
    RADLADS_RETURN_IF_ERROR(CopyState(place, &state));
    if (!state.empty()) {
      RADLADS_ASSIGN_OR_RETURN(blob, ParseBlob(state));
    }
    blob.tokens = place.end();
    RADLADS_ASSIGN_OR_RETURN(blob.listed, store_->Tokens(place.session, 0, place.end()));
    // In the store it may be that of an imported text.
    blob.prefix_hash = HashOf(std::span(blob.listed).first(blob.read));
    return SerializeBlob(blob);
  }

  absl::StatusOr<SessionInfo> ImportSession(std::string_view bytes, std::string_view id) override {
    RADLADS_ASSIGN_OR_RETURN(SessionBlob blob, ParseBlob(bytes));
    if (blob.model_hash != model_hash_) {
      return InvalidArgument(
          "the session is of another model, or of this one with other weights or in another "
          "precision: its model hash is ",
          blob.model_hash, ", that of '", info_.model, "' is ", model_hash_);
    }
    if (static_cast<int64_t>(blob.listed.size()) != blob.tokens) {
      return InvalidArgument("the blob has the state of a text of ", blob.tokens, " tokens without the text: it is no ",
                             "exported session");
    }
    RADLADS_RETURN_IF_ERROR(CheckTokenIds(blob.listed, info_.vocabulary));
    if (HashOf(std::span(blob.listed).first(blob.read)) != blob.prefix_hash) {
      return InvalidArgument("the hash of the first ", blob.read,
                             " tokens is not the one that the blob says its state "
                             "belongs to; it was changed after it was exported");
    }
    RADLADS_RETURN_IF_ERROR(layout_.State(blob).status());
    // Nobody knows whether the state is that of the tokens: by this hash it is found by no text but the session's own.
    blob.prefix_hash = RandomHash();
    SessionStore::Place place;
    place.record.set_tokens(blob.tokens);
    place.record.set_read(blob.read);
    place.record.set_prefix_hash(blob.prefix_hash.data(), blob.prefix_hash.size());
    place.record.set_message(true);
    const std::vector<int64_t> tokens = std::exchange(blob.listed, {});
    const std::string state = SerializeBlob(blob);
    place.state = state;
    RADLADS_ASSIGN_OR_RETURN(const StoredSession made,
                             store_->Insert(id, 0, "", tokens, blob.read > 0 ? &place : nullptr));
    return Describe(made);
  }

 private:
  // NOT_FOUND for the snapshot of another session.
  absl::StatusOr<std::pair<StoredSession, int>> FindOwnSnapshot(std::string_view id, std::string_view snapshot) {
    RADLADS_ASSIGN_OR_RETURN(auto found, store_->FindSnapshot(snapshot));
    if (found.first.record.id() == id) return found;
    return NotFound("session '", id, "' has no snapshot '", snapshot, "'; it is one of another session");
  }

  // A snapshot of the session, or, where it is empty, its end.
  absl::StatusOr<StoredPlace> Place(std::string_view id, std::string_view snapshot) {
    if (snapshot.empty()) {
      RADLADS_ASSIGN_OR_RETURN(StoredSession session, store_->Find(id));
      if (session.leased) return Busy(id);
      const int64_t end = session.tokens;
      const int last = session.record.snapshots_size() - 1;
      return FindPlace(*store_, std::move(session), last, end);
    }
    RADLADS_ASSIGN_OR_RETURN(auto found, FindOwnSnapshot(id, snapshot));
    const int64_t end = found.first.record.snapshots(found.second).tokens();
    return FindPlace(*store_, std::move(found.first), found.second, end);
  }

  // Empty where none is stored.
  absl::Status CopyState(const StoredPlace& place, std::string* state) {
    if (place.snapshot < 0) return absl::OkStatus();
    const auto copy = [&](std::string_view bytes) {
      state->assign(bytes);
      return absl::OkStatus();
    };
    return store_->ReadState(place.session, place.session.record.snapshots(place.snapshot).number(), copy);
  }

  const ServiceInfo info_;
  const StateLayout layout_;
  const std::string model_hash_;
  ServiceMetrics metrics_;
  const std::unique_ptr<SessionStore> store_;
  TextRunner runner_;
};

}  // namespace

absl::Status SessionServiceOptions::Check() const {
  if (directory.empty()) return InvalidArgument("the session store needs a directory");
  if (cache_bytes < kFromMemory) return InvalidArgument("cache_bytes must be 0 or more, found ", cache_bytes);
  if (memory < 0) return InvalidArgument("memory must be 0 or more, found ", memory);
  const bool chosen = engine.active == kFromMemory || engine.waiting == kFromMemory || cache_bytes == kFromMemory;
  if (chosen && memory == 0) return InvalidArgument("sizes are to be chosen from the memory, but none is given");
  if (snapshot_tokens < 1) return InvalidArgument("snapshot_tokens must be at least 1, found ", snapshot_tokens);
  if (state_bytes < 0) return InvalidArgument("state_bytes must be 0 or more, found ", state_bytes);
  if (context < 0) return InvalidArgument("context must be 0 (no limit) or more, found ", context);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SessionService>> SessionService::Create(Transformer& model,
                                                                       std::shared_ptr<const Tokenizer> tokenizer,
                                                                       const SessionServiceOptions& asked,
                                                                       prometheus::Registry& metrics) {
  RADLADS_RETURN_IF_ERROR(asked.Check());
  RADLADS_ASSIGN_OR_RETURN(StateLayout layout, StateLayout::Of(model));
  RADLADS_ASSIGN_OR_RETURN(const SessionServiceOptions options, WithSizes(asked, layout));
  std::string hash = ModelHash(model);
  RADLADS_ASSIGN_OR_RETURN(auto store, SessionStore::Open(options.directory, hash, options.model, options.store));
  RADLADS_ASSIGN_OR_RETURN(auto engine, Engine::Create(model, options.engine));
  const ServiceInfo info{.model = options.model,
                         .vocabulary = model.config().vocab_size(),
                         .context = options.context,
                         .state_grows = layout.grows()};
  return std::make_unique<ModelSessions>(info, std::move(layout), std::move(hash), options, std::move(store),
                                         std::move(engine), std::move(tokenizer), metrics);
}

}  // namespace radlads
