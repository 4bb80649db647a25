// Whatever bytes come, ParseBlob refuses them with a message or gives what SerializeBlob writes them from. The first
// 24 bytes hold what keeps damage out, so every input is tried with these set right, too.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/crc32c.h"
#include "serve/sessions/session_blob.h"

namespace {

void Try(const std::string& bytes) {
  const auto blob = radlads::ParseBlob(bytes);
  if (!blob.ok()) {
    if (blob.status().code() == absl::StatusCode::kInvalidArgument && !blob.status().message().empty()) return;
    std::fprintf(stderr, "refused with %s\n", blob.status().ToString().c_str());
    std::abort();
  }
  if (radlads::SerializeBlob(*blob) != bytes) {
    std::fprintf(stderr, "a blob of %zu bytes is not what its contents are written as\n", bytes.size());
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  if (size < 24) return 0;
  const uint32_t version = 1;
  const uint64_t length = size;
  std::memcpy(bytes.data(), "RADLSESS", 8);
  std::memcpy(bytes.data() + 8, &version, 4);
  std::memcpy(bytes.data() + 16, &length, 8);
  const uint32_t checksum = radlads::Crc32c(std::string_view(bytes).substr(16));
  std::memcpy(bytes.data() + 12, &checksum, 4);
  Try(bytes);
  return 0;
}
