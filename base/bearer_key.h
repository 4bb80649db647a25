// The key that a client shows in "Authorization: Bearer KEY".
#ifndef RADLADS_BASE_BEARER_KEY_H_
#define RADLADS_BASE_BEARER_KEY_H_

#include <string_view>

namespace radlads {

// KEY of the header's value, a part of it; the word before it has no case (RFC 9110). Empty where it is something else.
std::string_view BearerKey(std::string_view authorization);

}  // namespace radlads

#endif  // RADLADS_BASE_BEARER_KEY_H_
