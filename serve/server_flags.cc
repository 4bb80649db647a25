#include "serve/server_flags.h"

#include <charconv>

#include "base/loopback.h"
#include "base/status.h"
#include "serve/transport/access.h"

namespace radlads {
namespace {

struct Address {
  std::string host;  // without brackets
  int port = 0;
};

// HOST:PORT, [::1]:PORT.
absl::StatusOr<Address> ParseAddress(const char* flag, const std::string& listen) {
  Address address;
  const size_t colon = listen.rfind(':');
  const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port < 0 || address.port > 65535) {
    return InvalidArgument(flag, " must be HOST:PORT, port 0 for any that is free, found ", listen);
  }
  address.host = listen.substr(0, colon);
  if (address.host.starts_with('[')) address.host = address.host.substr(1, address.host.size() - 2);
  return address;
}

absl::Status CheckKeys(const ServerFlags& flags, const Address& address) {
  if (IsLoopbackHost(address.host) || flags.no_keys || !flags.http.keys.empty()) return absl::OkStatus();
  return FailedPrecondition("everybody who reaches ", address.host,
                            " could ask this server; give it --key_file, or --no_keys if that is meant");
}

}  // namespace

void AddServerFlags(CLI::App& app, ServerFlags* flags) {
  flags->service.engine.active = flags->service.engine.waiting = flags->service.cache_bytes = kFromMemory;
  const auto positive = CLI::PositiveNumber;
  app.add_option("--model", flags->models, "Hugging Face directory or run, or NAME=PATH; repeatable.")->required();
  app.add_option("--dtype", flags->dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  app.add_option("--device", flags->device,
                 "cpu, cuda or cuda:N (of a --config=cuda build): where models and states are.")
      ->capture_default_str();
  app.add_option("--threads", flags->threads, "CPU threads; default: all cores.")->check(positive);
  app.add_option("--listen", flags->listen, "HOST:PORT; port 0: any that is free.")->capture_default_str();
  app.add_option("--grpc_listen", flags->grpc_listen, "HOST:PORT of gRPC, with the same keys and TLS; default: none.");
  app.add_option("--store", flags->store, "Directory of the sessions.")->capture_default_str();
  app.add_option("--store_gib", flags->store_gib, "That all sessions of a model may take on disk.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--session_mib", flags->session_mib, "That the snapshots of one session may take.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--sessions", flags->service.store.sessions, "Sessions of a model.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--ttl_seconds", flags->service.store.ttl_seconds,
                 "After which a session that is not used is forgotten; 0: never.")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--cache_mib", flags->cache_mib,
                 "Of states in memory, for prompts that begin alike; default: an eighth of the memory that is free.")
      ->check(positive);
  app.add_option("--snapshot_tokens", flags->service.snapshot_tokens,
                 "Of a reply, after which its state is stored on the way.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--context", flags->service.context,
                 "Tokens that a text may have; default: no limit, or that of the config for softmax layers.")
      ->check(positive);
  app.add_option("--active", flags->service.engine.active,
                 "Texts of a model that go on at once; default: as many as have room, at most 64.")
      ->check(positive);
  app.add_option("--waiting", flags->service.engine.waiting,
                 "Texts that may wait, more are told to come back; default: 16 for each that goes on.")
      ->check(positive);
  app.add_option(
      "--warm", flags->warm,
      "FILE, or NAME=FILE for one of the models: a system message, or beginning of plain prompts where there "
      "is no chat template, whose state is computed before the server is ready and kept; repeatable.");
  app.add_option("--max_tokens", flags->http.max_tokens, "Of a reply whose request does not say.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--key_file", flags->key_file, "API keys, one on each line; chmod 600.");
  app.add_flag("--no_keys", flags->no_keys, "Everybody may ask, on an address that others reach.");
  app.add_option("--tls_cert", flags->http.tls_certificate, "PEM file: the certificate and its chain.");
  app.add_option("--tls_key", flags->http.tls_key, "PEM file: its key.");
  app.get_option("--tls_cert")->needs("--tls_key");
  app.get_option("--tls_key")->needs("--tls_cert");
  app.add_option("--cors_origin", flags->http.cors_origins,
                 "Whose pages may ask, as https://chat.example.org; repeatable.");
  app.add_option("--max_body_bytes", flags->http.max_body, "Of a request, and of a session that is imported.")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--connections", flags->http.connections, "Open at once.")->check(positive)->capture_default_str();
  app.add_option("--requests", flags->http.requests, "Worked on at once, streams among them.")
      ->check(CLI::Range(1, 16384))
      ->capture_default_str();
  app.add_option("--drain_seconds", flags->drain_seconds, "That texts have to end by themselves after SIGTERM.")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

absl::Status SetAccess(ServerFlags* flags) {
  if (!flags->key_file.empty()) {
    RADLADS_ASSIGN_OR_RETURN(flags->http.keys, ReadKeys(flags->key_file));
  }
  RADLADS_ASSIGN_OR_RETURN(const Address http, ParseAddress("--listen", flags->listen));
  RADLADS_RETURN_IF_ERROR(CheckKeys(*flags, http));
  flags->http.host = http.host;
  flags->http.port = http.port;
  if (flags->grpc_listen.empty()) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const Address grpc, ParseAddress("--grpc_listen", flags->grpc_listen));
  return CheckKeys(*flags, grpc);
}

}  // namespace radlads
