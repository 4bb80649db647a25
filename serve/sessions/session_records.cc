#include "serve/sessions/session_records.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <random>

#include "base/status.h"

namespace radlads {

using sessions::SessionRecord;
using sessions::SnapshotRecord;

int64_t StateBytes(const SessionRecord& record) {
  int64_t bytes = 0;
  for (const SnapshotRecord& snapshot : record.snapshots()) bytes += snapshot.bytes();
  return bytes;
}

absl::Status CheckId(std::string_view id) {
  const bool sound = !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (sound) return absl::OkStatus();
  return InvalidArgument("an id has 1 to 64 letters, digits, '_' or '-'; found one of ", id.size(), " bytes",
                         id.empty() || id.size() > 64 ? "" : " with others");
}

uint64_t RandomNumber() {
  static thread_local std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

std::string HexNumber(uint64_t number) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(number));
  return digits;
}

std::string SnapshotId(uint64_t session, int64_t snapshot) {
  return HexNumber(session) + "-" + std::to_string(snapshot);
}

std::string SnapshotId(uint64_t session, const SnapshotRecord& snapshot) {
  return snapshot.name().empty() ? SnapshotId(session, snapshot.number()) : snapshot.name();
}

std::optional<std::pair<uint64_t, int64_t>> ParseSnapshotId(std::string_view id) {
  if (id.size() < 18) return std::nullopt;
  std::pair<uint64_t, int64_t> parsed;
  std::from_chars(id.data(), id.data() + 16, parsed.first, 16);
  std::from_chars(id.data() + 17, id.data() + id.size(), parsed.second);
  if (parsed.second < 0 || SnapshotId(parsed.first, parsed.second) != id) return std::nullopt;
  return parsed;
}

void Drop(int index, uint64_t session, SessionRecord* record, SessionDatabase::Batch* batch) {
  const SnapshotRecord& snapshot = record->snapshots(index);
  if (snapshot.bytes() > 0) batch->DeleteState(session, snapshot.number());
  record->mutable_snapshots()->DeleteSubrange(index, 1);
}

// The oldest on the way first, then the oldest ends of messages; the last of each stays.
void DropToFit(int64_t limit, uint64_t session, SessionRecord* record, SessionDatabase::Batch* batch) {
  int64_t bytes = StateBytes(*record);
  for (const bool message : {false, true}) {
    int last = record->snapshots_size() - 1;
    while (message && last > 0 && !record->snapshots(last).message()) --last;
    for (int i = 0; i < last && bytes > limit;) {
      if (record->snapshots(i).message() != message) {
        ++i;
        continue;
      }
      bytes -= record->snapshots(i).bytes();
      Drop(i, session, record, batch);
      --last;
    }
  }
}

void AddSnapshot(const SnapshotRecord& place, std::string_view state, uint64_t session, int64_t now,
                 SessionRecord* record, SessionDatabase::Batch* batch) {
  SnapshotRecord& snapshot = *record->add_snapshots();
  snapshot = place;
  snapshot.set_number(record->next_snapshot());
  snapshot.set_created(now);
  snapshot.set_bytes(static_cast<int64_t>(state.size()));
  record->set_next_snapshot(snapshot.number() + 1);
  record->set_used(now);
  if (!state.empty()) batch->PutState(session, snapshot.number(), state);
}

}  // namespace radlads
