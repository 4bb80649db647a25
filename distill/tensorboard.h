// TensorBoard event files, written without TensorFlow.
//
// Format (github.com/tensorflow/tensorboard): records of
//   u64 length | u32 masked crc32c of the length's bytes | data | u32 masked crc32c of the data, little-endian,
// where data is an Event message: {1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary, 7 SessionLog};
// Summary {1 repeated Value}; Value {1 string tag, 2 float simple_value}; SessionLog {1 status}.
// The first event of a file has file_version "brain.Event:2". These few messages are encoded by hand.
#ifndef RADLADS_DISTILL_TENSORBOARD_H_
#define RADLADS_DISTILL_TENSORBOARD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/log_file.h"

namespace radlads {

// As records store it: rotated right by 15 bits, plus 0xA282EAD8.
uint32_t MaskedCrc32c(std::string_view bytes);

// One event file. Not thread-safe. Every record is handed to the operating system before Write returns; one that a full
// disk does not take is not there at all.
class EventFile {
 public:
  // Creates <directory>/events.out.tfevents.<seconds>.<host>.<process>.<number>; the directory must exist.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(const std::string& directory);

  // All scalars of a step in one event. Values are stored as float.
  absl::Status WriteScalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  // A restarted run: readers forget the events of earlier files from `step` on.
  absl::Status WriteRestart(int64_t step);

  const std::string& path() const { return file_->path(); }

 private:
  explicit EventFile(std::unique_ptr<LogFile> file) : file_(std::move(file)) {}
  absl::Status WriteEvent(int64_t step, std::string_view rest);
  std::unique_ptr<LogFile> file_;
};

}  // namespace radlads

#endif  // RADLADS_DISTILL_TENSORBOARD_H_
