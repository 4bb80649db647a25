#include "data/dataset_report.h"

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>

#include "base/html.h"
#include "base/progress.h"
#include "base/status.h"

namespace radlads {
namespace {

// The longest lists of sources are cut; the rest is summed up.
constexpr size_t kSourcesShown = 50;

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --bar: #3b6ea8; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
td.bar { width: 40%; text-align: left; } td.bar div { background: var(--bar); height: .8rem; min-width: 1px; }
@media (prefers-color-scheme: dark) { :root { --bar: #7aa7d8; } })";

std::string Format(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

// 1234567 -> "1 234 567", with thin enough gaps to be read.
std::string Grouped(int64_t value) {
  std::string text = std::to_string(value);
  for (int64_t i = static_cast<int64_t>(text.size()) - 3; i > (value < 0 ? 1 : 0); i -= 3) text.insert(i, " ");
  return text;
}

std::string CountOr(int64_t value) {
  return value < 0 ? "not known" : Grouped(value);
}

double Share(int64_t part, int64_t whole) {
  return whole > 0 ? 100.0 * part / whole : 0;
}

std::string RangeOf(const DocumentStatistics::Bucket& bucket) {
  if (bucket.low <= 1) return std::to_string(bucket.low);
  return Concatenate(bucket.low, " to ", 2 * bucket.low - 1);
}

// The sources with the most tokens, and one line for the others.
std::vector<DatasetSource> SourcesToShow(const DatasetInfo& info) {
  std::vector<DatasetSource> sources = info.sources;
  std::stable_sort(sources.begin(), sources.end(),
                   [](const DatasetSource& a, const DatasetSource& b) { return a.tokens > b.tokens; });
  if (sources.size() <= kSourcesShown) return sources;
  DatasetSource others{Concatenate(sources.size() - kSourcesShown, " others"), 0, 0, 0};
  for (size_t i = kSourcesShown; i < sources.size(); ++i) {
    others.documents += std::max<int64_t>(0, sources[i].documents);
    others.tokens += std::max<int64_t>(0, sources[i].tokens);
    others.text_bytes += std::max<int64_t>(0, sources[i].text_bytes);
  }
  sources.resize(kSourcesShown);
  sources.push_back(std::move(others));
  return sources;
}

std::string BytesPerToken(const DatasetSource& source) {
  if (source.tokens <= 0 || source.text_bytes < 0) return "not known";
  return Format("%.2f", static_cast<double>(source.text_bytes) / source.tokens);
}

std::string Bar(double share, double largest) {
  return Format("<td class=\"bar\"><div style=\"width:%.1f%%\"></div></td>", largest > 0 ? 100 * share / largest : 0);
}

}  // namespace

DocumentStatistics DocumentLengths(const TokenDataset& dataset) {
  DocumentStatistics statistics;
  const int64_t documents = dataset.documents();
  if (documents == 0) return statistics;
  std::vector<int64_t> lengths(documents);
  DocumentStatistics::Bucket buckets[65];
  for (int64_t d = 0; d < documents; ++d) {
    lengths[d] = dataset.DocumentBegin(d + 1) - dataset.DocumentBegin(d);
    DocumentStatistics::Bucket& bucket = buckets[std::bit_width(static_cast<uint64_t>(lengths[d]))];
    ++bucket.documents;
    bucket.tokens += lengths[d];
  }
  std::sort(lengths.begin(), lengths.end());
  statistics.shortest = lengths.front();
  statistics.longest = lengths.back();
  statistics.mean = static_cast<double>(dataset.tokens()) / documents;
  statistics.median = lengths[documents / 2];
  int64_t tokens = 0;
  for (const int64_t length : lengths) {
    tokens += length;
    statistics.token_median = length;
    if (2 * tokens >= dataset.tokens()) break;
  }
  for (int width = std::bit_width(static_cast<uint64_t>(statistics.shortest));
       width <= std::bit_width(static_cast<uint64_t>(statistics.longest)); ++width) {
    buckets[width].low = width == 0 ? 0 : int64_t{1} << (width - 1);
    statistics.buckets.push_back(buckets[width]);
  }
  return statistics;
}

DatasetReport ReportOn(const TokenDataset& dataset, std::optional<DatasetInfo> info) {
  return {dataset.prefix(),    TokenTypeName(dataset.type()), dataset.tokens(),
          dataset.documents(), DocumentLengths(dataset),      std::move(info)};
}

std::string DatasetReport::ToText() const {
  std::string text = Concatenate(prefix, ": ", Grouped(tokens), " tokens in ", Grouped(documents), " documents, ",
                                 dtype, "\nlength of documents: ", lengths.shortest, " to ", lengths.longest, ", ",
                                 Format("%.1f", lengths.mean), " on average, median ", lengths.median,
                                 "; half of the tokens stand in documents of up to ", lengths.token_median, "\n\n");
  text += Format("%24s %14s %8s %16s %8s\n", "tokens per document", "documents", "", "tokens", "");
  for (const DocumentStatistics::Bucket& bucket : lengths.buckets) {
    text += Format("%24s %14s %7.1f%% %16s %7.1f%%\n", RangeOf(bucket).c_str(), Grouped(bucket.documents).c_str(),
                   Share(bucket.documents, documents), Grouped(bucket.tokens).c_str(), Share(bucket.tokens, tokens));
  }
  if (!info || info->sources.empty()) return text;
  text += Format("\n%16s %14s %16s  %s\n", "tokens", "documents", "bytes/token", "source");
  for (const DatasetSource& source : SourcesToShow(*info)) {
    text += Format("%16s %14s %16s  ", CountOr(source.tokens).c_str(), CountOr(source.documents).c_str(),
                   BytesPerToken(source).c_str()) +
            source.name + "\n";
  }
  return text;
}

std::string DatasetReport::ToHtml() const {
  const std::string name = EscapeHtml(prefix);
  std::string html = Concatenate(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>",
      name, "</title><style>", kStyle, "</style></head><body>\n<h1>", name, "</h1>\n<p>", Grouped(tokens),
      " tokens in ", Grouped(documents), " documents, ", dtype, ".");
  if (info) {
    html += Concatenate(" Tokenizer ", EscapeHtml(info->tokenizer), " (", Grouped(info->vocabulary_size), " ids, hash ",
                        EscapeHtml(info->tokenizer_hash), "), made ", EscapeHtml(info->created), ".");
  }
  html += Concatenate("</p>\n<h2>Length of documents</h2>\n<p>From ", Grouped(lengths.shortest), " to ",
                      Grouped(lengths.longest), " tokens, ", Format("%.1f", lengths.mean), " on average, median ",
                      Grouped(lengths.median), ". Half of the tokens stand in documents of up to ",
                      Grouped(lengths.token_median), ".</p>\n<table><thead><tr><th>tokens per document</th>",
                      "<th>documents</th><th>tokens</th><th>share of tokens</th><th></th></tr></thead><tbody>\n");
  double largest = 0;
  for (const auto& bucket : lengths.buckets) largest = std::max(largest, Share(bucket.tokens, tokens));
  for (const auto& bucket : lengths.buckets) {
    const double share = Share(bucket.tokens, tokens);
    html += Concatenate("<tr><td>", RangeOf(bucket), "</td><td>", Grouped(bucket.documents), "</td><td>",
                        Grouped(bucket.tokens), "</td><td>", Format("%.1f%%", share), "</td>", Bar(share, largest),
                        "</tr>\n");
  }
  html += "</tbody></table>\n";
  if (info && !info->sources.empty()) {
    const std::vector<DatasetSource> sources = SourcesToShow(*info);
    largest = 0;
    for (const DatasetSource& source : sources) largest = std::max(largest, Share(source.tokens, tokens));
    html +=
        "<h2>Sources</h2>\n<table><thead><tr><th>source</th><th>documents</th><th>tokens</th>"
        "<th>bytes per token</th><th></th></tr></thead><tbody>\n";
    for (const DatasetSource& source : sources) {
      html += Concatenate("<tr><td>", EscapeHtml(source.name), "</td><td>", CountOr(source.documents), "</td><td>",
                          CountOr(source.tokens), "</td><td>", BytesPerToken(source), "</td>",
                          Bar(Share(std::max<int64_t>(0, source.tokens), tokens), largest), "</tr>\n");
    }
    html += "</tbody></table>\n";
  }
  return html + "</body></html>\n";
}

}  // namespace radlads
