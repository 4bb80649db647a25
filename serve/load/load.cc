#include "serve/load/load.h"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/status.h"
#include "serve/load/event_stream.h"

namespace radlads {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr const char* kWords[] = {"river", "stone",  "morning", "the",   "old",    "ship",  "carried", "letters",
                                  "and",   "winter", "under",   "light", "garden", "found", "a",       "silver",
                                  "road",  "over",   "quiet",   "hills", "where",  "birds", "sang",    "again"};

std::string DrawWords(int64_t count, std::mt19937_64& random) {
  std::string words;
  for (int64_t i = 0; i < count; ++i) words += Concatenate(" ", kWords[random() % std::size(kWords)]);
  return words;
}

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A message of an error, short enough to count equal ones.
std::string ErrorOf(const httplib::Result& result) {
  if (!result) {
    return result.error() == httplib::Error::Connection ? "cannot connect" : httplib::to_string(result.error());
  }
  const json body = ParseJson(result->body).value_or(json());
  const bool said = body.is_object() && body.contains("error") && body["error"].is_object();
  return Concatenate(result->status, said ? " " + body["error"].value("message", "") : "");
}

// Sessions that no client goes on from right now.
class FreeSessions {
 public:
  void Put(std::string id) {
    const std::lock_guard lock(mutex_);
    ids_.push_back(std::move(id));
  }
  std::string Take() {
    const std::lock_guard lock(mutex_);
    if (ids_.empty()) return "";
    std::string id = std::move(ids_.front());
    ids_.pop_front();
    return id;
  }

 private:
  std::mutex mutex_;
  std::deque<std::string> ids_;
};

class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options), gaps_(options.rate > 0 ? options.rate : 1), arrivals_(options.seed) {
    std::mt19937_64 random(options.seed);
    shared_ = DrawWords(options.shared_words, random);
  }

  absl::StatusOr<LoadResult> Run() {
    httplib::Client client = Client();
    if (const auto health = client.Get("/v1/models"); !health || health->status != 200) {
      return absl::UnavailableError(Concatenate(options_.url, "/v1/models: ", ErrorOf(health),
                                                "; is a server of //serve:server running there, and --key right?"));
    }
    std::vector<std::string> made;
    for (int64_t i = 0; i < options_.sessions; ++i) {
      const auto reply = client.Post("/v1/sessions" + Query(), "{}", "application/json");
      if (!reply || reply->status != 200) {
        Delete(client, made);
        return absl::UnavailableError(Concatenate("session ", i, " cannot be made: ", ErrorOf(reply)));
      }
      const json session = ParseJson(reply->body).value_or(json());
      if (!session.is_object() || !session.value("id", json()).is_string()) {
        Delete(client, made);
        return absl::UnavailableError(Concatenate("session ", i, ": the reply names none"));
      }
      made.push_back(session["id"]);
      sessions_.Put(made.back());
    }
    Progress progress("load", options_.seconds > 0 ? 0 : static_cast<uint64_t>(options_.requests), "requests");
    start_ = Clock::now();
    next_due_ = start_;
    std::vector<std::thread> clients;
    for (int64_t i = 0; i < options_.concurrency; ++i)
      clients.emplace_back([this, i, &progress] { Work(i, progress); });
    for (std::thread& thread : clients) thread.join();
    result_.seconds = Since(start_);
    progress.Finish();
    Delete(client, made);
    return std::move(result_);
  }

 private:
  httplib::Client Client() const {
    httplib::Client client(options_.url);
    client.set_keep_alive(true);
    client.set_tcp_nodelay(true);
    client.set_read_timeout(600);
    if (!options_.key.empty()) client.set_bearer_token_auth(options_.key);
    return client;
  }
  std::string Query() const { return options_.model.empty() ? "" : "?model=" + options_.model; }
  void Delete(httplib::Client& client, const std::vector<std::string>& sessions) const {
    for (const std::string& id : sessions) client.Delete("/v1/sessions/" + id + Query());
  }

  // When the next request is due; false: there is none any more.
  bool Next(Clock::time_point* due) {
    const std::lock_guard lock(mutex_);
    if (options_.seconds > 0 ? Since(start_) >= options_.seconds : begun_ >= options_.requests) return false;
    ++begun_;
    *due = Clock::now();
    if (options_.rate > 0) {
      next_due_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gaps_(arrivals_)));
      *due = next_due_;
    }
    return true;
  }

  void Work(int64_t number, Progress& progress) {
    httplib::Client client = Client();
    std::mt19937_64 random(options_.seed * 1'000'003 + static_cast<uint64_t>(number));
    LoadResult mine;
    for (Clock::time_point due; Next(&due);) {
      std::this_thread::sleep_until(due);
      const std::string session = options_.sessions > 0 ? sessions_.Take() : "";
      Ask(client, random, session, due, &mine);
      if (!session.empty()) sessions_.Put(session);
      progress.Advance(1);
    }
    const std::lock_guard lock(mutex_);
    result_.answered += mine.answered;
    result_.prompt_tokens += mine.prompt_tokens;
    result_.reply_tokens += mine.reply_tokens;
    result_.cached_tokens += mine.cached_tokens;
    result_.first_text.Add(mine.first_text);
    result_.between.Add(mine.between);
    result_.whole.Add(mine.whole);
    for (const auto& [error, count] : mine.errors) result_.errors[error] += count;
  }

  void Ask(httplib::Client& client, std::mt19937_64& random, const std::string& session, Clock::time_point due,
           LoadResult* result) const {
    json body = {{"prompt", shared_ + DrawWords(options_.prompt_words - options_.shared_words, random)},
                 {"max_tokens", options_.max_tokens},
                 {"temperature", 1},
                 {"seed", static_cast<int64_t>(random() >> 1)}};
    if (!options_.model.empty()) body["model"] = options_.model;
    if (!session.empty()) body["session_id"] = session;
    if (options_.stream) {
      body["stream"] = true;
      body["stream_options"]["include_usage"] = true;
    }

    json usage;
    std::string error;
    double last = -1;
    EventStream events([&](const json& event) {
      if (event.contains("error")) error = event["error"].value("message", "an error without a message");
      if (event.contains("usage") && event["usage"].is_object()) usage = event["usage"];
      if (!event.contains("choices") || event["choices"].empty()) return;
      if (event["choices"][0].value("text", "").empty()) return;
      const double now = Since(due);
      (last < 0 ? result->first_text : result->between).Add(last < 0 ? now : now - last);
      last = now;
    });
    httplib::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    request.set_header("Content-Type", "application/json");
    request.body = body.dump();
    std::string whole;
    request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
      if (options_.stream) events.Add({data, size});
      if (!options_.stream || whole.size() < 4096) whole.append(data, size);
      return true;
    };
    httplib::Result reply = client.send(request);
    if (reply && reply->body.empty()) reply->body = whole;
    if (!reply || reply->status != 200) {
      ++result->errors[ErrorOf(reply)];
      return;
    }
    if (!options_.stream) {
      const json parsed = ParseJson(whole).value_or(json());
      if (parsed.is_object()) usage = parsed.value("usage", json());
    } else if (error.empty() && !events.ended()) {
      error = "the stream ended without [DONE]";
    }
    if (!error.empty()) {
      ++result->errors[error];
      return;
    }
    ++result->answered;
    result->whole.Add(Since(due));
    if (usage.is_object()) {
      result->prompt_tokens += usage.value("prompt_tokens", int64_t{0});
      result->reply_tokens += usage.value("completion_tokens", int64_t{0});
      result->cached_tokens += usage.value("/prompt_tokens_details/cached_tokens"_json_pointer, int64_t{0});
    }
  }

  const LoadOptions options_;
  std::string shared_;  // words that all prompts begin with
  FreeSessions sessions_;
  std::mutex mutex_;  // guards what follows
  std::exponential_distribution<double> gaps_;
  std::mt19937_64 arrivals_;
  Clock::time_point start_, next_due_;
  int64_t begun_ = 0;
  LoadResult result_;
};

}  // namespace

absl::Status LoadOptions::Check() const {
  if (!url.starts_with("http://") && !url.starts_with("https://")) {
    return InvalidArgument("the URL must be http://HOST:PORT or https://HOST:PORT, found ", url);
  }
  if (concurrency < 1) return InvalidArgument("concurrency must be at least 1, found ", concurrency);
  if (!(rate >= 0)) return InvalidArgument("rate must be 0 (closed loop) or more, found ", rate);
  if (!(seconds >= 0)) return InvalidArgument("seconds must be 0 (a number of requests) or more, found ", seconds);
  if (requests < 1 && seconds == 0) return InvalidArgument("requests must be at least 1, found ", requests);
  if (prompt_words < 1) return InvalidArgument("prompt_words must be at least 1, found ", prompt_words);
  if (shared_words < 0 || shared_words > prompt_words) {
    return InvalidArgument("shared_words must be in [0, ", prompt_words, "], the words of a prompt; found ",
                           shared_words);
  }
  if (max_tokens < 1) return InvalidArgument("max_tokens must be at least 1, found ", max_tokens);
  if (sessions != 0 && sessions < concurrency) {
    return InvalidArgument(
        "as only one text at a time goes on from a session, there must be at least as many as "
        "clients, ",
        concurrency, "; found ", sessions);
  }
  return absl::OkStatus();
}

std::string LoadResult::Table() const {
  std::string text = absl::StrFormat("%d answered in %.2f s: %.2f requests/s, %.1f tokens/s\n", answered, seconds,
                                     answered / seconds, reply_tokens / seconds);
  text += absl::StrFormat("%d tokens of prompts, %d of them cached\n", prompt_tokens, cached_tokens);
  for (const auto& [error, count] : errors) text += absl::StrFormat("%d times: %s\n", count, error);
  text += "ms              p50       p90       p99       max     count\n";
  const std::pair<const char*, const Latencies*> rows[] = {
      {"first text", &first_text}, {"between", &between}, {"whole", &whole}};
  for (const auto& [name, times] : rows) {
    text += absl::StrFormat("%-10s %9.2f %9.2f %9.2f %9.2f %9d\n", name, times->Percentile(0.5) * 1e3,
                            times->Percentile(0.9) * 1e3, times->Percentile(0.99) * 1e3, times->Percentile(1) * 1e3,
                            times->count());
  }
  for (const auto& [name, times] : rows) {
    if (times->count() > 0) text += absl::StrFormat("\n%s\n%s", name, times->Histogram());
  }
  return text;
}

std::string LoadResult::Json() const {
  const auto of = [](const Latencies& times) {
    return json{{"p50", times.Percentile(0.5)},
                {"p90", times.Percentile(0.9)},
                {"p99", times.Percentile(0.99)},
                {"max", times.Percentile(1)},
                {"count", times.count()}};
  };
  return json{{"seconds", seconds},
              {"answered", answered},
              {"prompt_tokens", prompt_tokens},
              {"cached_tokens", cached_tokens},
              {"reply_tokens", reply_tokens},
              {"errors", errors},
              {"first_text_seconds", of(first_text)},
              {"between_seconds", of(between)},
              {"whole_seconds", of(whole)}}
             .dump(2) +
         "\n";
}

absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options) {
  RADLADS_RETURN_IF_ERROR(options.Check());
  return Load(options).Run();
}

}  // namespace radlads
