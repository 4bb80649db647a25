// One log line and the metrics of every request.
#ifndef RADLADS_SERVE_HTTP_REQUEST_LOG_H_
#define RADLADS_SERVE_HTTP_REQUEST_LOG_H_

#include <httplib.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <string>

#include "serve/http/http_connections.h"
#include "serve/text_service.h"
#include "serve/transport/text_log.h"

namespace radlads {

// Thread-safe; a request stays on the thread of HttpConnections on which it began.
class RequestLog {
 public:
  explicit RequestLog(prometheus::Registry& metrics);

  // The request of this thread begins. Its id is x-request-id, if that is 1 to 64 of [A-Za-z0-9._-], or a new one.
  void Begin(const httplib::Request& request);
  // One that no handler saw; from any thread.
  void Refused(const RefusedRequest& request);
  // As it is called in metrics: "/v1/sessions/{id}".
  void SetRoute(const char* route);
  // A word for the log line: " key=value".
  void Note(const std::string& word);
  // The first token of a text, and its end.
  void FirstToken();
  void Text(const std::string& model, const TextResult& result);
  // Before and after the reply is written.
  void Stamp(const httplib::Request& request, httplib::Response& response);
  void End(const httplib::Request& request, const httplib::Response& response);

 private:
  void Ended(const std::string& id, const char* route, const std::string& client, const std::string& method,
             const std::string& path, int status, double seconds, const std::string& notes);

  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  TextLog texts_;
};

}  // namespace radlads

#endif  // RADLADS_SERVE_HTTP_REQUEST_LOG_H_
