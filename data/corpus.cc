#include "data/corpus.h"

#include <glob.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/status.h"

namespace radlads {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kBlockDocuments = 4096;
constexpr size_t kLongestDocument = size_t{1} << 30;

std::optional<CorpusFormat> FormatByName(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  if (extension == ".gz" || extension == ".xz" || extension == ".zst") {
    extension = fs::path(path).stem().extension().string();
  }
  for (const char* known : {".jsonl", ".json", ".ndjson"}) {
    if (extension == known) return CorpusFormat::kJsonLines;
  }
  for (const char* known : {".txt", ".text", ".md"}) {
    if (extension == known) return CorpusFormat::kText;
  }
  return std::nullopt;
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

std::string Excerpt(std::string_view line) {
  constexpr size_t kShown = 60;
  std::string shown(line.substr(0, kShown));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line.size() > kShown ? shown + "..." : shown;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ExpandInputs(const std::vector<std::string>& inputs) {
  std::vector<std::string> paths;
  for (const std::string& input : inputs) {
    if (input == "-") {
      paths.push_back(input);
    } else if (IsDirectory(input)) {
      std::vector<std::string> found;
      std::error_code error;
      for (fs::recursive_directory_iterator it(input, error), end; !error && it != end; it.increment(error)) {
        if (it->is_regular_file(error) && FormatByName(it->path().string())) found.push_back(it->path().string());
      }
      if (error) return absl::UnavailableError(Concatenate("cannot list ", input, ": ", error.message()));
      if (found.empty()) {
        return InvalidArgument(
            "there is no corpus file under ", input,
            "; expected names that end with .jsonl, .json, .ndjson, .txt, .text or .md (and .gz, .xz, .zst)");
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

uint64_t TotalSize(const std::vector<std::string>& paths) {
  uint64_t total = 0;
  for (const std::string& path : paths) {
    std::error_code error;
    if (path == "-" || !fs::is_regular_file(path, error)) return 0;
    total += fs::file_size(path, error);
  }
  return total;
}

absl::StatusOr<std::unique_ptr<CorpusReader>> CorpusReader::Create(std::vector<std::string> paths,
                                                                   const CorpusOptions& options) {
  if (options.format == CorpusFormat::kByName) {
    for (const std::string& path : paths) {
      if (FormatByName(path)) continue;
      return InvalidArgument("the name ", path == "-" ? "of standard input" : path,
                             " does not tell its format; say --format jsonl or --format text");
    }
  }
  return std::unique_ptr<CorpusReader>(new CorpusReader(std::move(paths), options));
}

absl::Status CorpusReader::OpenNext() {
  path_ = paths_[next_path_++];
  is_json_ =
      (options_.format == CorpusFormat::kByName ? *FormatByName(path_) : options_.format) == CorpusFormat::kJsonLines;
  RADLADS_ASSIGN_OR_RETURN(file_, CompressedFile::Open(path_));
  if (path_ == "-") path_ = "standard input";
  begin_ = end_ = 0;
  line_ = 0;
  reported_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<bool> CorpusReader::ReadLine(std::string* line) {
  line->clear();
  if (buffer_.empty()) buffer_.resize(1 << 18);
  bool any = false;
  while (true) {
    if (begin_ == end_) {
      RADLADS_ASSIGN_OR_RETURN(end_, file_->Read(buffer_.data(), buffer_.size()));
      begin_ = 0;
      if (end_ == 0) break;
    }
    any = true;
    const char* found = static_cast<const char*>(std::memchr(buffer_.data() + begin_, '\n', end_ - begin_));
    const size_t stop = found != nullptr ? found - buffer_.data() : end_;
    line->append(buffer_, begin_, stop - begin_);
    begin_ = found != nullptr ? stop + 1 : stop;
    if (line->size() >= kLongestDocument) {
      return InvalidArgument(path_, ":", line_ + 1, ": the line is longer than ", kLongestDocument,
                             " bytes; is this a text file with a document per line?");
    }
    if (found != nullptr) break;
  }
  if (!any) return false;
  if (++line_ == 1 && line->starts_with("\xef\xbb\xbf")) line->erase(0, 3);  // a byte order mark is not text
  if (!line->empty() && line->back() == '\r') line->pop_back();
  return true;
}

absl::StatusOr<bool> CorpusReader::ReadDocument(RawDocument* document) {
  const bool by_line = is_json_ || options_.documents == TextDocuments::kLines;
  document->text.clear();
  document->line = line_ + 1;
  std::string line;
  bool any = false;
  while (true) {
    RADLADS_ASSIGN_OR_RETURN(const bool more, ReadLine(by_line ? &document->text : &line));
    if (!more) return any;
    if (by_line) {
      document->line = line_;
      if (IsBlank(document->text)) continue;
      return true;
    }
    if (options_.documents == TextDocuments::kBlankLines && IsBlank(line)) {
      if (any) return true;
      continue;
    }
    if (!any) {
      document->line = line_;
    } else {
      document->text += '\n';
    }
    document->text += line;
    any = true;
    if (document->text.size() >= kLongestDocument) {
      return InvalidArgument(path_, ":", document->line, ": the document is longer than ", kLongestDocument,
                             " bytes; cut it (--documents lines or blank_lines)");
    }
  }
}

absl::StatusOr<bool> CorpusReader::Next(CorpusBlock* block) {
  if (file_ == nullptr) {
    if (next_path_ == paths_.size()) return false;
    RADLADS_RETURN_IF_ERROR(OpenNext());
  }
  block->path = path_;
  block->is_json = is_json_;
  block->documents.clear();
  size_t bytes = 0;
  bool more = true;
  while (bytes < kBlockBytes && block->documents.size() < kBlockDocuments) {
    RawDocument document;
    RADLADS_ASSIGN_OR_RETURN(more, ReadDocument(&document));
    if (!more) break;
    bytes += document.text.size();
    block->documents.push_back(std::move(document));
  }
  block->input_bytes = file_->bytes_consumed() - reported_;
  reported_ += block->input_bytes;
  if (!more) file_ = nullptr;
  return true;
}

absl::StatusOr<std::string> TextOfJsonLine(std::string_view line, const std::string& field) {
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(line.begin(), line.end());
  } catch (const nlohmann::json::exception& e) {
    return InvalidArgument("not JSON: ", e.what(), "; the line begins with: ", Excerpt(line));
  }
  if (!json.is_object()) {
    return InvalidArgument("expected a JSON object, found ", json.type_name(), ": ", Excerpt(line));
  }
  const auto found = json.find(field);
  if (found == json.end()) {
    std::string names;
    for (const auto& [name, value] : json.items()) names += (names.empty() ? "" : ", ") + name;
    return InvalidArgument("no field \"", field, "\" (the fields are: ", names,
                           "); name the right one with --text_field");
  }
  if (!found->is_string()) {
    return InvalidArgument("the field \"", field, "\" holds ", found->type_name(), ", expected a string");
  }
  return std::move(found->get_ref<std::string&>());
}

}  // namespace radlads
