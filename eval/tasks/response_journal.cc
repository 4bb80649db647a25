#include "eval/tasks/response_journal.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/fnv.h"
#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

using Json = nlohmann::ordered_json;

bool ReadResponse(const Json& line, TaskResponse* response) {
  if (!line.is_object() || !line.contains("request") || !line["request"].is_string()) return false;
  if (line.contains("text")) {
    if (!line["text"].is_string()) return false;
    response->text = line["text"];
    return true;
  }
  const Json logprob = line.value("logprob", Json()), greedy = line.value("greedy", Json(false));
  if (!logprob.is_number() || !greedy.is_boolean()) return false;
  response->loglikelihood = {.logprob = logprob, .is_greedy = greedy};
  return true;
}

}  // namespace

std::string RequestKey(const TaskConfig& config, const TaskRequest& request) {
  Json key = Json::array({OutputTypeName(config.output_type), request.context, request.continuation});
  if (config.output_type == OutputType::kMultipleChoice) key[0] = OutputTypeName(OutputType::kLoglikelihood);
  if (config.output_type == OutputType::kGenerateUntil)
    key[2] = Json::array({config.generation.until, config.generation.max_new_tokens});
  Fnv128 hash;
  hash.Add(key.dump());
  return hash.Hex();
}

absl::StatusOr<std::unique_ptr<ResponseJournal>> ResponseJournal::Open(const std::string& path, const std::string& run,
                                                                       std::stop_source full) {
  std::string text;
  if (FileExists(path)) {
    RADLADS_ASSIGN_OR_RETURN(text, ReadFile(path));
  }
  text.resize(text.rfind('\n') + 1);  // whole lines; npos + 1 is 0
  std::unordered_map<std::string, TaskResponse> answers;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    const auto parsed = ParseOrderedJson(std::string_view(text).substr(begin, end - begin));
    if (!parsed.ok()) return DataLoss(path, ":", number + 1, ": ", parsed.status().message(), "; remove the file");
    const Json& line = *parsed;
    begin = end + 1;
    if (number == 0) {
      const Json found = line.is_object() ? line.value("run", Json()) : Json();
      if (found == run) continue;
      return FailedPrecondition(path, " has the answers of ", found.dump(), ", this run is ", Json(run).dump(),
                                "; choose another output directory, or remove the file");
    }
    TaskResponse response;
    if (!ReadResponse(line, &response)) {
      return DataLoss(path, ":", number + 1, ": expected an answer; remove the line or the file");
    }
    answers[line["request"]] = std::move(response);
  }
  // Without the part of a line that a crash may have left. Cutting needs no room on a disk that is nearly full.
  RADLADS_ASSIGN_OR_RETURN(auto file, LogFile::Open(path, text.size()));
  if (number == 0) RADLADS_RETURN_IF_ERROR(file->Append(Json{{"run", run}}.dump() + "\n"));
  std::unique_ptr<ResponseJournal> journal(new ResponseJournal(std::move(file), std::move(full)));
  journal->answers_ = std::move(answers);
  return journal;
}

const TaskResponse* ResponseJournal::Find(const std::string& key) const {
  const auto found = answers_.find(key);
  return found == answers_.end() ? nullptr : &found->second;
}

absl::Status ResponseJournal::Append(const std::string& key, OutputType type, const TaskResponse& response) {
  Json line = {{"request", key}};
  if (type == OutputType::kGenerateUntil) {
    line["text"] = response.text;
  } else {
    line["logprob"] = response.loglikelihood.logprob;
    line["greedy"] = response.loglikelihood.is_greedy;
  }
  if (absl::Status status = file_->Append(line.dump() + "\n"); !status.ok()) {
    full_.request_stop();
    return status;
  }
  answers_[key] = response;
  return absl::OkStatus();
}

}  // namespace radlads
