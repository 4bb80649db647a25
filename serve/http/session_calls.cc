#include "serve/http/session_calls.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "serve/transport/chat_turns.h"

namespace radlads {
namespace {

constexpr int64_t kAround = 64;  // tokens: more than a template writes between two turns

ReplyJson SessionJson(const ServedModel& model, const SessionInfo& session) {
  return {{"id", session.id},
          {"object", "session"},
          {"model", model.name},
          {"tokens", session.tokens},
          {"state_bytes", session.state_bytes},
          {"stored_bytes", session.stored_bytes},
          {"created", session.created},
          {"used", session.used},
          {"expires", session.expires == 0 ? ReplyJson() : ReplyJson(session.expires)},
          {"parent", session.parent.empty() ? ReplyJson() : ReplyJson(session.parent)},
          {"busy", session.busy},
          {"cut", session.cut}};
}

absl::StatusOr<std::string> SessionReply(const ServedModel& model, const absl::StatusOr<SessionInfo>& session) {
  RADLADS_RETURN_IF_ERROR(session.status());
  return Dump(SessionJson(model, *session));
}

}  // namespace

absl::StatusOr<std::string> CreateSessionCall(const ServedModel& model, const RequestJson& json) {
  RADLADS_ASSIGN_OR_RETURN(const std::string id, String(json, "id", ""));
  RADLADS_ASSIGN_OR_RETURN(const int64_t ttl, Integer(json, "ttl_seconds", 0, 0, INT64_MAX));
  return SessionReply(model, model.service->CreateSession(id, ttl));
}

absl::StatusOr<std::string> ListSessionsCall(const ServedModel& model, const std::string& after, int64_t limit) {
  RADLADS_ASSIGN_OR_RETURN(std::vector<SessionInfo> sessions, model.service->ListSessions(after, limit + 1));
  const bool has_more = static_cast<int64_t>(sessions.size()) > limit;
  if (has_more) sessions.resize(limit);
  ReplyJson data = ReplyJson::array();
  for (const SessionInfo& session : sessions) data.push_back(SessionJson(model, session));
  return Dump({{"object", "list"}, {"data", std::move(data)}, {"has_more", has_more}});
}

absl::StatusOr<std::string> GetSessionCall(const ServedModel& model, const std::string& id,
                                           std::optional<int64_t> asked, int64_t limit) {
  RADLADS_ASSIGN_OR_RETURN(const SessionInfo session, model.service->GetSession(id));
  RADLADS_ASSIGN_OR_RETURN(const std::vector<SnapshotInfo> snapshots, model.service->Snapshots(id));
  int64_t first = asked.value_or(std::max<int64_t>(0, session.tokens - limit));
  const int64_t before = std::min(first, kAround);
  RADLADS_ASSIGN_OR_RETURN(const std::vector<int64_t> read, model.service->Tokens(id, first - before, limit + before));
  std::span<const int64_t> ids = read;
  if (before < static_cast<int64_t>(ids.size())) {
    const auto around = ids.first(std::min<size_t>(ids.size(), before + kAround));
    const int64_t begin = PartBegin(around, before, *model.tokenizer);
    first += begin - before;
    ids = ids.subspan(begin);
  } else {
    ids = {};
  }
  ReplyJson reply = SessionJson(model, session);
  reply["first"] = first;
  std::string text;
  for (const int64_t token : ids) text += model.tokenizer->BytesOf(static_cast<int32_t>(token)).value_or("");
  reply["text"] = std::move(text);
  ReplyJson& messages = reply["messages"] = ReplyJson::array();
  for (const ChatTurn& turn : SplitChat(ids, *model.tokenizer, first)) {
    messages.push_back({{"role", turn.message.role}, {"content", turn.message.content}, {"tokens", turn.tokens}});
    if (turn.continues) messages.back()["continues"] = true;
  }
  ReplyJson& kept = reply["snapshots"] = ReplyJson::array();
  for (const SnapshotInfo& snapshot : snapshots) {
    kept.push_back(
        {{"id", snapshot.id}, {"tokens", snapshot.tokens}, {"bytes", snapshot.bytes}, {"created", snapshot.created}});
  }
  return Dump(reply);
}

absl::StatusOr<std::string> DeleteSessionCall(const ServedModel& model, const std::string& id) {
  RADLADS_RETURN_IF_ERROR(model.service->DeleteSession(id));
  return Dump({{"id", id}, {"object", "session.deleted"}, {"deleted", true}});
}

absl::StatusOr<std::string> ForkSessionCall(const ServedModel& model, const std::string& id, const RequestJson& json) {
  RADLADS_ASSIGN_OR_RETURN(const std::string snapshot, String(json, "snapshot", ""));
  RADLADS_ASSIGN_OR_RETURN(const std::string fork, String(json, "id", ""));
  return SessionReply(model, model.service->ForkSession(id, snapshot, fork));
}

absl::StatusOr<std::string> RewindSessionCall(const ServedModel& model, const std::string& id,
                                              const RequestJson& json) {
  RADLADS_ASSIGN_OR_RETURN(const std::string snapshot, String(json, "snapshot"));
  return SessionReply(model, model.service->RewindSession(id, snapshot));
}

absl::StatusOr<std::string> ImportSessionCall(const ServedModel& model, std::string_view blob, const std::string& id) {
  return SessionReply(model, model.service->ImportSession(blob, id));
}

ReplyJson ModelJson(const ServedModel& model, int64_t created) {
  const ServiceInfo info = model.service->info();
  return {{"id", model.name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "radlads"},
          {"max_model_len", info.context == 0 ? ReplyJson() : ReplyJson(info.context)},
          {"state_grows", info.state_grows}};
}

}  // namespace radlads
