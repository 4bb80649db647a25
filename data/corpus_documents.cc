#include "data/corpus_documents.h"

#include <simdjson.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/status.h"

namespace radlads {
namespace {

// A parser that has grown beyond this is replaced: one long line should not cost memory for ever.
constexpr size_t kKeptCapacity = 16 << 20;
constexpr size_t kShown = 60;      // bytes of a line in a message
constexpr int kMaxDepth = 2048;    // of lists and objects; twice what Python reads

static_assert(CorpusBlock::kPadding >= simdjson::SIMDJSON_PADDING);

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

// The last value of `key`, as Python's json has it where a key is repeated. False where it is not there, or no T.
template <typename T>
bool LastValue(const simdjson::dom::object& object, std::string_view key, T* value) {
  simdjson::dom::element last;
  bool found = false;
  for (const auto field : object) {
    if (field.key != key) continue;
    last = field.value;
    found = true;
  }
  return found && last.get(*value) == simdjson::SUCCESS;
}

// The same at a path of names with dots between them.
bool ValueAtPath(simdjson::dom::object object, std::string_view path, std::string_view* text) {
  for (size_t dot; (dot = path.find('.')) != std::string_view::npos; path.remove_prefix(dot + 1)) {
    if (!LastValue(object, path.substr(0, dot), &object)) return false;
  }
  return LastValue(object, path, text);
}

// "meta.body" -> "/meta/body"
std::string PointerOf(const std::string& path) {
  std::string pointer = "/";
  for (const char c : path) {
    if (c == '.') {
      pointer += '/';
    } else if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

}  // namespace

struct CorpusDocuments::JsonParser {
  simdjson::dom::parser fast;
};

CorpusDocuments::CorpusDocuments(std::string text_field)
    : text_field_(std::move(text_field)), pointer_(PointerOf(text_field_)), parser_(std::make_unique<JsonParser>()) {}
CorpusDocuments::~CorpusDocuments() = default;

void CorpusDocuments::Start(const CorpusBlock* block) {
  block_ = block;
  line_ = block->begin.line;
  // A byte order mark is not text.
  at_ = block->begin.offset == 0 && block->text().starts_with("\xef\xbb\xbf") ? 3 : 0;
}

bool CorpusDocuments::NextLine(std::string_view* line) {
  const std::string_view text = block_->text();
  if (at_ >= text.size()) return false;
  const void* found = std::memchr(text.data() + at_, '\n', text.size() - at_);
  const size_t end = found != nullptr ? static_cast<const char*>(found) - text.data() : text.size();
  *line = text.substr(at_, end - at_);
  if (line->ends_with('\r')) line->remove_suffix(1);
  at_ = end + 1;
  ++line_;
  return true;
}

// A file, or a run of lines that are not blank: its lines, joined again without carriage returns.
bool CorpusDocuments::NextText(Document* document) {
  const bool whole = block_->documents == TextDocuments::kFile;
  joined_.clear();
  bool any = false;
  std::string_view line;
  while (NextLine(&line)) {
    if (!whole && IsBlank(line)) {
      if (any) break;
      continue;
    }
    if (any) {
      joined_ += '\n';
    } else {
      document->line = line_;
    }
    joined_ += line;
    any = true;
  }
  document->text = joined_;
  return any;
}

absl::StatusOr<bool> CorpusDocuments::Next(Document* document) {
  const bool is_json = block_->format == CorpusFormat::kJsonLines;
  if (!is_json && block_->documents != TextDocuments::kLines) return NextText(document);
  std::string_view line;
  do {
    if (!NextLine(&line)) return false;
  } while (IsBlank(line));
  document->line = line_;
  document->text = line;
  if (!is_json) return true;
  absl::StatusOr<std::string_view> text = TextOfJsonLine(line);
  if (!text.ok()) return Annotate(text.status(), Concatenate(block_->path, ":", line_));
  document->text = *text;
  return true;
}

absl::StatusOr<std::string_view> CorpusDocuments::TextOfJsonLine(std::string_view line) {
  if (parser_->fast.capacity() > kKeptCapacity && line.size() <= kKeptCapacity) {
    parser_ = std::make_unique<JsonParser>();
  }
  simdjson::dom::object object;
  std::string_view text;
  // The block has the padding that the parser reads beyond the line.
  if (parser_->fast.parse(line.data(), line.size(), false).get(object) != simdjson::SUCCESS) {
    return TextOfUnusualLine(line);
  }
  if (LastValue(object, text_field_, &text) || ValueAtPath(object, text_field_, &text)) return text;
  return TextOfUnusualLine(line);
}

// A second opinion from a parser that says what is wrong, and that reads numbers as Python does.
absl::StatusOr<std::string_view> CorpusDocuments::TextOfUnusualLine(std::string_view line) {
  const absl::StatusOr<nlohmann::json> parsed = ParseJson(line, {.max_depth = kMaxDepth, .python_numbers = true});
  if (!parsed.ok()) {
    return InvalidArgument(parsed.status().message(), "; the line begins with ", Quoted(line, kShown));
  }
  const nlohmann::json& json = *parsed;
  if (!json.is_object()) {
    return InvalidArgument("expected a JSON object, found ", json.type_name(), ": ", Quoted(line, kShown));
  }
  const nlohmann::json::json_pointer pointer(pointer_);
  const nlohmann::json* found = json.contains(text_field_) ? &json.at(text_field_)
                                : json.contains(pointer)   ? &json.at(pointer)
                                                           : nullptr;
  if (found == nullptr) {
    std::string names;
    for (const auto& [name, value] : json.items()) names += (names.empty() ? "" : ", ") + Quoted(name);
    return InvalidArgument("no field \"", text_field_, "\" (the fields are: ", names,
                           "); name the right one with --text_field");
  }
  if (!found->is_string()) {
    return InvalidArgument("the field \"", text_field_, "\" holds ", found->type_name(), ", expected a string");
  }
  joined_ = found->get<std::string>();
  return joined_;
}

}  // namespace radlads
