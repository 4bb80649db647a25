// Room on the disk of a session store. Private to the store.
#ifndef RADLADS_SERVE_SESSIONS_DISK_ROOM_H_
#define RADLADS_SERVE_SESSIONS_DISK_ROOM_H_

#include <cstdint>
#include <string>

namespace radlads {

// In bytes. Marks that stay free, for replies under way, for deleting, and for RocksDB to tidy up: whatever is there
// can be read without any.
struct DiskRoom {
  int64_t free = 0;
  int64_t reserve = 0;  // nothing new is begun beyond it: 64 MiB, or a sixteenth of a disk of less than 1 GiB

  // What is under way may be kept beyond the reserve, up to this.
  int64_t to_keep() const { return reserve / 2; }
  // Without it a store is not opened for writing.
  int64_t to_open() const { return reserve / 16; }
  // With less, what is deleted gives its room back at once.
  int64_t to_tidy() const { return 4 * reserve; }
  // Once joining files has failed for want of room, it is not tried again with less.
  int64_t to_compact() const { return 8 * reserve; }
};

// Of the disk of a folder. A disk that does not say is taken to be endless.
DiskRoom RoomOn(const std::string& directory);

}  // namespace radlads

#endif  // RADLADS_SERVE_SESSIONS_DISK_ROOM_H_
