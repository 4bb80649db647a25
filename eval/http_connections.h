// cpp-httplib's server, whose handlers can see that their client left. (Its later versions have
// Request::is_connection_closed; 0.11 looks at the socket only while it writes, when the status is already sent.)
#ifndef RADLADS_EVAL_HTTP_CONNECTIONS_H_
#define RADLADS_EVAL_HTTP_CONNECTIONS_H_

#include <httplib.h>

namespace radlads {

class HttpConnections : public httplib::Server {
 public:
  // On the thread of a handler: the client of its request has closed the connection, or its half of it. A client that
  // waits for a reply keeps both halves open, as common ones do.
  static bool ClientLeft();

 private:
  // Answers the requests of a connection one after the other. On stop, those that are there, and then no more.
  bool process_and_close_socket(socket_t socket) override;
};

}  // namespace radlads

#endif  // RADLADS_EVAL_HTTP_CONNECTIONS_H_
