// The version of this software: of all its programs, which say it with --version.
#ifndef RADLADS_BASE_VERSION_H_
#define RADLADS_BASE_VERSION_H_

namespace radlads {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace radlads

#endif  // RADLADS_BASE_VERSION_H_
