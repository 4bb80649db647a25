#include "serve/server_flags.h"

#include "base/bound_port.h"
#include "base/loopback.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "serve/transport/access.h"
#include "serve/transport/tls_context.h"

namespace radlads {
namespace {

absl::Status CheckKeys(const ServerFlags& flags, const ListenAddress& address) {
  if (IsLoopbackHost(address.host) || flags.no_keys || !flags.http.keys.empty()) return absl::OkStatus();
  return FailedPrecondition("everybody who reaches ", address.host,
                            " could ask this server; give it --key_file, or --no_keys if that is meant");
}

void AddModelFlags(CLI::App& app, ServerFlags* flags) {
  const auto add = [&](const std::string& name, auto& value, const std::string& text) {
    return app.add_option(name, value, text)->group("Models");
  };
  add("--model", flags->models,
      "Hugging Face directory or run, or NAME=PATH where requests call it otherwise than its folder; repeatable.")
      ->required();
  add("--dtype", flags->dtype, "fp32, bf16, or auto: bf16 where the processor multiplies bf16.")
      ->check(OneOf({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  add("--device", flags->device, "cpu, cuda or cuda:N (of a --config=cuda build): where models and states are.")
      ->capture_default_str();
  add("--threads", flags->threads, "CPU threads; default: all cores.")->check(AtLeast(1));
  add("--warm", flags->warm,
      "FILE, or NAME=FILE for one of the models: a system message, or beginning of plain prompts where there is no "
      "chat "
      "template, whose state is computed before the server is ready and kept; repeatable.");
}

void AddAccessFlags(CLI::App& app, ServerFlags* flags) {
  const auto add = [&](const std::string& name, auto& value, const std::string& text) {
    return app.add_option(name, value, text)->group("Addresses and access");
  };
  add("--listen", flags->listen, "HOST:PORT of HTTP; port 0: any that is free.")->capture_default_str();
  add("--grpc_listen", flags->grpc_listen, "HOST:PORT of gRPC, with the same keys and TLS; default: no gRPC.");
  add("--key_file", flags->key_file, "File of API keys, one on each line; chmod 600.");
  app.add_flag("--no_keys", flags->no_keys, "Everybody may ask, even on an address that other machines reach.")
      ->group("Addresses and access");
  CLI::Option* certificate =
      add("--tls_cert", flags->http.tls_certificate, "PEM file: the certificate, followed by its chain.");
  CLI::Option* key = add("--tls_key", flags->http.tls_key, "PEM file: the certificate's key.");
  certificate->needs(key);
  key->needs(certificate);
  add("--cors_origin", flags->http.cors_origins,
      "Origin whose pages may ask, as https://chat.example.org, or * for all; repeatable.");
}

void AddSessionFlags(CLI::App& app, ServerFlags* flags) {
  const auto add = [&](const std::string& name, auto& value, const std::string& text) {
    return app.add_option(name, value, text)->group("Sessions on disk");
  };
  add("--store", flags->store, "Directory of the sessions, which has a folder for each model.")->capture_default_str();
  add("--store_gib", flags->store_gib, "Disk that all sessions of a model may take, in GiB.")
      ->check(MoreThan(0))
      ->capture_default_str();
  add("--session_mib", flags->session_mib, "Disk that the snapshots of one session may take, in MiB.")
      ->check(MoreThan(0))
      ->capture_default_str();
  add("--sessions", flags->service.store.sessions, "Number of sessions that a model may have.")
      ->check(AtLeast(1))
      ->capture_default_str();
  add("--ttl_seconds", flags->service.store.ttl_seconds,
      "Seconds after which a session that is not used is forgotten; 0: never.")
      ->check(AtLeast(0))
      ->capture_default_str();
  add("--snapshot_tokens", flags->service.snapshot_tokens,
      "Tokens of a reply after which its state is stored on the way.")
      ->check(AtLeast(1))
      ->capture_default_str();
}

void AddSizeFlags(CLI::App& app, ServerFlags* flags) {
  const auto add = [&](const std::string& name, auto& value, const std::string& text) {
    return app.add_option(name, value, text)->group("Sizes and limits");
  };
  add("--context", flags->service.context,
      "Tokens that a text may have; default: no limit, or that of the config for softmax layers.")
      ->check(AtLeast(1));
  add("--active", flags->service.engine.active,
      "Texts of a model that go on at once; default: as many as have room, at most 64.")
      ->check(AtLeast(1));
  add("--waiting", flags->service.engine.waiting,
      "Texts that may wait, more are told to come back; default: 16 for each that goes on.")
      ->check(AtLeast(1));
  add("--cache_mib", flags->cache_mib,
      "Memory for states of prompts that begin alike, in MiB; default: an eighth of the memory that is free.")
      ->check(MoreThan(0));
  add("--max_tokens", flags->http.max_tokens, "Tokens of a reply whose request does not say how many.")
      ->check(AtLeast(1))
      ->capture_default_str();
  add("--max_body_bytes", flags->http.max_body, "Bytes of a request, and of a session that is imported.")
      ->check(AtLeast(1))
      ->capture_default_str();
  add("--connections", flags->http.connections, "Connections that are open at once.")
      ->check(AtLeast(1))
      ->capture_default_str();
  add("--requests", flags->http.requests, "Requests that are worked on at once, streams among them.")
      ->check(InRange(1, 16384))
      ->capture_default_str();
  add("--drain_seconds", flags->drain_seconds, "Seconds that texts have to end by themselves after SIGTERM.")
      ->check(AtLeast(0))
      ->capture_default_str();
}

}  // namespace

void AddServerFlags(CLI::App& app, ServerFlags* flags) {
  flags->service.engine.active = flags->service.engine.waiting = flags->service.cache_bytes = kFromMemory;
  AddModelFlags(app, flags);
  AddAccessFlags(app, flags);
  AddSessionFlags(app, flags);
  AddSizeFlags(app, flags);
  app.footer(
      "\nExample:\n"
      "  server --model out/student/final --listen 127.0.0.1:8080 --store out/sessions\n"
      "  curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", \"content\": "
      "\"Hello\"}]}'");
}

absl::Status SetAccess(ServerFlags* flags) {
  if (!flags->key_file.empty()) {
    RADLADS_ASSIGN_OR_RETURN(flags->http.keys, ReadKeys(flags->key_file));
  }
  if (!flags->http.tls_key.empty()) {
    RADLADS_RETURN_IF_ERROR(TlsContext(flags->http.tls_certificate, flags->http.tls_key).status());
  }
  RADLADS_ASSIGN_OR_RETURN(const ListenAddress http, ParseListenAddress("--listen", flags->listen));
  RADLADS_RETURN_IF_ERROR(CheckKeys(*flags, http));
  flags->http.host = http.host;
  flags->http.port = http.port;
  if (flags->grpc_listen.empty()) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const ListenAddress grpc, ParseListenAddress("--grpc_listen", flags->grpc_listen));
  return CheckKeys(*flags, grpc);
}

}  // namespace radlads
