// Models that llama.cpp's llama-gguf-split has cut into parts: the first has the metadata, every one some of the tensors.
#include <cstdio>

#include "base/file.h"
#include "base/status.h"
#include "model/checkpoint/gguf.h"

namespace radlads {
namespace {

constexpr int64_t kMaxParts = 99999;  // the names have five digits
constexpr int64_t kShownParts = 8;    // in a message
constexpr char kSplitCount[] = "split.count", kSplitNumber[] = "split.no", kSplitTensors[] = "split.tensors.count";

// Which of how many parts a file is: {0, 1} for a model in one file.
struct Split {
  int64_t number = 0, count = 1;
};

absl::StatusOr<Split> SplitOf(const GgufFile& file) {
  Split split;
  if (!file.HasKey(kSplitCount)) return split;
  RADLADS_ASSIGN_OR_RETURN(const int64_t count, file.Int(kSplitCount));
  if (count <= 1) return split;
  RADLADS_ASSIGN_OR_RETURN(split.number, file.Int(kSplitNumber));
  split.count = count;
  if (count > kMaxParts || split.number < 0 || split.number >= count) {
    return InvalidArgument(file.path(), ": ", kSplitNumber, " is ", split.number, " and ", kSplitCount, " ", count,
                           "; expected at most ", kMaxParts, " parts, numbered from 0");
  }
  return split;
}

// "-00002-of-00003.gguf", as llama.cpp names the second of three.
std::string PartSuffix(int64_t number, int64_t count) {
  char suffix[48];
  std::snprintf(suffix, sizeof(suffix), "-%05lld-of-%05lld.gguf", static_cast<long long>(number + 1), static_cast<long long>(count));
  return suffix;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(auto named, OpenPart(path));
  RADLADS_ASSIGN_OR_RETURN(const Split split, SplitOf(*named));
  if (split.count == 1) return named;
  const std::string suffix = PartSuffix(split.number, split.count);
  if (!path.ends_with(suffix)) {
    return InvalidArgument(path, " is part ", split.number + 1, " of the ", split.count, " parts of a split model, whose name must end in \"",
                           suffix, "\" so that the others are found beside it; give the parts the names that they had");
  }
  const std::string stem = path.substr(0, path.size() - suffix.size());
  std::string missing;
  int64_t absent = 0;
  for (int64_t i = 0; i < split.count; ++i) {
    const std::string part = stem + PartSuffix(i, split.count);
    if (!FileExists(part) && ++absent <= kShownParts) missing += Concatenate(missing.empty() ? "" : ", ", part);
  }
  if (absent > 0) {
    return NotFound(path, " is part ", split.number + 1, " of the ", split.count, " parts of a split model, and ", absent,
                    absent == 1 ? " is" : " are", " missing beside it: ", missing, absent > kShownParts ? ", ..." : "", ". Fetch what is missing");
  }
  std::unique_ptr<GgufFile> whole;
  for (int64_t i = 0; i < split.count; ++i) {
    RADLADS_ASSIGN_OR_RETURN(auto part, i == split.number ? std::move(named) : OpenPart(stem + PartSuffix(i, split.count)));
    RADLADS_ASSIGN_OR_RETURN(const Split found, SplitOf(*part));
    if (found.number != i || found.count != split.count) {
      return InvalidArgument(part->path(), " says that it is part ", found.number + 1, " of ", found.count, "; its name says part ", i + 1,
                             " of ", split.count, ". Give the parts the names that they had");
    }
    if (i == 0) {
      whole = std::move(part);
    } else {
      RADLADS_RETURN_IF_ERROR(whole->Join(*part));
    }
  }
  if (whole->HasKey(kSplitTensors)) {
    RADLADS_ASSIGN_OR_RETURN(const int64_t tensors, whole->Int(kSplitTensors));
    if (tensors != static_cast<int64_t>(whole->tensors_.size())) {
      return InvalidArgument(whole->path(), ": ", kSplitTensors, " is ", tensors, ", but the ", split.count, " parts hold ",
                             whole->tensors_.size(), " tensors; they are not of one model");
    }
  }
  return whole;
}

absl::Status GgufFile::Join(GgufFile& part) {
  for (size_t i = 0; i < part.tensors_.size(); ++i) {
    if (!index_.emplace(part.tensors_[i].name, tensors_.size()).second) {
      return InvalidArgument(part.path(), ": tensor ", part.tensors_[i].name, " is in ", tensors_[index_[part.tensors_[i].name]].file, " too");
    }
    tensors_.push_back(std::move(part.tensors_[i]));
    places_.push_back({files_.size(), part.places_[i].offset});
  }
  files_.push_back(std::move(part.files_[0]));
  return absl::OkStatus();
}

}  // namespace radlads
