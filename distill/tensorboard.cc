#include "distill/tensorboard.h"

#include <unistd.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdio>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

template <typename T>
void AppendFixed(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> 8 * i));
}

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// Wire types of protocol buffers.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void AppendTag(std::string& out, int field, WireType type) {
  AppendVarint(out, field << 3 | type);
}

void AppendBytes(std::string& out, int field, std::string_view bytes) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t MaskedCrc32c(std::string_view bytes) {
  return std::rotr(Crc32c(bytes), 15) + 0xA282EAD8u;
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(const std::string& directory) {
  static std::atomic<int> number{0};
  char host[256] = "localhost";
  ::gethostname(host, sizeof(host) - 1);
  char name[400];
  std::snprintf(name, sizeof(name), "events.out.tfevents.%010lld.%s.%d.%d", static_cast<long long>(UnixSeconds()), host,
                static_cast<int>(::getpid()), number++);
  RADLADS_ASSIGN_OR_RETURN(auto file, LogFile::Open(JoinPath(directory, name), 0));
  std::unique_ptr<EventFile> events(new EventFile(std::move(file)));
  std::string version;
  AppendBytes(version, 3, "brain.Event:2");
  if (absl::Status status = events->WriteEvent(0, version); !status.ok()) {
    ::unlink(events->path().c_str());
    return status;
  }
  return events;
}

absl::Status EventFile::WriteScalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  std::string summary, value;
  for (const auto& [tag, scalar] : values) {
    value.clear();
    AppendBytes(value, 1, tag);
    AppendTag(value, 2, kFixed32);
    AppendFixed(value, std::bit_cast<uint32_t>(static_cast<float>(scalar)));
    AppendBytes(summary, 1, value);
  }
  std::string rest;
  AppendBytes(rest, 5, summary);
  return WriteEvent(step, rest);
}

absl::Status EventFile::WriteRestart(int64_t step) {
  std::string start, rest;
  AppendTag(start, 1, kVarint);
  AppendVarint(start, 1);  // SessionLog.START
  AppendBytes(rest, 7, start);
  return WriteEvent(step, rest);
}

absl::Status EventFile::WriteEvent(int64_t step, std::string_view rest) {
  std::string event;
  AppendTag(event, 1, kFixed64);
  AppendFixed(event, std::bit_cast<uint64_t>(UnixSeconds()));
  AppendTag(event, 2, kVarint);
  AppendVarint(event, step);
  event.append(rest);

  std::string record;
  AppendFixed(record, static_cast<uint64_t>(event.size()));
  AppendFixed(record, MaskedCrc32c(record));
  record += event;
  AppendFixed(record, MaskedCrc32c(event));
  return file_->Append(record);
}

}  // namespace radlads
