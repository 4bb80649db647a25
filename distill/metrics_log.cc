#include "distill/metrics_log.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr char kFileName[] = "metrics.jsonl";

absl::StatusOr<MetricsLine> ParseLine(const std::string& text, const std::string& path, int64_t number) {
  const auto parsed = ParseJson(text, {.where = Concatenate(path, ":", number)});
  if (!parsed.ok()) return DataLoss(parsed.status().message());
  const nlohmann::json& json = *parsed;
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) {
    return DataLoss(path, ":", number,
                    ": expected a JSON object with an integer \"step\", found: ", text.substr(0, 80));
  }
  MetricsLine line;
  for (const auto& [name, value] : json.items()) {
    if (name == "step") {
      line.step = value.get<int64_t>();
    } else if (name == "tokens" && value.is_number()) {
      line.tokens = value.get<int64_t>();
    } else if (name == "time" && value.is_number()) {
      line.time = value.get<double>();
    } else if (value.is_number() || value.is_null()) {
      line.values[name] = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
    }
  }
  return line;
}

// Calls visit(line, where it ends) for every whole line.
template <typename Visit>
absl::Status ForEachLine(const std::string& contents, const std::string& path, const Visit& visit) {
  int64_t number = 1;
  for (size_t begin = 0;; ++number) {
    const size_t end = contents.find('\n', begin);
    if (end == std::string::npos) return absl::OkStatus();
    const std::string text = contents.substr(begin, end - begin);
    begin = end + 1;
    if (text.empty()) continue;
    RADLADS_ASSIGN_OR_RETURN(const MetricsLine line, ParseLine(text, path, number));
    visit(line, begin);
  }
}

absl::Status RemoveEventFiles(const std::string& directory) {
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().string().rfind("events.out.tfevents.", 0) == 0) found.push_back(entry->path());
  }
  for (const auto& path : found) {
    if (!error) std::filesystem::remove(path, error);
  }
  if (error)
    return FailedPrecondition("cannot remove the event files of an earlier run in ", directory, ": ", error.message());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(const std::string& run_directory, int64_t resume_step) {
  const std::string path = JoinPath(run_directory, kFileName);
  // What is cut off needs no room, so that a run can continue on a disk that is nearly full.
  size_t kept = 0;
  if (resume_step == 0) {
    RADLADS_RETURN_IF_ERROR(RemoveEventFiles(run_directory));
  } else if (FileExists(path)) {
    RADLADS_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
    bool later = false;  // steps never fall
    RADLADS_RETURN_IF_ERROR(ForEachLine(contents, path, [&](const MetricsLine& line, size_t end) {
      later |= line.step > resume_step;
      if (!later) kept = end;
    }));
  }
  RADLADS_ASSIGN_OR_RETURN(auto file, LogFile::Open(path, kept));
  RADLADS_ASSIGN_OR_RETURN(auto events, EventFile::Create(run_directory));
  if (resume_step > 0) RADLADS_RETURN_IF_ERROR(events->WriteRestart(resume_step + 1));
  return std::unique_ptr<MetricsLog>(new MetricsLog(std::move(file), std::move(events)));
}

absl::Status MetricsLog::Write(int64_t step, int64_t tokens,
                               const std::vector<std::pair<std::string, double>>& values) {
  OrderedJson json;
  json["step"] = step;
  json["tokens"] = tokens;
  json["time"] = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (const auto& [name, value] : values) json[name] = value;
  RADLADS_RETURN_IF_ERROR(file_->Append(json.dump() + "\n"));
  return events_->WriteScalars(step, values);
}

absl::StatusOr<std::vector<MetricsLine>> ReadMetrics(const std::string& run_directory) {
  const std::string path = JoinPath(run_directory, kFileName);
  RADLADS_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  std::vector<MetricsLine> lines;
  RADLADS_RETURN_IF_ERROR(
      ForEachLine(contents, path, [&](const MetricsLine& line, size_t) { lines.push_back(line); }));
  return lines;
}

}  // namespace radlads
