#include "data/dataset_builder.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/progress.h"
#include "base/status.h"

namespace radlads {
namespace {

constexpr size_t kBadLinesShown = 10;

// A block on its way: read, then encoded, then written.
struct Job {
  CorpusBlock block;
  // Encoded documents back to back.
  std::vector<int32_t> ids;
  std::vector<int64_t> lengths, text_bytes;
  std::vector<std::string> bad_lines;
  // Why reading or encoding stopped after the documents above.
  absl::Status status;
  bool encoded = false;
};

void Encode(const BuildOptions& options, const EncodeFunction& encode, Job* job) {
  for (RawDocument& document : job->block.documents) {
    std::string text;
    if (job->block.is_json) {
      absl::StatusOr<std::string> found = TextOfJsonLine(document.text, options.text_field);
      if (!found.ok()) {
        const std::string where = Concatenate(job->block.path, ":", document.line);
        if (options.skip_bad_lines) {
          job->bad_lines.push_back(where + ": " + std::string(found.status().message()));
          continue;
        }
        job->status = Annotate(found.status(), where);
        job->status =
            InvalidArgument(job->status.message(), ". Correct the line, or leave such lines out with --skip_bad_lines");
        break;
      }
      text = *std::move(found);
    } else {
      text = std::move(document.text);
    }
    const size_t before = job->ids.size();
    encode(text, &job->ids);
    if (options.eos_id) job->ids.push_back(*options.eos_id);
    job->lengths.push_back(job->ids.size() - before);
    job->text_bytes.push_back(text.size());
  }
  job->block.documents = {};  // the text is not needed any more
}

// Hands jobs from the reader to the encoders and, in the reader's order, to the writer.
class Pipeline {
 public:
  explicit Pipeline(size_t capacity) : capacity_(capacity) {}

  // The reader: false when the pipeline is stopped.
  bool Push(std::unique_ptr<Job> job) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || ordered_.size() < capacity_; });
    if (stopped_) return false;
    if (!job->encoded) waiting_.push_back(job.get());
    ordered_.push_back(std::move(job));
    changed_.notify_all();
    return true;
  }
  void Finish() {
    std::lock_guard<std::mutex> lock(mutex_);
    finished_ = true;
    changed_.notify_all();
  }

  // An encoder: null when there is nothing more to do.
  Job* Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || finished_ || !waiting_.empty(); });
    if (stopped_ || waiting_.empty()) return nullptr;
    Job* job = waiting_.front();
    waiting_.pop_front();
    return job;
  }
  void MarkEncoded(Job* job) {
    std::lock_guard<std::mutex> lock(mutex_);
    job->encoded = true;
    changed_.notify_all();
  }

  // The writer: null at the end.
  std::unique_ptr<Job> Pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return ordered_.empty() ? finished_ : ordered_.front()->encoded; });
    if (ordered_.empty()) return nullptr;
    std::unique_ptr<Job> job = std::move(ordered_.front());
    ordered_.pop_front();
    changed_.notify_all();
    return job;
  }
  void Stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> ordered_;  // all jobs in flight
  std::deque<Job*> waiting_;                  // those that no encoder has taken
  bool finished_ = false, stopped_ = false;
};

void ReadAll(CorpusReader* reader, Pipeline* pipeline) {
  while (true) {
    auto job = std::make_unique<Job>();
    const absl::StatusOr<bool> more = reader->Next(&job->block);
    if (more.ok() && !*more) break;
    if (!more.ok()) {
      // The documents before the error in this block still count, or the limit would depend on where blocks end.
      job->status = more.status();
      pipeline->Push(std::move(job));
      break;
    }
    if (!pipeline->Push(std::move(job))) break;
  }
  pipeline->Finish();
}

// Writes a job's documents. False when the limit is reached.
absl::StatusOr<bool> Write(const BuildOptions& options, const Job& job, TokenDatasetWriter* writer,
                           BuildResult* result) {
  size_t begin = 0;
  for (size_t i = 0; i < job.lengths.size(); ++i) {
    const std::span<const int32_t> ids(job.ids.data() + begin, job.lengths[i]);
    begin += ids.size();
    if (ids.empty()) {
      ++result->empty_documents;
      continue;
    }
    RADLADS_RETURN_IF_ERROR(writer->AddDocument(ids));
    result->text_bytes += job.text_bytes[i];
    if (options.limit_tokens > 0 && writer->tokens() >= options.limit_tokens) {
      result->reached_limit = true;
      return false;
    }
  }
  RADLADS_RETURN_IF_ERROR(job.status);
  result->bad_lines += job.bad_lines.size();
  for (const std::string& line : job.bad_lines) {
    if (result->first_bad_lines.size() < kBadLinesShown) result->first_bad_lines.push_back(line);
  }
  return true;
}

}  // namespace

absl::StatusOr<BuildResult> BuildDataset(const BuildOptions& options,
                                         const std::function<EncodeFunction()>& new_encoder,
                                         TokenDatasetWriter* writer) {
  RADLADS_CHECK(options.threads >= 1) << options.threads << " threads";
  RADLADS_ASSIGN_OR_RETURN(auto reader, CorpusReader::Create(options.paths, options.corpus));
  const auto start = std::chrono::steady_clock::now();
  auto seconds_so_far = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  std::unique_ptr<Progress> progress;
  if (options.show_progress) progress = std::make_unique<Progress>("tokenising", TotalSize(options.paths), "B");

  Pipeline pipeline(2 * options.threads + 2);
  std::vector<std::thread> threads;
  threads.emplace_back([&] { ReadAll(reader.get(), &pipeline); });
  for (int i = 0; i < options.threads; ++i) {
    threads.emplace_back([&options, &pipeline, encode = new_encoder()] {
      while (Job* job = pipeline.Take()) {
        Encode(options, encode, job);
        pipeline.MarkEncoded(job);
      }
    });
  }

  BuildResult result;
  absl::StatusOr<bool> more = true;
  while (more.ok() && *more) {
    const std::unique_ptr<Job> job = pipeline.Pop();
    if (job == nullptr) break;
    more = Write(options, *job, writer, &result);
    if (progress != nullptr) {
      const double seconds = seconds_so_far();
      progress->Advance(job->block.input_bytes, HumanCount(writer->tokens()) + " tokens, " +
                                                    HumanCount(writer->tokens() / seconds) + " tokens/s, " +
                                                    HumanCount(result.text_bytes / seconds, "B") + "/s of text");
    }
  }
  pipeline.Stop();
  for (std::thread& thread : threads) thread.join();
  result.seconds = seconds_so_far();
  RADLADS_RETURN_IF_ERROR(more.status());
  return result;
}

}  // namespace radlads
