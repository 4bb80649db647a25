// The command line of //serve:server.
#ifndef RADLADS_SERVE_SERVER_FLAGS_H_
#define RADLADS_SERVE_SERVER_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "serve/http/http_text_server.h"
#include "serve/sessions/session_service.h"

namespace radlads {

struct ServerFlags {
  std::vector<std::string> models, warm;
  std::string dtype = "fp32", device = "cpu", listen = "127.0.0.1:8080", grpc_listen, store = "out/sessions", key_file;
  bool no_keys = false;
  int threads = 0;
  double cache_mib = 0, store_gib = 64, session_mib = 256;
  int64_t drain_seconds = 30;
  SessionServiceOptions service;
  HttpTextServerOptions http;
};

// Adds them all to `app`, which fills in `flags`.
void AddServerFlags(CLI::App& app, ServerFlags* flags);

// Sets the address and the keys in `flags->http`. INVALID_ARGUMENT for --listen or --grpc_listen that is no HOST:PORT;
// FAILED_PRECONDITION for one that others reach where nobody needs a key; errors of ReadKeys and TlsContext.
absl::Status SetAccess(ServerFlags* flags);

}  // namespace radlads

#endif  // RADLADS_SERVE_SERVER_FLAGS_H_
