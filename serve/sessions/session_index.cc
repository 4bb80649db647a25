// Sessions and snapshots by what they are asked for: ids, names, hashes of what their states have read.
#include <algorithm>
#include <utility>

#include "base/status.h"
#include "serve/sessions/session_database.h"
#include "serve/sessions/session_records.h"
#include "serve/sessions/session_store.h"

namespace radlads {

using sessions::SessionRecord;
using sessions::SnapshotRecord;

namespace {

constexpr int64_t kRecordBytes = 256, kSnapshotBytes = 48;  // about

absl::Status NoSuchSession(std::string_view id) {
  return NotFound("there is no session '", id, "'; it was never made, was deleted, or expired");
}

// Of a snapshot whose state is stored.
std::optional<PrefixHash> HashOfState(const SnapshotRecord& snapshot) {
  PrefixHash hash;
  if (snapshot.bytes() == 0 || snapshot.prefix_hash().size() != hash.size()) return std::nullopt;
  std::copy(snapshot.prefix_hash().begin(), snapshot.prefix_hash().end(), hash.begin());
  return hash;
}

}  // namespace

void SessionStore::DropFromIndex(Entry* entry) {
  for (const SnapshotRecord& snapshot : entry->record.snapshots()) {
    names_.erase(snapshot.name());
    const auto hash = HashOfState(snapshot);
    if (!hash) continue;
    const auto [begin, end] = prefixes_.equal_range(*hash);
    const auto found = std::find_if(begin, end, [&](const auto& prefix) { return prefix.second == entry; });
    if (found != end) prefixes_.erase(found);
  }
}

void SessionStore::SetRecord(Entry* entry, SessionRecord record) {
  DropFromIndex(entry);
  for (const SnapshotRecord& snapshot : record.snapshots()) {
    if (!snapshot.name().empty()) names_[snapshot.name()] = entry;
    if (const auto hash = HashOfState(snapshot)) prefixes_.emplace(*hash, entry);
  }
  entry->record = std::move(record);
  Recount(entry);
}

void SessionStore::Recount(Entry* entry) {
  const int64_t bytes =
      StateBytes(entry->record) + 4 * entry->tokens + kRecordBytes + kSnapshotBytes * entry->record.snapshots_size();
  bytes_ += bytes - std::exchange(entry->counted, bytes);
}

StoredSession SessionStore::Describe(const Entry& entry) const {
  return {.number = entry.number,
          .record = entry.record,
          .tokens = entry.tokens,
          .reply = entry.reply,
          .leased = entry.leased,
          .bytes = entry.counted};
}

absl::StatusOr<SessionStore::Entry*> SessionStore::FindEntry(std::string_view id) {
  RADLADS_RETURN_IF_ERROR(CheckId(id));
  const auto found = ids_.find(id);
  if (found == ids_.end()) return NoSuchSession(id);
  return found->second;
}

absl::StatusOr<StoredSession> SessionStore::Find(std::string_view id) {
  std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Entry* const entry, FindEntry(id));
  StoredSession session = Describe(*entry);
  session.view = database_->Look();
  return session;
}

StoredSession SessionStore::Find(const Lease& lease) {
  std::lock_guard lock(mutex_);
  StoredSession session = Describe(*lease.entry_);
  session.view = database_->Look();
  return session;
}

absl::Status SessionStore::CheckName(std::string_view name) const {
  RADLADS_RETURN_IF_ERROR(CheckId(name));
  std::lock_guard lock(mutex_);
  if (!names_.contains(name)) return absl::OkStatus();
  return absl::AlreadyExistsError(Concatenate("snapshot '", name, "' exists; choose another name"));
}

absl::StatusOr<std::pair<StoredSession, int>> SessionStore::FindSnapshot(std::string_view id) {
  RADLADS_RETURN_IF_ERROR(CheckId(id));
  const auto parsed = ParseSnapshotId(id);
  std::lock_guard lock(mutex_);
  if (const auto named = names_.find(id); named != names_.end()) {
    StoredSession session = Describe(*named->second);
    int i = 0;
    while (session.record.snapshots(i).name() != id) ++i;
    session.view = database_->Look();
    return std::pair(std::move(session), i);
  }
  const auto found = parsed ? entries_.find(parsed->first) : entries_.end();
  if (found == entries_.end() || parsed->second >= found->second->record.next_snapshot()) {
    return NotFound("there is no snapshot '", id, "'; its session was deleted or expired, or it was never made");
  }
  StoredSession session = Describe(*found->second);
  for (int i = 0; i < session.record.snapshots_size(); ++i) {
    if (session.record.snapshots(i).number() != parsed->second) continue;
    session.view = database_->Look();
    return std::pair(std::move(session), i);
  }
  return absl::AbortedError(Concatenate("snapshot '", id, "' was dropped: its session was set back to before it, or ",
                                        "kept more than its bytes allow; take another of the "
                                        "session's snapshots"));
}

std::vector<StoredSession> SessionStore::List(std::string_view after, int64_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<StoredSession> list;
  for (auto at = ids_.upper_bound(after); at != ids_.end() && static_cast<int64_t>(list.size()) < limit; ++at) {
    list.push_back(Describe(*at->second));
  }
  return list;
}

std::optional<SessionStore::Prefix> SessionStore::FindPrefix(std::span<const PrefixHash> hashes) {
  std::lock_guard lock(mutex_);
  for (auto place = static_cast<int64_t>(hashes.size()) - 1; place >= 0; --place) {
    const auto found = prefixes_.find(hashes[place]);
    if (found == prefixes_.end()) continue;
    Prefix prefix{.place = place, .session = Describe(*found->second)};
    while (HashOfState(prefix.session.record.snapshots(prefix.snapshot)) != hashes[place]) ++prefix.snapshot;
    prefix.session.view = database_->Look();
    return prefix;
  }
  return std::nullopt;
}

}  // namespace radlads
