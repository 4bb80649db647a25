#include "data/dataset_copy.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/crc32c.h"
#include "base/progress.h"
#include "base/status.h"

namespace radlads {
namespace {

using nlohmann::json;

// About so many tokens are copied between two looks at the clock.
constexpr int64_t kTokensPerStep = 1 << 20;

struct Place {
  size_t range = 0;
  int64_t document = 0;  // from the start of the range
};

// The last place among the cursors; other work on the same dataset has cursors of its own.
Place Restore(const TokenDatasetWriter& writer) {
  Place place;
  for (const std::string& text : writer.cursors()) {
    const json cursor = json::parse(text);
    if (cursor.contains("range")) place = {cursor["range"], cursor["document"]};
  }
  return place;
}

absl::Status Checkpoint(const Place& place, TokenDatasetWriter* writer) {
  if (!writer->has_job()) return absl::OkStatus();
  return writer->Checkpoint(json({{"range", place.range}, {"document", place.document}}).dump());
}

int64_t TokensOf(const DocumentRange& range, int64_t first, int64_t last) {
  return range.from->DocumentBegin(range.first + last) - range.from->DocumentBegin(range.first + first);
}

// Copies some documents from `document` on; where the next begins.
absl::StatusOr<int64_t> CopySome(const CopyOptions& options, const DocumentRange& range, int64_t document,
                                 TokenDatasetWriter* writer) {
  const TokenDataset& from = *range.from;
  const int64_t begin = from.DocumentBegin(range.first + document), count = range.last - range.first;
  const bool as_they_are = !options.filter && from.type() == writer->type();
  std::vector<int32_t> lengths, tokens;
  int64_t copied = 0;
  for (; document < count && copied < kTokensPerStep; ++document) {
    const int64_t length = TokensOf(range, document, document + 1);
    if (as_they_are) {
      if (length > std::numeric_limits<int32_t>::max()) {
        return InvalidArgument("document ", range.first + document, " of ", from.prefix(), " has ", length,
                               " tokens; the format holds documents of less than 2^31");
      }
      lengths.push_back(length);
    } else {
      tokens.resize(length);
      RADLADS_RETURN_IF_ERROR(from.Read(begin + copied, std::span<int32_t>(tokens)));
      if (!options.filter || options.filter(&tokens)) RADLADS_RETURN_IF_ERROR(writer->AddDocument(tokens));
    }
    copied += length;
  }
  if (as_they_are) RADLADS_RETURN_IF_ERROR(writer->AddDocuments(lengths, from.Stored(begin, copied)));
  return document;
}

}  // namespace

absl::Status CopyDocuments(const CopyOptions& options, TokenDatasetWriter* writer, std::stop_token stop) {
  int64_t total = 0, done = 0;
  Place place = Restore(*writer);
  for (size_t i = 0; i < options.ranges.size(); ++i) {
    const DocumentRange& range = options.ranges[i];
    const int64_t documents = range.last - range.first;
    total += TokensOf(range, 0, documents);
    if (i <= place.range) done += TokensOf(range, 0, i < place.range ? documents : place.document);
    // Larger ids would be read as -1.
    const bool read = options.filter || range.from->type() != writer->type();
    if (read && range.from->type() == TokenType::kInt64) {
      RADLADS_RETURN_IF_ERROR(range.from->CheckVocabulary(std::numeric_limits<int32_t>::max()));
    }
  }
  std::optional<Progress> progress;
  if (options.show_progress) {
    progress.emplace("copying", total, "tokens");
    progress->SkipTo(done);
  }
  const bool already_done = place.range == options.ranges.size();
  for (; place.range < options.ranges.size(); ++place.range, place.document = 0) {
    const DocumentRange& range = options.ranges[place.range];
    while (place.document < range.last - range.first) {
      const int64_t before = place.document;
      RADLADS_ASSIGN_OR_RETURN(place.document, CopySome(options, range, before, writer));
      const bool stopped = stop.stop_requested();
      if (stopped || writer->PointIsDue()) RADLADS_RETURN_IF_ERROR(Checkpoint(place, writer));
      if (stopped) return absl::CancelledError(Concatenate("stopped after ", writer->documents(), " documents"));
      if (progress) progress->Advance(TokensOf(range, before, place.document));
    }
  }
  return already_done ? absl::OkStatus() : Checkpoint(place, writer);
}

double DocumentFraction(std::span<const int32_t> tokens) {
  const std::string_view bytes(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return Crc32c(bytes) / 4294967296.0;
}

}  // namespace radlads
