// Makes token datasets from text, and looks at them.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/corpus.h"
#include "data/dataset_builder.h"
#include "data/dataset_check.h"
#include "data/dataset_info.h"
#include "data/sampler.h"
#include "data/tokenizer/tokenizer.h"

namespace radlads {
namespace {

struct BuildFlags {
  std::string tokenizer, output, text_field = "text";
  std::vector<std::string> inputs;
  CorpusFormat format = CorpusFormat::kByName;
  TextDocuments documents = TextDocuments::kFile;
  bool no_eos = false, skip_bad_lines = false;
  int64_t eos = -1, limit_tokens = 0;
  int threads = 0;
};

absl::Status Build(const BuildFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::Load(flags.tokenizer));
  BuildOptions options;
  RADLADS_ASSIGN_OR_RETURN(options.paths, ExpandInputs(flags.inputs));
  options.corpus = {flags.format, flags.documents};
  options.text_field = flags.text_field;
  options.limit_tokens = flags.limit_tokens;
  options.skip_bad_lines = flags.skip_bad_lines;
  options.show_progress = true;
  SetThreads(flags.threads);
  options.threads = Threads();

  DatasetInfo info;
  info.tokenizer = flags.tokenizer;
  info.tokenizer_hash = tokenizer->Hash();
  info.vocabulary_size = tokenizer->vocab_size();
  if (flags.eos >= 0) {
    if (flags.eos >= info.vocabulary_size) {
      return InvalidArgument("--eos ", flags.eos, " is outside of the vocabulary of ", info.vocabulary_size, " ids");
    }
    info.eos_id = flags.eos;
  } else if (!flags.no_eos) {
    if (!tokenizer->eos_id()) {
      return InvalidArgument(
          "the tokenizer ", flags.tokenizer,
          " names no end-of-text token; give one with --eos ID, or leave documents unmarked with --no_eos");
    }
    info.eos_id = *tokenizer->eos_id();
  }
  if (info.eos_id) options.eos_id = static_cast<int32_t>(*info.eos_id);

  const TokenType type = TokenTypeForVocabulary(info.vocabulary_size);
  RADLADS_ASSIGN_OR_RETURN(auto writer, TokenDatasetWriter::Create(flags.output, type));
  auto new_encoder = [&]() -> EncodeFunction {
    return [encoder = std::make_shared<Tokenizer::Encoder>(tokenizer->NewEncoder())](
               std::string_view text, std::vector<int32_t>* ids) { encoder->EncodeTo(text, ids); };
  };
  RADLADS_ASSIGN_OR_RETURN(const BuildResult result, BuildDataset(options, new_encoder, writer.get()));

  if (result.bad_lines > 0) {
    Log().warn("{} lines were left out (--skip_bad_lines); the first of them:", result.bad_lines);
    for (const std::string& line : result.first_bad_lines) Log().warn("  {}", line);
  }
  if (result.empty_documents > 0) Log().warn("{} documents without text were left out", result.empty_documents);
  if (writer->tokens() == 0) return InvalidArgument("the input holds no text; nothing was written");
  if (result.reached_limit) Log().info("stopped at --limit_tokens {}", flags.limit_tokens);

  info.sources = options.paths;
  info.tokens = writer->tokens();
  info.documents = writer->documents();
  info.created = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  RADLADS_RETURN_IF_ERROR(writer->Commit(info.ToJson()));
  std::printf(
      "%s.bin, .idx, .json: %lld tokens in %lld documents (%s), %s of text, in %s with %d threads: %s/s of text, %s "
      "tokens/s\n",
      flags.output.c_str(), static_cast<long long>(info.tokens), static_cast<long long>(info.documents),
      TokenTypeName(type), HumanCount(result.text_bytes, "B").c_str(), HumanDuration(result.seconds).c_str(),
      options.threads, HumanCount(result.text_bytes / result.seconds, "B").c_str(),
      HumanCount(info.tokens / result.seconds).c_str());
  return absl::OkStatus();
}

struct CheckFlags {
  std::string prefix, tokenizer;
  int64_t vocabulary_size = 0, eos = -1;
};

absl::Status Check(const CheckFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(flags.prefix));
  DatasetExpectations expected;
  std::vector<std::string> problems;
  if (const auto info = ReadDatasetInfo(flags.prefix); info.ok() && *info) {
    expected.vocabulary_size = (*info)->vocabulary_size;
    expected.eos_id = (*info)->eos_id;
  }
  if (!flags.tokenizer.empty()) {
    RADLADS_ASSIGN_OR_RETURN(const std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::Load(flags.tokenizer));
    expected.vocabulary_size = tokenizer->vocab_size();
    if (tokenizer->eos_id() && !expected.eos_id) expected.eos_id = *tokenizer->eos_id();
    absl::Status status = CheckTokenizer(flags.prefix, flags.tokenizer, tokenizer->Hash());
    if (absl::IsFailedPrecondition(status)) problems.emplace_back(status.message());
  }
  if (flags.vocabulary_size > 0) expected.vocabulary_size = flags.vocabulary_size;
  if (flags.eos >= 0) expected.eos_id = flags.eos;
  const std::vector<std::string> found = FindProblems(*dataset, expected);
  problems.insert(problems.end(), found.begin(), found.end());

  auto described = [](const std::optional<int64_t>& value, const char* option) {
    return value ? std::to_string(*value) : Concatenate("not checked (", option, " says what it is)");
  };
  std::printf("%s: %lld tokens in %lld documents, %s\n", flags.prefix.c_str(),
              static_cast<long long>(dataset->tokens()), static_cast<long long>(dataset->documents()),
              TokenTypeName(dataset->type()));
  std::printf("vocabulary size: %s\nend-of-text token: %s\n",
              described(expected.vocabulary_size, "--vocab_size or --tokenizer").c_str(),
              described(expected.eos_id, "--eos or --tokenizer").c_str());
  for (const std::string& problem : problems) std::printf("problem: %s\n", problem.c_str());
  if (!problems.empty())
    return DataLoss(flags.prefix, " has ", problems.size(), " problem", problems.size() == 1 ? "" : "s");
  std::printf("no problem found\n");
  return absl::OkStatus();
}

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
  RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(prefix));
  RADLADS_ASSIGN_OR_RETURN(const std::optional<DatasetInfo> info, ReadDatasetInfo(prefix));
  const DocumentStatistics lengths = DocumentLengths(*dataset);
  if (as_json) {
    nlohmann::ordered_json json;
    json["prefix"] = prefix;
    json["tokens"] = dataset->tokens();
    json["documents"] = dataset->documents();
    json["dtype"] = TokenTypeName(dataset->type());
    json["shortest_document"] = lengths.shortest;
    json["longest_document"] = lengths.longest;
    json["mean_document"] = lengths.mean;
    if (info) json["description"] = nlohmann::ordered_json::parse(info->ToJson());
    std::printf("%s\n", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return absl::OkStatus();
  }
  std::printf("%s\n  tokens     %lld (%s, %s)\n  documents  %lld of %lld to %lld tokens, %.1f on average\n",
              prefix.c_str(), static_cast<long long>(dataset->tokens()), TokenTypeName(dataset->type()),
              HumanCount(dataset->tokens() * TokenBytes(dataset->type()), "B").c_str(),
              static_cast<long long>(dataset->documents()), static_cast<long long>(lengths.shortest),
              static_cast<long long>(lengths.longest), lengths.mean);
  if (!info) {
    std::printf("  no %s: tokenizer and sources are not known\n", DatasetInfoPath(prefix).c_str());
    return absl::OkStatus();
  }
  std::printf("  tokenizer  %s, %lld ids, hash %s\n  end mark   %s\n  created    %s\n", info->tokenizer.c_str(),
              static_cast<long long>(info->vocabulary_size), info->tokenizer_hash.c_str(),
              info->eos_id ? std::to_string(*info->eos_id).c_str() : "none", info->created.c_str());
  for (const std::string& source : info->sources) std::printf("  source     %s\n", source.c_str());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app{
      "Makes token datasets (PREFIX.bin and PREFIX.idx, Megatron's MMIDIDX format) from text, and looks at them."};
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  absl::Status status;

  BuildFlags build;
  std::string format = "auto", documents = "file";
  CLI::App* build_verb = app.add_subcommand("build", "Tokenise text into a dataset.");
  build_verb
      ->add_option(
          "inputs", build.inputs,
          "Files, directories, patterns, or - for standard input. JSON lines or plain text; gzip, xz and zstd are "
          "recognised.")
      ->required();
  build_verb->add_option("--tokenizer", build.tokenizer, "Directory with tokenizer.json, or the file itself.")
      ->required();
  build_verb->add_option("--output", build.output, "PREFIX of the files to write; an older dataset there is replaced.")
      ->required();
  build_verb->add_option("--format", format, "auto (by name), jsonl or text.")
      ->check(CLI::IsMember({"auto", "jsonl", "text"}))
      ->capture_default_str();
  build_verb->add_option("--text_field", build.text_field, "JSON lines: the field that holds the text.")
      ->capture_default_str();
  build_verb
      ->add_option("--documents", documents,
                   "Plain text: a document is a file, lines (each line), or blank_lines "
                   "(the lines between blank ones).")
      ->check(CLI::IsMember({"file", "lines", "blank_lines"}))
      ->capture_default_str();
  CLI::Option* eos =
      build_verb->add_option("--eos", build.eos, "Id that ends every document; default: the tokenizer's.")
          ->check(CLI::NonNegativeNumber);
  build_verb->add_flag("--no_eos", build.no_eos, "Do not mark the ends of documents.")->excludes(eos);
  build_verb->add_option("--limit_tokens", build.limit_tokens, "Stop after the document that reaches so many tokens.")
      ->check(CLI::PositiveNumber);
  build_verb->add_option("--threads", build.threads, "Tokenising threads; default: all cores.")
      ->check(CLI::PositiveNumber);
  build_verb->add_flag("--skip_bad_lines", build.skip_bad_lines,
                       "Count and leave out lines that are not JSON or lack the field, instead of stopping.");
  build_verb->callback([&] {
    if (format == "jsonl") build.format = CorpusFormat::kJsonLines;
    if (format == "text") build.format = CorpusFormat::kText;
    if (documents == "lines") build.documents = TextDocuments::kLines;
    if (documents == "blank_lines") build.documents = TextDocuments::kBlankLines;
    status = Build(build);
  });

  CheckFlags check;
  CLI::App* check_verb =
      app.add_subcommand("check", "Check every rule of the format and every token; exit 1 if one is broken.");
  check_verb->add_option("prefix", check.prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  CLI::Option* vocabulary =
      check_verb->add_option("--vocab_size", check.vocabulary_size, "Ids must be below.")->check(CLI::PositiveNumber);
  check_verb->add_option("--tokenizer", check.tokenizer, "Take vocabulary and end-of-text token from a tokenizer.")
      ->excludes(vocabulary);
  check_verb->add_option("--eos", check.eos, "Id that ends every document.")->check(CLI::NonNegativeNumber);
  check_verb->callback([&] { status = Check(check); });

  std::string primes_prefix;
  std::vector<int64_t> contexts = {512, 1024, 2048, 4096, 8192, 16384};
  CLI::App* primes_verb = app.add_subcommand("primes", "The magic prime of a dataset for each context length.");
  primes_verb->add_option("prefix", primes_prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  CLI::Option* ctx =
      primes_verb->add_option("--ctx", contexts, "Context lengths; exit 1 when one is too long for the data.")
          ->check(CLI::PositiveNumber);
  primes_verb->callback([&] {
    status = Primes(primes_prefix, contexts);
    // Of the default list, the lengths that do not fit are only shown.
    if (ctx->count() == 0 && absl::IsInvalidArgument(status)) status = absl::OkStatus();
  });

  std::string info_prefix;
  bool as_json = false;
  CLI::App* info_verb = app.add_subcommand("info", "What a dataset holds and how it was made.");
  info_verb->add_option("prefix", info_prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  info_verb->add_flag("--json", as_json, "As JSON on standard output.");
  info_verb->callback([&] { status = Info(info_prefix, as_json); });

  CLI11_PARSE(app, argc, argv);
  return ExitCode(status);
}

}  // namespace
}  // namespace radlads

int main(int argc, char** argv) {
  return radlads::Main(argc, argv);
}
