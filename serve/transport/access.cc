#include "serve/transport/access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/bearer_key.h"
#include "base/file.h"
#include "base/status.h"
#include "serve/error_code.h"

namespace radlads {
namespace {

constexpr size_t kShortestKey = 16;

// Of "host:port", "[::1]:port" or one of them without port.
std::string_view HostOf(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

// A number, or the name that no server of names may answer for (RFC 6761).
bool IsThisMachine(std::string_view host) {
  if (host == "localhost" || host.starts_with('[')) return true;
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadKeys(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0) {
    return FailedPrecondition(path, ": everyone may read the keys, or others write them; do chmod 600");
  }
  std::vector<std::string> keys;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (line.empty() || line[0] == '#') continue;
    if (line.size() < kShortestKey) {
      return InvalidArgument(path, ":", number, ": a key of ", line.size(),
                             " characters can be guessed, give at least ", kShortestKey,
                             " (openssl rand -hex 24 makes one)");
    }
    keys.push_back(line);
  }
  if (keys.empty()) return InvalidArgument(path, " has no key; write one on each line");
  return keys;
}

Access::Digest Access::DigestOf(std::string_view key) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

Access::Access(AccessOptions options) : options_(std::move(options)) {
  for (const std::string& key : options_.keys) digests_.push_back(DigestOf(key));
}

absl::Status Access::CheckKey(std::string_view authorization, std::string_view api_key) const {
  if (digests_.empty()) return absl::OkStatus();
  std::string_view key = BearerKey(authorization);
  if (key.empty()) key = api_key;
  if (key.empty()) {
    return absl::UnauthenticatedError("this server wants an API key: send the header \"Authorization: Bearer KEY\"");
  }
  const Digest digest = DigestOf(key);
  bool found = false;
  for (const Digest& known : digests_) found |= CRYPTO_memcmp(digest.data(), known.data(), digest.size()) == 0;
  if (found) return absl::OkStatus();
  return WithErrorCode(absl::UnauthenticatedError("the API key is not one of this server's"), kInvalidApiKey);
}

std::string_view Access::Allowed(std::string_view origin) const {
  const auto allows = [&](const std::string& allowed) { return allowed == "*" || allowed == origin; };
  return std::any_of(options_.origins.begin(), options_.origins.end(), allows) ? origin : std::string_view();
}

absl::Status Access::CheckSource(std::string_view origin, std::string_view host) const {
  if (!origin.empty() && Allowed(origin).empty()) {
    const size_t scheme = origin.find("://");
    const bool own = scheme != std::string_view::npos && origin.substr(scheme + 3) == host;
    if (!own) {
      return absl::PermissionDeniedError(Concatenate("pages of ", origin, " may not ask this server; start it with ",
                                                     "--cors_origin ", origin, " to let them"));
    }
  }
  if (options_.local && digests_.empty() && !host.empty() && !IsThisMachine(HostOf(host))) {
    return absl::PermissionDeniedError(Concatenate("this server is for its own machine, and asked as ", host,
                                                   "; ask localhost, or start it with --key_file"));
  }
  return absl::OkStatus();
}

}  // namespace radlads
