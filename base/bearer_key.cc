#include "base/bearer_key.h"

#include <algorithm>

namespace radlads {

std::string_view BearerKey(std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer ";
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  const std::string_view scheme = authorization.substr(0, kBearer.size());
  if (!std::equal(scheme.begin(), scheme.end(), kBearer.begin(), kBearer.end(), same)) return "";
  authorization.remove_prefix(kBearer.size());
  return authorization.substr(std::min(authorization.find_first_not_of(' '), authorization.size()));
}

}  // namespace radlads
