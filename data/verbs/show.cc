// info, primes, sample and stat: what a dataset holds.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "base/file.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/dataset_report.h"
#include "data/sampler.h"
#include "data/verbs/make_dataset.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

constexpr int64_t kSourcesShown = 20;

absl::Status Primes(const std::string& prefix, const std::vector<int64_t>& contexts) {
  RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(prefix));
  const int64_t tokens = dataset->tokens();
  std::printf("%s: %lld tokens\n%10s %14s %14s %18s\n", prefix.c_str(), static_cast<long long>(tokens), "ctx",
              "magic prime", "mini-batches", "tokens visited");
  absl::Status status;
  for (const int64_t ctx : contexts) {
    const absl::StatusOr<int64_t> prime = MagicPrime(tokens, ctx);
    if (!prime.ok()) {
      status.Update(prime.status());
      std::printf("%10lld %14s\n", static_cast<long long>(ctx), "none");
      continue;
    }
    std::printf("%10lld %14lld %14.2f %17.2f%%\n", static_cast<long long>(ctx), static_cast<long long>(*prime),
                static_cast<double>(*prime) / kSamplesPerMiniBatch, 100.0 * *prime * ctx / tokens);
  }
  return status;
}

absl::Status Info(const std::string& prefix, bool as_json) {
  RADLADS_ASSIGN_OR_RETURN(const auto opened, OpenDescribed(prefix));
  const TokenDataset& dataset = *opened.tokens;
  const DocumentStatistics lengths = DocumentLengths(dataset);
  if (as_json) {
    nlohmann::ordered_json json;
    json["prefix"] = prefix;
    json["tokens"] = dataset.tokens();
    json["documents"] = dataset.documents();
    json["dtype"] = TokenTypeName(dataset.type());
    json["shortest_document"] = lengths.shortest;
    json["longest_document"] = lengths.longest;
    json["mean_document"] = lengths.mean;
    if (opened.info) json["description"] = nlohmann::ordered_json::parse(opened.info->ToJson());
    std::printf("%s\n", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return absl::OkStatus();
  }
  std::printf("%s\n  tokens     %lld (%s, %s)\n  documents  %lld of %lld to %lld tokens, %.1f on average\n",
              prefix.c_str(), static_cast<long long>(dataset.tokens()), TokenTypeName(dataset.type()),
              HumanCount(dataset.tokens() * TokenBytes(dataset.type()), "B").c_str(),
              static_cast<long long>(dataset.documents()), static_cast<long long>(lengths.shortest),
              static_cast<long long>(lengths.longest), lengths.mean);
  if (!opened.info) {
    std::printf("  no %s: tokenizer and sources are not known\n", DatasetInfoPath(prefix).c_str());
    return absl::OkStatus();
  }
  const DatasetInfo& info = *opened.info;
  std::printf("  tokenizer  %s, %lld ids, hash %s\n  end mark   %s\n  created    %s\n", info.tokenizer.c_str(),
              static_cast<long long>(info.vocabulary_size), info.tokenizer_hash.c_str(),
              info.eos_id ? std::to_string(*info.eos_id).c_str() : "none", info.created.c_str());
  const int64_t sources = info.sources.size();
  for (int64_t i = 0; i < std::min(sources, kSourcesShown); ++i) {
    std::printf("  source     %s\n", info.sources[i].name.c_str());
  }
  if (sources > kSourcesShown) {
    std::printf("  and %lld more sources (stat counts them)\n", static_cast<long long>(sources - kSourcesShown));
  }
  return absl::OkStatus();
}

struct SampleFlags {
  std::string prefix, tokenizer;
  int64_t ctx = 128, count = 3;
  uint64_t seed = 0;
};

absl::Status Sample(const SampleFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const auto opened, OpenDescribed(flags.prefix));
  const TokenDataset& dataset = *opened.tokens;
  RADLADS_ASSIGN_OR_RETURN(const auto tokenizer, TokenizerFor(flags.tokenizer, flags.prefix, opened.info));
  if (dataset.tokens() < flags.ctx) {
    return InvalidArgument(flags.prefix, " has ", dataset.tokens(), " tokens, fewer than --ctx ", flags.ctx);
  }
  RADLADS_RETURN_IF_ERROR(dataset.CheckVocabulary(tokenizer->vocab_size()));
  std::mt19937_64 random(flags.seed);
  std::vector<int32_t> ids(flags.ctx);
  for (int64_t i = 0; i < flags.count; ++i) {
    const int64_t first = random() % (dataset.tokens() - flags.ctx + 1);
    RADLADS_RETURN_IF_ERROR(dataset.Read(first, std::span<int32_t>(ids)));
    RADLADS_ASSIGN_OR_RETURN(const std::string text, tokenizer->Decode(ids, false));
    std::printf("--- tokens %lld to %lld, documents %lld to %lld\n%s\n", static_cast<long long>(first),
                static_cast<long long>(first + flags.ctx), static_cast<long long>(dataset.DocumentOf(first)),
                static_cast<long long>(dataset.DocumentOf(first + flags.ctx - 1)), text.c_str());
  }
  return absl::OkStatus();
}

absl::Status Stat(const std::string& prefix, const std::string& html) {
  RADLADS_ASSIGN_OR_RETURN(const auto opened, OpenDescribed(prefix));
  const DatasetReport report = ReportOn(*opened.tokens, opened.info);
  std::fputs(report.ToText().c_str(), stdout);
  return html.empty() ? absl::OkStatus() : WriteFileAtomically(html, report.ToHtml());
}

}  // namespace

void AddPrimes(CLI::App& app, Run* run) {
  auto prefix = std::make_shared<std::string>();
  auto contexts = std::make_shared<std::vector<int64_t>>(std::vector<int64_t>{512, 1024, 2048, 4096, 8192, 16384});
  CLI::App* verb = app.add_subcommand("primes", "The magic prime of a dataset for each context length.");
  verb->add_option("prefix", *prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  CLI::Option* ctx = verb->add_option("--ctx", *contexts, "Context lengths; exit 1 when one is too long for the data.")
                         ->check(AtLeast(1));
  verb->callback([=] {
    *run = [=](std::stop_token) {
      const absl::Status status = Primes(*prefix, *contexts);
      // Of the default list, the lengths that do not fit are only shown.
      return ctx->count() == 0 && absl::IsInvalidArgument(status) ? absl::OkStatus() : status;
    };
  });
}

void AddInfo(CLI::App& app, Run* run) {
  auto prefix = std::make_shared<std::string>();
  auto as_json = std::make_shared<bool>(false);
  CLI::App* verb = app.add_subcommand("info", "What a dataset holds and how it was made.");
  verb->add_option("prefix", *prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  verb->add_flag("--json", *as_json, "As JSON on standard output.");
  verb->callback([=] { *run = [=](std::stop_token) { return Info(*prefix, *as_json); }; });
}

void AddSample(CLI::App& app, Run* run) {
  auto flags = std::make_shared<SampleFlags>();
  CLI::App* verb = app.add_subcommand("sample", "Decode random windows of a dataset.");
  verb->add_option("prefix", flags->prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  verb->add_option("--tokenizer", flags->tokenizer, "Default: the one that the dataset was made with.");
  verb->add_option("--ctx", flags->ctx, "Tokens in a window.")->check(AtLeast(1))->capture_default_str();
  verb->add_option("--count", flags->count, "Windows.")->check(AtLeast(1))->capture_default_str();
  verb->add_option("--seed", flags->seed, "Which windows.")->capture_default_str();
  verb->callback([=] { *run = [=](std::stop_token) { return Sample(*flags); }; });
}

void AddStat(CLI::App& app, Run* run) {
  auto prefix = std::make_shared<std::string>(), html = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("stat", "Lengths of the documents, and tokens per source.");
  verb->add_option("prefix", *prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  verb->add_option("--html", *html, "Write a page with the same, which loads nothing from elsewhere.");
  verb->callback([=] { *run = [=](std::stop_token) { return Stat(*prefix, *html); }; });
}

}  // namespace radlads
