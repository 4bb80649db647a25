#include "data/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kChecksumDigits = 8;

std::string LineOf(std::string_view record) {
  char checksum[kChecksumDigits + 1];
  std::snprintf(checksum, sizeof(checksum), "%08x", Crc32c(record));
  return Concatenate(checksum, " ", record, "\n");
}

// The record of a line, or nothing when the line is damaged or has no end.
std::optional<std::string_view> RecordOf(std::string_view line) {
  if (line.size() < kChecksumDigits + 2 || line.back() != '\n') return std::nullopt;
  const std::string_view record = line.substr(kChecksumDigits + 1, line.size() - kChecksumDigits - 2);
  return LineOf(record) == line ? std::optional(record) : std::nullopt;
}

std::string HeadFor(const std::string& job) {
  nlohmann::ordered_json head;
  head["format"] = "radlads journal";
  head["version"] = kVersion;
  head["job"] = nlohmann::ordered_json::parse(job);
  return head.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The first few places in which two jobs differ.
std::string Differences(const json& before, const json& now) {
  const json a = before.flatten(), b = now.flatten();
  std::vector<std::string> lines;
  for (const auto& [name, value] : a.items()) {
    if (!b.contains(name)) {
      lines.push_back(Concatenate(name.substr(1), " was ", value, ", now there is none"));
    } else if (b[name] != value) {
      lines.push_back(Concatenate(name.substr(1), " was ", value, ", now ", b[name]));
    }
  }
  for (const auto& [name, value] : b.items()) {
    if (!a.contains(name)) lines.push_back(Concatenate(name.substr(1), " was not there, now ", value));
  }
  constexpr size_t kShown = 4;
  std::string text;
  for (size_t i = 0; i < std::min(lines.size(), kShown); ++i) text += (i > 0 ? "; " : "") + lines[i];
  if (lines.size() > kShown) text += Concatenate("; and ", lines.size() - kShown, " more");
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::OpenLocked(const std::string& path, bool create) {
  // The file may be removed by the process that held the lock: then the name stands for another file by now.
  while (true) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0644);
    if (descriptor < 0 && errno == ENOENT && !create) return nullptr;
    if (descriptor < 0) return FileError("create", path, errno);
    std::unique_ptr<Journal> journal(new Journal(path, descriptor));
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return FileError("lock", path, errno);
      return FailedPrecondition("another process is writing this output (it holds the lock on ", path,
                                "); wait until it is done or choose another output");
    }
    struct stat held, named;
    if (::fstat(descriptor, &held) != 0) return FileError("stat", path, errno);
    if (::stat(path.c_str(), &named) != 0 || held.st_ino != named.st_ino || held.st_dev != named.st_dev) continue;
    RADLADS_RETURN_IF_ERROR(journal->Load());
    return journal;
  }
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& path, const std::string& job, bool restart) {
  RADLADS_ASSIGN_OR_RETURN(auto journal, OpenLocked(path, true));
  RADLADS_RETURN_IF_ERROR(journal->BeginOrContinue(job, restart));
  return journal;
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::OpenExisting(const std::string& path) {
  return OpenLocked(path, false);
}

Journal::~Journal() {
  ::close(descriptor_);
}

absl::Status Journal::Load() {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_));
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    const auto record = RecordOf(std::string_view(text).substr(begin, end - begin));
    if (!record) break;
    if (begin == 0) {
      head_ = *record;
      head_end_ = end;
    } else {
      records_.emplace_back(*record);
      ends_.push_back(end);
    }
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status Journal::BeginOrContinue(const std::string& job, bool restart) {
  const std::string new_head = HeadFor(job);
  if (!restart && !records_.empty()) {
    if (head_ == new_head) return Truncate(records_.size());
    const json before = ParseJson(head_).value_or(json()), now = json::parse(new_head);
    const bool known = before.is_object() && before.value("version", 0) == kVersion && before.contains("job");
    return FailedPrecondition(
        path_, " is of an interrupted run that did something else: ",
        known ? Differences(before["job"], now["job"]) : "it was written by another version of this program",
        ". Repeat that command to continue it, or add --restart to drop what it has done and begin anew");
  }
  records_.clear();
  ends_.clear();
  head_end_ = 0;
  if (::ftruncate(descriptor_, 0) != 0) return FileError("cut", path_, errno);
  RADLADS_RETURN_IF_ERROR(Append(new_head));
  head_ = new_head;
  head_end_ = ends_.back();
  records_.clear();
  ends_.clear();
  return SyncDirectoryOf(path_);
}

absl::Status Journal::Append(std::string_view record) {
  RADLADS_CHECK(record.find('\n') == std::string_view::npos) << "a record is one line";
  const std::string line = LineOf(record);
  const uint64_t begin = ends_.empty() ? head_end_ : ends_.back();
  const ssize_t written = ::pwrite(descriptor_, line.data(), line.size(), begin);
  if (written != static_cast<ssize_t>(line.size()) || ::fdatasync(descriptor_) != 0) {
    const bool short_of_room = written >= 0 && written < static_cast<ssize_t>(line.size());
    const absl::Status status = FileError("write", path_, short_of_room ? ENOSPC : errno, line.size());
    if (::ftruncate(descriptor_, begin) != 0) return FileError("cut", path_, errno);
    return status;
  }
  records_.emplace_back(record);
  ends_.push_back(begin + line.size());
  return absl::OkStatus();
}

absl::Status Journal::Truncate(size_t count) {
  RADLADS_CHECK(count <= records_.size()) << count << " of " << records_.size() << " records";
  records_.resize(count);
  ends_.resize(count);
  if (::ftruncate(descriptor_, ends_.empty() ? head_end_ : ends_.back()) != 0) return FileError("cut", path_, errno);
  return absl::OkStatus();
}

absl::Status Journal::Remove() {
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) return FileError("remove", path_, errno);
  return absl::OkStatus();
}

}  // namespace radlads
