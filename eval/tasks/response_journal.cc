#include "eval/tasks/response_journal.h"

#include <cerrno>
#include <cstring>
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

absl::StatusOr<std::unique_ptr<ResponseJournal>> ResponseJournal::Open(const std::string& path, const std::string& run) {
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
  if (number == 0) text = Json{{"run", run}}.dump() + "\n";
  // Without the part of a line that a crash may have left.
  RADLADS_RETURN_IF_ERROR(WriteFileAtomically(path, text));
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (file == nullptr) return absl::InternalError(Concatenate("cannot append to ", path, ": ", std::strerror(errno)));
  std::unique_ptr<ResponseJournal> journal(new ResponseJournal(path, file));
  journal->answers_ = std::move(answers);
  return journal;
}

ResponseJournal::~ResponseJournal() {
  std::fclose(file_);
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
  const std::string text = line.dump() + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0) {
    return absl::ResourceExhaustedError(Concatenate("cannot append to ", path_, ": ", std::strerror(errno)));
  }
  answers_[key] = response;
  return absl::OkStatus();
}

}  // namespace radlads
