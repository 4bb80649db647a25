#include "serve/testing/fake_text_service.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/status.h"
#include "data/tokenizer/stream_decoder.h"

namespace radlads {
namespace {

constexpr int64_t kStateBytes = 4096;

absl::Status CheckId(std::string_view id) {
  const bool good = !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
  return good ? absl::OkStatus() : InvalidArgument("an id has 1 to 64 of [A-Za-z0-9_-], found ", id.size(), " others");
}

}  // namespace

FakeTextService::FakeTextService(std::shared_ptr<const Tokenizer> tokenizer, FakeOptions options)
    : tokenizer_(std::move(tokenizer)), options_(std::move(options)) {}

FakeTextService::~FakeTextService() {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [number, cancelled] : running_) cancelled = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

absl::StatusOr<FakeTextService::Session*> FakeTextService::Find(std::string_view id) {
  RADLADS_RETURN_IF_ERROR(CheckId(id));
  const auto found = sessions_.find(std::string(id));
  if (found == sessions_.end()) return NotFound("there is no session ", id);
  return &found->second;
}

absl::StatusOr<FakeTextService::Session*> FakeTextService::Make(std::string_view id) {
  const std::string name = id.empty() ? Concatenate("session-", ++last_) : std::string(id);
  RADLADS_RETURN_IF_ERROR(CheckId(name));
  if (sessions_.contains(name)) return absl::AlreadyExistsError(Concatenate("there is a session ", name));
  Session& session = sessions_[name];
  session.info = {.id = name, .created = std::time(nullptr), .used = std::time(nullptr)};
  return &session;
}

SessionInfo FakeTextService::InfoOf(const Session& session) const {
  SessionInfo info = session.info;
  info.tokens = session.ids.size();
  info.state_bytes = session.ids.empty() ? 0 : kStateBytes;
  info.stored_bytes = session.snapshots.size() * kStateBytes;
  return info;
}

void FakeTextService::AddSnapshot(Session& session, std::string id) {
  if (id.empty()) id = Concatenate("snapshot-", ++last_);
  session.snapshots.push_back({.id = std::move(id),
                               .tokens = static_cast<int64_t>(session.ids.size()),
                               .bytes = kStateBytes,
                               .created = std::time(nullptr)});
}

absl::StatusOr<uint64_t> FakeTextService::Start(TextRequest request, TextCallbacks callbacks) {
  const std::lock_guard lock(mutex_);
  if (static_cast<int64_t>(running_.size()) >= options_.texts) {
    return absl::ResourceExhaustedError(Concatenate(options_.texts, " texts go on already; try again"));
  }
  last_request_ = request;
  std::vector<int64_t> ids;
  if (!request.session.empty()) {
    RADLADS_ASSIGN_OR_RETURN(Session* const session, Find(request.session));
    if (session->info.busy) return FailedPrecondition("session ", request.session, " is busy");
    session->info.busy = true;
    ids = session->ids;
  } else if (!request.snapshot.empty()) {
    RADLADS_RETURN_IF_ERROR(CheckId(request.snapshot));
    bool found = false;
    for (const auto& [id, session] : sessions_) {
      for (const SnapshotInfo& snapshot : session.snapshots) {
        if (snapshot.id != request.snapshot) continue;
        ids.assign(session.ids.begin(), session.ids.begin() + snapshot.tokens);
        found = true;
      }
    }
    if (!found) return NotFound("there is no snapshot ", request.snapshot);
  }
  const uint64_t number = ++last_;
  running_[number] = false;
  threads_.emplace_back(
      [=, this]() mutable { Continue(number, std::move(request), std::move(callbacks), std::move(ids)); });
  return number;
}

void FakeTextService::Continue(uint64_t number, TextRequest request, TextCallbacks callbacks,
                               std::vector<int64_t> ids) {
  const int64_t end = request.reply_end;
  if (end > 0 && !ids.empty() && ids.back() == request.prompt[end - 1]) {
    request.prompt.erase(request.prompt.begin(), request.prompt.begin() + end);
  }
  ids.insert(ids.end(), request.prompt.begin(), request.prompt.end());
  TextResult result{.finish = TextFinish::kLength, .prompt_tokens = static_cast<int64_t>(request.prompt.size())};
  StreamDecoder decoder(tokenizer_, /*skip_special_tokens=*/true);
  const auto& stops = tokenizer_->stop_ids();
  for (; result.reply_tokens < request.max_tokens && result.finish == TextFinish::kLength; ++result.reply_tokens) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, options_.token_time, [&] { return running_[number]; });
    if (running_[number]) {
      result.finish = TextFinish::kCancelled;
      break;
    }
    const absl::Status failure = failure_;
    lock.unlock();
    const int64_t id = options_.reply[result.reply_tokens % options_.reply.size()];
    ids.push_back(id);
    TextPiece piece{.text = *decoder.Push(static_cast<int32_t>(id)), .tokens = {{.id = id}}};
    if (request.logprobs) {
      piece.tokens[0].logprob = -0.5f;
      for (int64_t i = 0; i < *request.logprobs; ++i) {
        piece.tokens[0].top.emplace_back((id + i) % options_.vocabulary, -0.5f - static_cast<float>(i));
      }
    }
    if (!callbacks.on_piece(std::move(piece))) result.finish = TextFinish::kCancelled;
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) result.finish = TextFinish::kStop;
    if (!failure.ok()) {
      result.finish = TextFinish::kError;
      result.status = failure;
    }
  }
  result.text_tokens = ids.size();
  result.state_bytes = kStateBytes;
  {
    const std::lock_guard lock(mutex_);
    Session* session = nullptr;
    if (!request.session.empty()) session = *Find(request.session);
    if (session == nullptr && request.keep) session = *Make("");
    if (session != nullptr) {
      session->info.busy = false;
      session->ids = std::move(ids);
      AddSnapshot(*session, request.snapshot_id);
      result.session = session->info.id;
      result.snapshot = session->snapshots.back().id;
    }
    finished_.push_back(result.finish);
    running_.erase(number);
  }
  changed_.notify_all();
  callbacks.on_done(std::move(result));
}

void FakeTextService::Cancel(uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(number);
    if (found != running_.end()) found->second = true;
  }
  changed_.notify_all();
}

absl::StatusOr<SessionInfo> FakeTextService::CreateSession(std::string_view id, int64_t) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* session, Make(id));
  return InfoOf(*session);
}

absl::StatusOr<SessionInfo> FakeTextService::GetSession(std::string_view id) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* session, Find(id));
  return InfoOf(*session);
}

absl::StatusOr<std::vector<SessionInfo>> FakeTextService::ListSessions(std::string_view after, int64_t limit) {
  const std::lock_guard lock(mutex_);
  std::vector<SessionInfo> list;
  for (auto at = sessions_.upper_bound(std::string(after)); at != sessions_.end(); ++at) {
    if (static_cast<int64_t>(list.size()) == limit) break;
    list.push_back(InfoOf(at->second));
  }
  return list;
}

absl::Status FakeTextService::DeleteSession(std::string_view id) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* session, Find(id));
  if (session->info.busy) return FailedPrecondition("session ", id, " is busy");
  sessions_.erase(std::string(id));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SnapshotInfo>> FakeTextService::Snapshots(std::string_view session) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* found, Find(session));
  return found->snapshots;
}

absl::StatusOr<std::vector<int64_t>> FakeTextService::Tokens(std::string_view session, int64_t first, int64_t limit) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* found, Find(session));
  const auto text = std::span(found->ids).subspan(std::min<size_t>(first, found->ids.size()));
  const auto part = text.first(std::min<size_t>(limit, text.size()));
  return std::vector<int64_t>(part.begin(), part.end());
}

absl::StatusOr<SessionInfo> FakeTextService::ForkSession(std::string_view session, std::string_view snapshot,
                                                         std::string_view id) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* found, Find(session));
  Session copy = *found;
  if (!snapshot.empty()) {
    const auto at = std::find_if(copy.snapshots.begin(), copy.snapshots.end(),
                                 [&](const SnapshotInfo& info) { return info.id == snapshot; });
    if (at == copy.snapshots.end()) return NotFound("session ", session, " has no snapshot ", snapshot);
    copy.ids.resize(at->tokens);
  }
  RADLADS_ASSIGN_OR_RETURN(Session* const fork, Make(id));
  fork->info.parent = std::string(session);
  fork->ids = std::move(copy.ids);
  AddSnapshot(*fork, "");
  return InfoOf(*fork);
}

absl::StatusOr<SessionInfo> FakeTextService::RewindSession(std::string_view session, std::string_view snapshot) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Session* const found, Find(session));
  if (found->info.busy) return FailedPrecondition("session ", session, " is busy");
  const auto at = std::find_if(found->snapshots.begin(), found->snapshots.end(),
                               [&](const SnapshotInfo& info) { return info.id == snapshot; });
  if (at == found->snapshots.end()) return NotFound("session ", session, " has no snapshot ", snapshot);
  found->ids.resize(at->tokens);
  found->snapshots.erase(at + 1, found->snapshots.end());
  return InfoOf(*found);
}

absl::StatusOr<std::string> FakeTextService::ExportSession(std::string_view session) {
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(const Session* found, Find(session));
  return nlohmann::json(found->ids).dump();
}

absl::StatusOr<SessionInfo> FakeTextService::ImportSession(std::string_view blob, std::string_view id) {
  const auto json = nlohmann::json::parse(blob, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return InvalidArgument("the blob is no session of this model");
  const std::lock_guard lock(mutex_);
  RADLADS_ASSIGN_OR_RETURN(Session* const session, Make(id));
  session->ids = json.get<std::vector<int64_t>>();
  AddSnapshot(*session, "");
  return InfoOf(*session);
}

void FakeTextService::Drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_.empty(); });
}

int64_t FakeTextService::running() const {
  const std::lock_guard lock(mutex_);
  return running_.size();
}

std::vector<TextFinish> FakeTextService::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

TextRequest FakeTextService::last_request() const {
  const std::lock_guard lock(mutex_);
  return last_request_;
}

void FakeTextService::FailWith(absl::Status status) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

}  // namespace radlads
