#include "eval/perplexity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "absl/strings/str_format.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/corpus.h"
#include "data/corpus_documents.h"
#include "data/dataset_info.h"
#include "data/tokenizer/tokenizer.h"
#include "eval/page.h"
#include "model/pretrained.h"

namespace radlads {
namespace {

// Documents from the front of a text file, until `enough` ids are there.
absl::StatusOr<std::vector<int64_t>> ReadText(const std::string& path, const Tokenizer& tokenizer, int64_t enough) {
  RADLADS_ASSIGN_OR_RETURN(const auto file, CorpusFile::Open(path, {}));
  Tokenizer::Encoder encoder = tokenizer.NewEncoder();
  std::vector<int64_t> ids;
  std::vector<int32_t> document_ids;
  CorpusDocuments documents("text");
  while (static_cast<int64_t>(ids.size()) < enough) {
    RADLADS_ASSIGN_OR_RETURN(const auto block, file->Next());
    if (block == nullptr) break;
    documents.Start(block.get());
    CorpusDocuments::Document document;
    while (true) {
      RADLADS_ASSIGN_OR_RETURN(const bool more, documents.Next(&document));
      if (!more) break;
      document_ids.clear();
      encoder.EncodeTo(document.text, &document_ids);
      ids.insert(ids.end(), document_ids.begin(), document_ids.end());
      if (tokenizer.eos_id() && !document_ids.empty()) ids.push_back(*tokenizer.eos_id());
    }
  }
  return ids;
}

// Tokens that hold at least `tokens` scored ones in windows of ctx + 1.
int64_t TokensNeeded(int64_t ctx, int64_t tokens) {
  if (tokens <= 0) return std::numeric_limits<int64_t>::max();
  return (tokens + ctx - 1) / ctx * (ctx + 1);
}

// The tokenizer beside the model; null when there is none.
absl::StatusOr<std::shared_ptr<const Tokenizer>> TokenizerOf(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const std::string directory, ResolveModelDirectory(path));
  if (!FileExists(JoinPath(directory, "tokenizer.json"))) return nullptr;
  return Tokenizer::Load(directory);
}

absl::StatusOr<at::Tensor> ReadWindows(const PerplexityOptions& options) {
  std::shared_ptr<const Tokenizer> first;
  for (const NamedModel& model : options.models) {
    RADLADS_ASSIGN_OR_RETURN(const auto tokenizer, TokenizerOf(model.path));
    if (tokenizer == nullptr) continue;
    if (first == nullptr) first = tokenizer;
    if (tokenizer->Hash() != first->Hash()) {
      return InvalidArgument(model.path, " has another tokenizer than ", options.models[0].path,
                             "; perplexities per token can only be compared between models that cut text alike");
    }
  }
  std::vector<int64_t> ids;
  if (!options.text.empty()) {
    if (first == nullptr)
      return NotFound("no tokenizer.json beside ", options.models[0].path, "; give tokenised text with --data");
    RADLADS_ASSIGN_OR_RETURN(ids, ReadText(options.text, *first, TokensNeeded(options.ctx, options.tokens)));
  } else {
    if (first != nullptr) RADLADS_RETURN_IF_ERROR(CheckTokenizer(options.data, options.models[0].path, first->Hash()));
    RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(options.data));
    ids.resize(std::min(dataset->tokens(), TokensNeeded(options.ctx, options.tokens)));
    RADLADS_RETURN_IF_ERROR(dataset->Read(0, std::span<int64_t>(ids)));
  }
  auto windows = CutWindows(ids, options.ctx, options.tokens);
  if (!windows.ok()) return Annotate(windows.status(), options.text.empty() ? options.data : options.text);
  return windows;
}

}  // namespace

absl::StatusOr<at::Tensor> CutWindows(const std::vector<int64_t>& ids, int64_t ctx, int64_t tokens) {
  if (ctx < 1) return InvalidArgument("the context must be at least one token, found ", ctx);
  int64_t count = static_cast<int64_t>(ids.size()) / (ctx + 1);
  if (tokens > 0) count = std::min(count, (tokens + ctx - 1) / ctx);
  if (count == 0) {
    return InvalidArgument("there are ", ids.size(), " tokens, a window of context ", ctx, " needs ", ctx + 1,
                           "; use a shorter context (--ctx) or more text");
  }
  return at::tensor(at::ArrayRef<int64_t>(ids.data(), count * (ctx + 1)), at::kLong).view({count, ctx + 1});
}

absl::StatusOr<PerplexityReport> MeasurePerplexity(const PerplexityOptions& options) {
  if (options.models.empty()) return InvalidArgument("no model to score");
  if (options.data.empty() == options.text.empty())
    return InvalidArgument("give either a token dataset (data) or a text file (text)");
  RADLADS_ASSIGN_OR_RETURN(const at::Tensor windows, ReadWindows(options));

  PerplexityReport report;
  report.data = options.text.empty() ? options.data : options.text;
  report.ctx = options.ctx;
  for (const NamedModel& named : options.models) {
    RADLADS_ASSIGN_OR_RETURN(const auto model, LoadForInference(named.path, options.dtype));
    Progress progress(named.name, windows.size(0) * options.ctx, "tokens");
    int64_t before = 0;
    const auto start = std::chrono::steady_clock::now();
    auto score = ScoreWindows(*model, windows, options.batch, [&](const Score& so_far) {
      progress.Advance(so_far.tokens - before, "perplexity " + absl::StrFormat("%.3f", so_far.Perplexity()));
      before = so_far.tokens;
    });
    if (!score.ok()) return Annotate(score.status(), named.path);
    PerplexityRow row{named, *score};
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!report.rows.empty()) row.ratio = std::exp(score->Mean() - report.rows[0].score.Mean());
    report.rows.push_back(row);
  }
  return report;
}

std::string PerplexityReport::Table() const {
  size_t width = 5;
  for (const PerplexityRow& row : rows) width = std::max(width, row.model.name.size());
  const auto pad = [width](std::string text) { return text + std::string(width - text.size(), ' '); };
  std::string table = pad("model") + "   nats/token   perplexity    ratio     tokens   tokens/s\n";
  for (const PerplexityRow& row : rows) {
    table += pad(row.model.name) + absl::StrFormat("   %10.4f", row.score.Mean()) +
             absl::StrFormat("   %10.4g", row.score.Perplexity()) + absl::StrFormat("   %6.3f", row.ratio) +
             absl::StrFormat("   %8.0f", row.score.tokens) +
             absl::StrFormat("   %8.0f\n", row.score.tokens / row.seconds);
  }
  return table;
}

std::string PerplexityReport::Json() const {
  nlohmann::ordered_json json = {{"data", data}, {"ctx", ctx}, {"models", nlohmann::ordered_json::array()}};
  for (const PerplexityRow& row : rows) {
    json["models"].push_back({{"name", row.model.name},
                              {"path", row.model.path},
                              {"tokens", row.score.tokens},
                              {"nll", row.score.Mean()},
                              {"perplexity", row.score.Perplexity()},
                              {"ratio", row.ratio},
                              {"tokens_per_second", row.score.tokens / row.seconds}});
  }
  return json.dump(2) + "\n";
}

std::string PerplexityReport::Html() const {
  std::string html = PageHead("Perplexity on " + ModelName(data));
  BarChart chart{.title = "Perplexity", .unit = "lower is better", .most = 0, .bars = {}};
  PageTable table{.caption = "Windows of " + std::to_string(ctx) + " tokens of " + data +
                             ". The ratio is that to the first model's perplexity.",
                  .head = {"model", "nats/token", "perplexity", "ratio", "tokens", "tokens/s"},
                  .rows = {},
                  .heat = {}};
  for (size_t i = 0; i < rows.size(); ++i) {
    const PerplexityRow& row = rows[i];
    const double perplexity = row.score.Perplexity();
    std::string number = absl::StrFormat("%.4g", perplexity);
    if (i > 0) number += absl::StrFormat(" · %.3f×", row.ratio);
    chart.most = std::max(chart.most, perplexity);
    chart.bars.push_back({.label = row.model.name, .number = number, .value = perplexity, .model = i});
    table.rows.push_back({row.model.name, absl::StrFormat("%.4f", row.score.Mean()),
                          absl::StrFormat("%.4g", perplexity), absl::StrFormat("%.3f", row.ratio),
                          absl::StrFormat("%.0f", row.score.tokens),
                          absl::StrFormat("%.0f", row.score.tokens / row.seconds)});
  }
  return html + RenderBars(chart) + RenderTable(table) + kPageEnd;
}

}  // namespace radlads
