#include "eval/needle/haystack.h"

#include <algorithm>
#include <optional>

#include "base/status.h"
#include "data/corpus.h"
#include "data/corpus_documents.h"

namespace radlads {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

// Whether `text` ends with the end of a sentence, in quotes or brackets perhaps.
bool EndsSentence(std::string_view text) {
  constexpr std::string_view kClosers[] = {"\"", "'", ")", "]", "_", "*", "”", "’", "»"};
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view closer : kClosers) {
      if (!text.ends_with(closer)) continue;
      text.remove_suffix(closer.size());
      again = true;
    }
  }
  return !text.empty() && std::string_view(".!?").find(text.back()) != std::string_view::npos;
}

}  // namespace

absl::StatusOr<Haystack> Haystack::Read(const std::string& path, const Tokenizer& tokenizer) {
  RADLADS_ASSIGN_OR_RETURN(const auto file, CorpusFile::Open(path, {}));
  Haystack haystack;
  Tokenizer::Encoder encoder = tokenizer.NewEncoder();
  CorpusDocuments documents("text");
  std::string text;
  for (size_t bytes = 0; bytes < kMaxBytes;) {
    RADLADS_ASSIGN_OR_RETURN(const auto block, file->Next());
    if (block == nullptr) break;
    documents.Start(block.get());
    CorpusDocuments::Document document;
    while (bytes < kMaxBytes) {
      RADLADS_ASSIGN_OR_RETURN(const bool more, documents.Next(&document));
      if (!more) break;
      text = document.text.substr(0, kMaxBytes - bytes);
      text.resize(text.find_last_not_of(kSpaces) + 1);  // npos + 1 is 0
      if (text.empty()) continue;
      text += "\n\n";
      haystack.Append(text, encoder, tokenizer);
      bytes += text.size();
    }
  }
  if (haystack.ids_.empty()) return InvalidArgument(path, ": there is no text in it; give another haystack");
  haystack.FindSentences();
  return haystack;
}

Haystack Haystack::FromText(std::string_view text, const Tokenizer& tokenizer) {
  Haystack haystack;
  Tokenizer::Encoder encoder = tokenizer.NewEncoder();
  haystack.Append(text, encoder, tokenizer);
  haystack.FindSentences();
  return haystack;
}

void Haystack::Append(std::string_view text, Tokenizer::Encoder& encoder, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  encoder.EncodeTo(text, &ids);
  std::string before;  // the text of the tokens so far
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string_view bytes = tokenizer.BytesOf(ids[i]).value_or(std::string_view());
    Break begins = i == 0 ? Break::kSentence : Break::kNone;
    if (i > 0 && !bytes.empty() && kSpaces.find(bytes[0]) != std::string_view::npos) {
      begins = EndsSentence(before) ? Break::kSentence : Break::kWord;
    }
    ids_.push_back(ids[i]);
    breaks_.push_back(begins);
    before += bytes;
  }
}

void Haystack::FindSentences() {
  RADLADS_CHECK(!ids_.empty()) << "a haystack without text";
  breaks_[0] = Break::kSentence;
  for (size_t i = 0; i < breaks_.size(); ++i) {
    if (breaks_[i] == Break::kSentence) sentences_.push_back(static_cast<int64_t>(i));
  }
}

std::vector<int64_t> Haystack::Cut(int64_t start, int64_t count) const {
  RADLADS_CHECK(start >= 0 && start < size() && count >= 0) << "start " << start << ", count " << count;
  std::vector<int64_t> cut;
  cut.reserve(count);
  for (int64_t at = start; static_cast<int64_t>(cut.size()) < count; at = 0) {
    const int64_t some = std::min(size() - at, count - static_cast<int64_t>(cut.size()));
    cut.insert(cut.end(), ids_.begin() + at, ids_.begin() + at + some);
  }
  return cut;
}

int64_t Haystack::PlaceBefore(int64_t start, int64_t offset) const {
  for (const Break wanted : {Break::kSentence, Break::kWord}) {
    for (int64_t place = offset; place >= std::max<int64_t>(0, offset - kReach); --place) {
      if (breaks_[(start + place) % size()] >= wanted) return place;
    }
  }
  return offset;
}

}  // namespace radlads
