// A server of a model that says the same to everybody, for tests of clients: prints its port, and serves until its
// standard input ends.
#include <prometheus/registry.h>

#include <cstdio>
#include <thread>

#include "base/logging.h"
#include "data/tokenizer/testing/small_tokenizer.h"
#include "serve/http/http_text_server.h"
#include "serve/testing/fake_text_service.h"

int main(int argc, char** argv) {
  using namespace radlads;
  const auto tokenizer = SmallTokenizer(
      "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}<|end|>{% endfor %}"
      "{% if add_generation_prompt %}a:{% endif %}");
  FakeOptions fake = {.token_time = std::chrono::milliseconds(20)};
  for (const int32_t id : tokenizer->Encode("Hello there! <b>How</b> are you?\nFine, I hope.<|end|>")) {
    fake.reply.push_back(id);
  }
  FakeTextService service(tokenizer, fake);
  prometheus::Registry metrics;
  HttpTextServerOptions options{.port = argc > 1 ? std::atoi(argv[1]) : 0};
  if (argc > 2) options.keys = {argv[2]};
  HttpTextServer server({{.name = "fake", .service = &service, .tokenizer = tokenizer}}, metrics, options);
  if (const absl::Status bound = server.Bind(); !bound.ok()) return ExitCode(bound);
  absl::Status served;
  std::thread serving([&] { served = server.Serve(); });
  std::printf("%d\n", server.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  server.Shutdown();
  serving.join();
  return ExitCode(served);
}
