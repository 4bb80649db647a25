#include "data/corpus_inputs.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr char kKnownEndings[] = ".jsonl, .json, .ndjson, .txt, .text or .md (and .gz, .xz, .zst, .lz4)";

// The ending of a name behind that of a compression.
std::string EndingOf(const fs::path& path) {
  const std::string ending = path.extension().string();
  for (const char* compression : {".gz", ".xz", ".zst", ".lz4"}) {
    if (ending == compression) return path.stem().extension().string();
  }
  return ending;
}

absl::Status CannotList(const fs::path& directory, const std::error_code& error) {
  const std::string message = Concatenate("cannot list ", directory.string(), ": ", error.message());
  return error == std::errc::permission_denied ? absl::PermissionDeniedError(message) : absl::UnavailableError(message);
}

// Adds the corpus files under a directory. Links to directories are not followed: they may lead back.
absl::Status AddFilesUnder(const fs::path& directory, std::vector<std::string>* found) {
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  if (error) return CannotList(directory, error);
  for (; entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->is_directory(error) && !entry->is_symlink(error)) {
      RADLADS_RETURN_IF_ERROR(AddFilesUnder(entry->path(), found));
    } else if (entry->is_regular_file(error) && CorpusFormatByName(entry->path().string())) {
      found->push_back(entry->path().string());
    }
  }
  return error ? CannotList(directory, error) : absl::OkStatus();
}

}  // namespace

std::optional<CorpusFormat> CorpusFormatByName(const std::string& path) {
  const std::string ending = EndingOf(path);
  for (const char* known : {".jsonl", ".json", ".ndjson"}) {
    if (ending == known) return CorpusFormat::kJsonLines;
  }
  for (const char* known : {".txt", ".text", ".md"}) {
    if (ending == known) return CorpusFormat::kText;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<std::string>> ExpandInputs(const std::vector<std::string>& inputs) {
  std::vector<std::string> paths;
  for (const std::string& input : inputs) {
    if (input == "-") {
      if (std::find(paths.begin(), paths.end(), "-") != paths.end()) {
        return InvalidArgument("standard input (-) is named twice; it can be read once");
      }
      paths.push_back(input);
    } else if (IsDirectory(input)) {
      std::vector<std::string> found;
      RADLADS_RETURN_IF_ERROR(AddFilesUnder(input, &found));
      if (found.empty()) {
        return InvalidArgument("there is no corpus file under ", input, "; expected names that end with ",
                               kKnownEndings);
      }
      std::sort(found.begin(), found.end());
      paths.insert(paths.end(), found.begin(), found.end());
    } else if (FileExists(input)) {
      paths.push_back(input);
    } else if (input.find_first_of("*?[") != std::string::npos) {
      glob_t matches{};
      if (::glob(input.c_str(), 0, nullptr, &matches) == 0) {
        paths.insert(paths.end(), matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
      }
      const bool none = matches.gl_pathc == 0;
      ::globfree(&matches);
      if (none) return NotFound("no file matches ", input);
    } else {
      return NotFound("there is no file or directory ", input);
    }
  }
  if (paths.empty()) return InvalidArgument("no input was named; expected files, directories or - for standard input");
  return paths;
}

absl::Status CheckFormats(const std::vector<std::string>& paths, CorpusFormat format) {
  for (const std::string& path : paths) {
    if (EndingOf(path) == ".parquet") {
      return InvalidArgument(path, " is a Parquet file, which is not read here; make JSON lines of it first, with ",
                             "DuckDB for one: duckdb -c \"COPY (SELECT text FROM '", path,
                             "') TO '/dev/stdout' (FORMAT json)\" | make_binidx build - --format jsonl ...");
    }
    if (format == CorpusFormat::kByName && !CorpusFormatByName(path)) {
      return InvalidArgument("the name ", path == "-" ? "of standard input" : path,
                             " does not tell its format; say --format jsonl or --format text");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<FileStamp> StampOf(const std::string& path) {
  struct stat info;
  if (path == "-") return FileStamp{-1, 0};
  if (::stat(path.c_str(), &info) != 0) {
    return absl::UnavailableError(Concatenate("cannot stat ", path, ": ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) return FileStamp{-1, 0};
  return FileStamp{info.st_size, info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

uint64_t TotalSize(const std::vector<std::string>& paths) {
  uint64_t total = 0;
  for (const std::string& path : paths) {
    const absl::StatusOr<FileStamp> stamp = StampOf(path);
    if (!stamp.ok() || stamp->bytes < 0) return 0;
    total += stamp->bytes;
  }
  return total;
}

}  // namespace radlads
