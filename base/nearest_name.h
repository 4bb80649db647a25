// "Did you mean ...?": the known name that a misspelt one most likely stands for.
#ifndef RADLADS_BASE_NEAREST_NAME_H_
#define RADLADS_BASE_NEAREST_NAME_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace radlads {

// Insertions, deletions, substitutions and swaps of neighbours that turn one into the other, in bytes.
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate closest to `name`; the first of several; "" when none is close enough to be what was meant
// (more than a third of the letters differ, and more than two).
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace radlads

#endif  // RADLADS_BASE_NEAREST_NAME_H_
