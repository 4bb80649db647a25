// Hands pieces of several inputs from readers to workers and, in the order of the inputs, to one consumer. A bound on
// the bytes in flight makes readers wait for the consumer, whatever the sizes and the speeds are.
#ifndef RADLADS_DATA_ORDERED_PIPELINE_H_
#define RADLADS_DATA_ORDERED_PIPELINE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace radlads {

// Piece has the members
//   size_t input;       // which input it is of
//   bool last;          // the input ends with it
//   uint64_t bytes;     // what it counts in flight
template <typename Piece>
class OrderedPipeline {
 public:
  OrderedPipeline(size_t first_input, size_t inputs, uint64_t bytes_in_flight)
      : inputs_(inputs), budget_(bytes_in_flight), next_input_(first_input), head_(first_input) {}

  // A reader: the next input to read, each handed out once; nothing when there is none.
  std::optional<size_t> TakeInput() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || next_input_ == inputs_) return std::nullopt;
    queues_.emplace_back();
    return next_input_++;
  }

  // A reader: passes on the next piece of its input, after waiting for room. False when the pipeline is stopped.
  bool Push(std::unique_ptr<Piece> piece) {
    std::unique_lock<std::mutex> lock(mutex_);
    const size_t input = piece->input;
    room_.wait(lock, [&] { return stopped_ || HasRoom(input); });
    if (stopped_) return false;
    Queue& queue = queues_[input - head_];
    in_flight_ += piece->bytes;
    waiting_.emplace(std::pair(input, queue.pushed++), piece.get());
    queue.pieces.push_back({std::move(piece), false});
    work_.notify_one();
    return true;
  }

  // A worker: the earliest piece that no worker has; null when there is nothing more to do.
  Piece* Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    work_.wait(lock, [&] { return stopped_ || !waiting_.empty(); });
    if (stopped_) return nullptr;
    Piece* piece = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    return piece;
  }
  void MarkDone(Piece* piece) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (Entry& entry : queues_[piece->input - head_].pieces) {
      if (entry.piece.get() == piece) entry.done = true;
    }
    done_.notify_one();
  }

  // The consumer: the next piece in order; null after the last piece of the last input.
  std::unique_ptr<Piece> Pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (head_ == inputs_) return nullptr;
    done_.wait(lock, [&] { return !queues_.empty() && !queues_[0].pieces.empty() && queues_[0].pieces[0].done; });
    std::unique_ptr<Piece> piece = std::move(queues_[0].pieces.front().piece);
    queues_[0].pieces.pop_front();
    in_flight_ -= piece->bytes;
    if (piece->last) {
      queues_.pop_front();
      ++head_;
    }
    room_.notify_all();
    return piece;
  }

  // Readers and workers return from their calls and are given nothing more.
  void Stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    room_.notify_all();
    work_.notify_all();
  }

 private:
  struct Entry {
    std::unique_ptr<Piece> piece;
    bool done;
  };
  struct Queue {
    std::deque<Entry> pieces;
    uint64_t pushed = 0;
  };

  // Inputs that are not their turn yet may fill half of the room, so that the one whose turn it is always has some.
  bool HasRoom(size_t input) const {
    if (input != head_) return in_flight_ < budget_ / 2;
    return in_flight_ < budget_ || queues_[0].pieces.empty();
  }

  const size_t inputs_;
  const uint64_t budget_;
  std::mutex mutex_;
  std::condition_variable room_, work_, done_;
  std::deque<Queue> queues_;  // of the inputs from head_ on that readers have taken
  size_t next_input_, head_;
  std::map<std::pair<size_t, uint64_t>, Piece*> waiting_;
  uint64_t in_flight_ = 0;
  bool stopped_ = false;
};

}  // namespace radlads

#endif  // RADLADS_DATA_ORDERED_PIPELINE_H_
