#include "serve/sessions/disk_room.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

namespace radlads {

DiskRoom RoomOn(const std::string& directory) {
  struct statvfs disk;
  if (::statvfs(directory.c_str(), &disk) != 0 || disk.f_blocks == 0) return {.free = INT64_MAX};
  const auto block = static_cast<int64_t>(disk.f_frsize);
  // Some blocks are kept for root alone.
  const auto free = static_cast<int64_t>(::geteuid() == 0 ? disk.f_bfree : disk.f_bavail);
  return {.free = free * block,
          .reserve = std::min<int64_t>(64 << 20, static_cast<int64_t>(disk.f_blocks) * block / 16)};
}

}  // namespace radlads
