// The journal of work that can be continued: what the work is, and a record for each point that it has safely reached.
// The file is the lock as well: one process at a time. Format: docs/formats/binidx.md, "Journal".
#ifndef RADLADS_DATA_JOURNAL_H_
#define RADLADS_DATA_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace radlads {

// Not thread-safe. The file stays when the object goes, unless Remove() was called.
class Journal {
 public:
  // Opens or creates the journal at `path` and locks it. `job` is a JSON object that says what is done to what: a
  // journal of the same job is continued, one that has no record yet, or any when `restart` is set, begins anew.
  // FAILED_PRECONDITION when another process holds the lock, or when the journal is of another job; the message says
  // in what the two differ.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& path, const std::string& job, bool restart);
  // The journal that is there, of whatever job it is; null when there is none.
  static absl::StatusOr<std::unique_ptr<Journal>> OpenExisting(const std::string& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // All records, oldest first. What follows a record that is damaged or was not written to its end is not there.
  const std::vector<std::string>& records() const { return records_; }
  // Adds a record, one line of text. It is on the disk when OK is returned, and not there at all otherwise.
  absl::Status Append(std::string_view record);
  // Forgets all records but the first `count`.
  absl::Status Truncate(size_t count);
  // The work is done: removes the file.
  absl::Status Remove();

 private:
  Journal(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  // Null when the file is not there and `create` is false.
  static absl::StatusOr<std::unique_ptr<Journal>> OpenLocked(const std::string& path, bool create);
  absl::Status Load();
  absl::Status BeginOrContinue(const std::string& job, bool restart);

  std::string path_;
  int descriptor_;
  std::string head_;  // the line with the job; empty when there is none
  std::vector<std::string> records_;
  std::vector<uint64_t> ends_;  // of each record in the file
  uint64_t head_end_ = 0;
};

}  // namespace radlads

#endif  // RADLADS_DATA_JOURNAL_H_
