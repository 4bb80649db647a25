#include "data/verbs/make_dataset.h"

#include <chrono>
#include <cstdio>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/fnv.h"
#include "base/logging.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/corpus_inputs.h"

namespace radlads {
namespace {

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Whether PREFIX is what the job with this hash makes.
bool IsMade(const std::string& prefix, const std::string& hash) {
  const auto info = ReadDatasetInfo(prefix);
  if (hash.empty() || !info.ok() || !*info || (*info)->job != hash) return false;
  const auto dataset = TokenDataset::Open(prefix);
  return dataset.ok() && (*dataset)->tokens() == (*info)->tokens && (*dataset)->documents() == (*info)->documents;
}

}  // namespace

absl::Status DatasetJob::SetFiles(const std::string& name, const std::vector<std::string>& paths) {
  nlohmann::json files = nlohmann::json::array();
  for (const std::string& path : paths) {
    RADLADS_ASSIGN_OR_RETURN(const FileStamp stamp, StampOf(path));
    if (stamp.bytes < 0) has_pipe_ = true;
    files.push_back({{"name", path}, {"bytes", stamp.bytes}, {"modified_ns", stamp.modified_ns}});
  }
  json_[name] = std::move(files);
  return absl::OkStatus();
}

absl::Status DatasetJob::SetBase(const TokenDataset& dataset) {
  RADLADS_ASSIGN_OR_RETURN(const FileStamp stamp, StampOf(TokensPath(dataset.prefix())));
  base_ = {{"tokens", dataset.tokens()}, {"documents", dataset.documents()}, {"modified_ns", stamp.modified_ns}};
  return absl::OkStatus();
}

std::string DatasetJob::ToJson() const {
  nlohmann::json whole = json_;
  if (!base_.is_null()) whole["base"] = base_;
  return Dump(whole);
}

std::string DatasetJob::Hash() const {
  if (has_pipe_) return "";
  Fnv128 hash;
  hash.Add(Dump(json_));
  return hash.Hex();
}

void AddOutputFlags(CLI::App* verb, OutputFlags* flags) {
  verb->add_flag("--restart", flags->restart,
                 "Begin anew instead of continuing an interrupted run or keeping a dataset that is made already.");
  verb->add_option("--checkpoint_seconds", flags->seconds_between_points,
                   "An interrupted run is continued from a point at most so long ago.")
      ->check(NumberAtLeast(0))
      ->capture_default_str();
}

absl::Status MakeDataset(const std::string& prefix, TokenType type, const DatasetJob& job, const OutputFlags& flags,
                         const FillDataset& fill) {
  RADLADS_RETURN_IF_ERROR(TokenDatasetWriter::Recover(prefix));
  if (!flags.restart && IsMade(prefix, job.Hash())) {
    std::printf("%s is there already, made by this command from these inputs; --restart makes it again\n",
                prefix.c_str());
    return absl::OkStatus();
  }
  TokenDatasetWriterOptions options;
  options.job = job.ToJson();
  options.restart = flags.restart;
  options.seconds_between_points = flags.seconds_between_points;
  RADLADS_ASSIGN_OR_RETURN(auto writer, TokenDatasetWriter::Create(prefix, type, options));
  if (!writer->cursors().empty()) {
    Log().info("continuing an interrupted run after {} documents, {} tokens", writer->documents(), writer->tokens());
  }
  const auto start = std::chrono::steady_clock::now();
  const int64_t tokens_before = writer->tokens();
  DatasetInfo info;
  absl::Status status = fill(writer.get(), &info);
  // What a run that is continued would find, too.
  if (status.ok() && writer->documents() == 0) {
    return InvalidArgument("there is no document to write to ", prefix, ": what was read has none, or only empty ones");
  }
  if (status.ok()) {
    info.tokens = writer->tokens();
    info.documents = writer->documents();
    info.tokens_crc32c = writer->tokens_crc32c();
    info.job = job.Hash();
    info.created = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
    status = writer->Commit(info.ToJson());
  }
  if (!status.ok()) {
    if (!writer->has_points()) return status;
    return Annotate(
        absl::Status(status.code(), Concatenate(status.message(), ". What was written before is kept in ", prefix,
                                                ".partial.*: the same command continues it, --restart begins anew")),
        prefix);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%s.bin, .idx, .json: %lld tokens in %lld documents (%s), in %s: %s tokens/s\n", prefix.c_str(),
              static_cast<long long>(info.tokens), static_cast<long long>(info.documents), TokenTypeName(type),
              HumanDuration(seconds).c_str(), HumanCount((info.tokens - tokens_before) / seconds).c_str());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> TokenizerFor(const std::string& named, const std::string& prefix,
                                                              const std::optional<DatasetInfo>& info) {
  if (named.empty() && (!info || info->tokenizer.empty())) {
    return InvalidArgument(prefix, " does not say which tokenizer made it; name one with --tokenizer DIR");
  }
  const std::string path = named.empty() ? info->tokenizer : named;
  auto tokenizer = Tokenizer::Load(path);
  if (!tokenizer.ok()) {
    return Annotate(tokenizer.status(), named.empty() ? prefix + " was made with the tokenizer " + path +
                                                            ", which cannot be read (--tokenizer names another place)"
                                                      : path);
  }
  if (info && !info->tokenizer_hash.empty() && info->tokenizer_hash != (*tokenizer)->Hash()) {
    return FailedPrecondition(prefix, " was made with the tokenizer ", info->tokenizer, " (hash ", info->tokenizer_hash,
                              "), but ", path, " has hash ", (*tokenizer)->Hash());
  }
  return tokenizer;
}

absl::StatusOr<DescribedDataset> OpenDescribed(const std::string& prefix) {
  DescribedDataset dataset;
  RADLADS_ASSIGN_OR_RETURN(dataset.tokens, TokenDataset::Open(prefix));
  RADLADS_ASSIGN_OR_RETURN(dataset.info, ReadDatasetInfo(prefix));
  return dataset;
}

}  // namespace radlads
