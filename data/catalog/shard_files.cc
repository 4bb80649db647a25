#include "data/catalog/shard_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/parallel_for.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/dataset_info.h"

namespace radlads {
namespace {

constexpr int64_t kBlockBytes = 16 << 20;

struct Stamp {
  int64_t bytes = 0, modified_ns = 0;
};

absl::StatusOr<Stamp> StampOf(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    const int error = errno;
    if (error == ENOENT) return NotFound(path, " does not exist");
    return absl::UnavailableError(Concatenate("cannot look at ", path, ": ", std::strerror(error)));
  }
  return Stamp{info.st_size, info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

std::vector<uint32_t> BlockChecksums(std::span<const uint8_t> bytes, int64_t block_bytes, Progress* progress) {
  std::vector<uint32_t> checksums((bytes.size() + block_bytes - 1) / block_bytes);
  ParallelForDynamic(checksums.size(), [&](int64_t block) {
    const size_t begin = block * block_bytes;
    const auto part = bytes.subspan(begin, std::min<size_t>(block_bytes, bytes.size() - begin));
    checksums[block] = Crc32c({reinterpret_cast<const char*>(part.data()), part.size()});
    progress->Advance(part.size());
  });
  return checksums;
}

absl::Status DescribeFile(const std::string& path, Progress* progress, catalog::File* file) {
  RADLADS_ASSIGN_OR_RETURN(const Stamp before, StampOf(path));
  RADLADS_ASSIGN_OR_RETURN(const auto mapped, MappedFile::Open(path));
  for (const uint32_t checksum : BlockChecksums(mapped->bytes(), kBlockBytes, progress)) file->add_crc32c(checksum);
  RADLADS_ASSIGN_OR_RETURN(const Stamp after, StampOf(path));
  if (before.bytes != after.bytes || before.modified_ns != after.modified_ns) {
    return FailedPrecondition(path, " was changed while it was read; wait until its writer is done");
  }
  file->set_bytes(after.bytes);
  file->set_modified_ns(after.modified_ns);
  file->set_block_bytes(kBlockBytes);
  return absl::OkStatus();
}

std::string TimeOf(int64_t nanoseconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixNanos(nanoseconds), absl::UTCTimeZone());
}

// Of one file; `expected` is what the catalog says.
absl::Status CheckStamp(const std::string& dataset, const std::string& path, const catalog::File& expected) {
  const absl::StatusOr<Stamp> found = StampOf(path);
  if (absl::IsNotFound(found.status())) {
    return DataLoss("dataset ", dataset, ": ", path,
                    " is gone; put the file back, or take the shard out with make_binidx catalog remove");
  }
  if (!found.ok()) return Annotate(found.status(), "dataset " + dataset);
  if (found->bytes != expected.bytes()) {
    return DataLoss("dataset ", dataset, ": ", path, " was changed behind the catalog: it has ", found->bytes,
                    " bytes, expected ", expected.bytes(),
                    "; put the file back, or remove the shard and import it anew");
  }
  if (found->modified_ns != expected.modified_ns()) {
    return DataLoss("dataset ", dataset, ": ", path, " was changed behind the catalog: last change at ",
                    TimeOf(found->modified_ns), ", expected ", TimeOf(expected.modified_ns()),
                    "; make_binidx catalog check compares its contents, and --restamp accepts the new time if they are "
                    "the same");
  }
  return absl::OkStatus();
}

absl::Status CheckBlocks(const std::string& dataset, const std::string& path, const catalog::File& expected,
                         Progress* progress) {
  const absl::StatusOr<Stamp> found = StampOf(path);
  if (!found.ok()) return DataLoss("dataset ", dataset, ": ", found.status().message());
  if (found->bytes != expected.bytes()) {
    return DataLoss("dataset ", dataset, ": ", path, " has ", found->bytes, " bytes, expected ", expected.bytes());
  }
  RADLADS_ASSIGN_OR_RETURN(const auto mapped, MappedFile::Open(path));
  const std::vector<uint32_t> checksums = BlockChecksums(mapped->bytes(), expected.block_bytes(), progress);
  int64_t bad = 0, first = -1;
  for (size_t i = 0; i < checksums.size(); ++i) {
    if (checksums[i] != expected.crc32c(static_cast<int>(i)) && bad++ == 0) first = static_cast<int64_t>(i);
  }
  if (bad == 0) return absl::OkStatus();
  return DataLoss("dataset ", dataset, ": ", path, ": bytes ", first * expected.block_bytes(), " to ",
                  std::min(expected.bytes(), (first + 1) * expected.block_bytes()), " have CRC-32C ", std::hex,
                  checksums[first], ", expected ", expected.crc32c(static_cast<int>(first)), std::dec, "; ", bad,
                  " of ", checksums.size(), " blocks differ: the contents were changed or damaged");
}

}  // namespace

absl::StatusOr<catalog::Shard> DescribeShard(const std::string& prefix) {
  catalog::Shard shard;
  shard.set_prefix(prefix);
  RADLADS_ASSIGN_OR_RETURN(const auto tokens, TokenDataset::Open(prefix));
  shard.set_token_type(TokenTypeName(tokens->type()));
  shard.set_tokens(tokens->tokens());
  shard.set_documents(tokens->documents());
  shard.set_created(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
  RADLADS_ASSIGN_OR_RETURN(const std::optional<DatasetInfo> info, ReadDatasetInfo(prefix));
  if (info) {
    if (info->tokens != tokens->tokens() || info->documents != tokens->documents()) {
      return InvalidArgument(DatasetInfoPath(prefix), " describes ", info->tokens, " tokens in ", info->documents,
                             " documents, found ", tokens->tokens(), " in ", tokens->documents(),
                             "; it belongs to other data: remove it, or put the right files together");
    }
    shard.set_tokenizer(info->tokenizer);
    shard.set_tokenizer_hash(info->tokenizer_hash);
    shard.set_vocabulary_size(info->vocabulary_size);
    if (info->eos_id) shard.set_eos_id(*info->eos_id);
    shard.set_created(info->created);
    for (const DatasetSource& source : info->sources) {
      catalog::Source& described = *shard.add_sources();
      described.set_name(source.name);
      if (source.documents >= 0) described.set_documents(source.documents);
      if (source.tokens >= 0) described.set_tokens(source.tokens);
    }
  }
  RADLADS_ASSIGN_OR_RETURN(const Stamp bin, StampOf(TokensPath(prefix)));
  RADLADS_ASSIGN_OR_RETURN(const Stamp idx, StampOf(IndexPath(prefix)));
  Progress progress("checksums of " + prefix, bin.bytes + idx.bytes, "B");
  RADLADS_RETURN_IF_ERROR(DescribeFile(TokensPath(prefix), &progress, shard.mutable_bin()));
  RADLADS_RETURN_IF_ERROR(DescribeFile(IndexPath(prefix), &progress, shard.mutable_idx()));
  return shard;
}

absl::Status CheckUnchanged(const std::string& dataset, const catalog::Shard& shard, const std::string& prefix) {
  RADLADS_RETURN_IF_ERROR(CheckStamp(dataset, TokensPath(prefix), shard.bin()));
  return CheckStamp(dataset, IndexPath(prefix), shard.idx());
}

absl::Status CheckContents(const std::string& dataset, const catalog::Shard& shard, const std::string& prefix) {
  Progress progress("checking " + prefix, shard.bin().bytes() + shard.idx().bytes(), "B");
  RADLADS_RETURN_IF_ERROR(CheckBlocks(dataset, TokensPath(prefix), shard.bin(), &progress));
  return CheckBlocks(dataset, IndexPath(prefix), shard.idx(), &progress);
}

absl::Status Restamp(const std::string& prefix, catalog::Shard* shard) {
  RADLADS_ASSIGN_OR_RETURN(const Stamp bin, StampOf(TokensPath(prefix)));
  RADLADS_ASSIGN_OR_RETURN(const Stamp idx, StampOf(IndexPath(prefix)));
  shard->mutable_bin()->set_modified_ns(bin.modified_ns);
  shard->mutable_idx()->set_modified_ns(idx.modified_ns);
  return absl::OkStatus();
}

}  // namespace radlads
