// build and append: text to tokens.
#include <cstdio>
#include <memory>

#include "base/logging.h"
#include "base/parallel_for.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/corpus.h"
#include "data/dataset_builder.h"
#include "data/dataset_copy.h"
#include "data/verbs/import.h"
#include "data/verbs/make_dataset.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

struct TextFlags {
  std::vector<std::string> inputs;
  std::string tokenizer, format = "auto", documents = "file", text_field = "text";
  bool no_eos = false, skip_bad_lines = false;
  int64_t eos = -1, limit_tokens = 0;
  int threads = 0;
  OutputFlags output;
};

void AddTextFlags(CLI::App* verb, TextFlags* flags) {
  verb->add_option("inputs", flags->inputs,
                   "Files, directories, patterns, or - for standard input. JSON lines or plain text; gzip, xz, zstd "
                   "and lz4 are recognised.")
      ->required();
  verb->add_option("--format", flags->format, "auto (by name), jsonl or text.")
      ->check(OneOf({"auto", "jsonl", "text"}))
      ->capture_default_str();
  verb->add_option("--text_field", flags->text_field,
                   "JSON lines: the field that holds the text; meta.body is body inside of meta.")
      ->capture_default_str();
  verb->add_option("--documents", flags->documents,
                   "Plain text: a document is a file, lines (each line), or blank_lines "
                   "(the lines between blank ones).")
      ->check(OneOf({"file", "lines", "blank_lines"}))
      ->capture_default_str();
  verb->add_option("--limit_tokens", flags->limit_tokens, "Stop after the document that reaches so many tokens.")
      ->check(AtLeast(1));
  verb->add_option("--threads", flags->threads, "Tokenising threads; default: all cores.")->check(AtLeast(1));
  verb->add_flag("--skip_bad_lines", flags->skip_bad_lines,
                 "Count and leave out lines that are not JSON or lack the field, instead of stopping.");
  AddOutputFlags(verb, &flags->output);
}

// What is tokenised and how, ready to run.
struct TextInput {
  std::shared_ptr<const Tokenizer> tokenizer;
  BuildOptions options;
};

// Threads and the treatment of bad lines are not part of the job: they change no byte of what can be continued.
absl::StatusOr<TextInput> PrepareText(const TextFlags& flags, std::shared_ptr<const Tokenizer> tokenizer,
                                      const std::optional<int64_t>& eos_id, DatasetJob* job) {
  TextInput text;
  text.tokenizer = std::move(tokenizer);
  BuildOptions& options = text.options;
  RADLADS_ASSIGN_OR_RETURN(options.paths, ExpandInputs(flags.inputs));
  if (flags.format == "jsonl") options.corpus.format = CorpusFormat::kJsonLines;
  if (flags.format == "text") options.corpus.format = CorpusFormat::kText;
  if (flags.documents == "lines") options.corpus.documents = TextDocuments::kLines;
  if (flags.documents == "blank_lines") options.corpus.documents = TextDocuments::kBlankLines;
  options.text_field = flags.text_field;
  options.limit_tokens = flags.limit_tokens;
  options.skip_bad_lines = flags.skip_bad_lines;
  options.show_progress = true;
  if (eos_id) options.eos_id = static_cast<int32_t>(*eos_id);
  SetThreads(flags.threads);
  options.threads = Threads();
  RADLADS_RETURN_IF_ERROR(CheckFormats(options.paths, options.corpus.format));

  job->Set("tokenizer_hash", text.tokenizer->Hash());
  job->Set("eos_id", options.eos_id.value_or(-1));
  job->Set("format", flags.format);
  job->Set("documents", flags.documents);
  job->Set("text_field", flags.text_field);
  job->Set("limit_tokens", flags.limit_tokens);
  RADLADS_RETURN_IF_ERROR(job->SetFiles("inputs", options.paths));
  return text;
}

// Adds the documents of the text, and its sources to the description.
absl::Status Tokenise(const TextInput& text, std::stop_token stop, TokenDatasetWriter* writer, DatasetInfo* info) {
  auto new_encoder = [&]() -> EncodeFunction {
    return [encoder = std::make_shared<Tokenizer::Encoder>(text.tokenizer->NewEncoder())](
               std::string_view document, std::vector<int32_t>* ids) { encoder->EncodeTo(document, ids); };
  };
  RADLADS_ASSIGN_OR_RETURN(BuildResult result, BuildDataset(text.options, new_encoder, writer, stop));
  if (result.bad_lines > 0) {
    Log().warn("{} lines were left out (--skip_bad_lines); the first of them:", result.bad_lines);
    for (const std::string& line : result.first_bad_lines) Log().warn("  {}", line);
  }
  if (result.empty_documents > 0) Log().warn("{} documents without text were left out", result.empty_documents);
  if (result.reached_limit) Log().info("stopped at --limit_tokens {}", text.options.limit_tokens);
  info->sources.insert(info->sources.end(), result.sources.begin(), result.sources.end());
  Log().info("{} of text with {} threads: {}/s", HumanCount(result.text_bytes, "B"), text.options.threads,
             HumanCount(result.text_bytes / result.seconds, "B"));
  return absl::OkStatus();
}

struct BuildFlags {
  TextFlags text;
  std::string output, catalog;
};

absl::Status Build(const BuildFlags& flags, std::stop_token stop) {
  if (!flags.catalog.empty()) RADLADS_RETURN_IF_ERROR(SplitTarget(flags.catalog).status());
  RADLADS_ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::Load(flags.text.tokenizer));
  DatasetInfo about;
  about.tokenizer = flags.text.tokenizer;
  about.tokenizer_hash = tokenizer->Hash();
  about.vocabulary_size = tokenizer->vocab_size();
  if (flags.text.eos >= 0) {
    if (flags.text.eos >= about.vocabulary_size) {
      return InvalidArgument("--eos ", flags.text.eos, " is outside of the vocabulary of ", about.vocabulary_size,
                             " ids");
    }
    about.eos_id = flags.text.eos;
  } else if (!flags.text.no_eos) {
    if (!tokenizer->eos_id()) {
      return InvalidArgument(
          "the tokenizer ", flags.text.tokenizer,
          " names no end-of-text token; give one with --eos ID, or leave documents unmarked with --no_eos");
    }
    about.eos_id = *tokenizer->eos_id();
  }
  DatasetJob job("build");
  RADLADS_ASSIGN_OR_RETURN(const TextInput text, PrepareText(flags.text, tokenizer, about.eos_id, &job));
  RADLADS_RETURN_IF_ERROR(MakeDataset(flags.output, TokenTypeForVocabulary(about.vocabulary_size), job,
                                      flags.text.output, [&](TokenDatasetWriter* writer, DatasetInfo* info) {
                                        *info = about;
                                        return Tokenise(text, stop, writer, info);
                                      }));
  return flags.catalog.empty() ? absl::OkStatus() : RegisterBuilt(flags.output, flags.catalog);
}

struct AppendFlags {
  TextFlags text;
  std::string prefix;
};

absl::Status Append(const AppendFlags& flags, std::stop_token stop) {
  RADLADS_RETURN_IF_ERROR(TokenDatasetWriter::Recover(flags.prefix));
  RADLADS_ASSIGN_OR_RETURN(const DescribedDataset base, OpenDescribed(flags.prefix));
  if (!base.info) {
    return InvalidArgument(DatasetInfoPath(flags.prefix),
                           " is not there: it is not known which tokenizer and end mark ", flags.prefix,
                           " has; build the text separately and merge the two");
  }
  RADLADS_ASSIGN_OR_RETURN(auto tokenizer, TokenizerFor(flags.text.tokenizer, flags.prefix, base.info));
  DatasetJob job("append");
  RADLADS_RETURN_IF_ERROR(job.SetBase(*base.tokens));
  RADLADS_ASSIGN_OR_RETURN(const TextInput text, PrepareText(flags.text, tokenizer, base.info->eos_id, &job));
  return MakeDataset(flags.prefix, base.tokens->type(), job, flags.text.output,
                     [&](TokenDatasetWriter* writer, DatasetInfo* info) {
                       *info = *base.info;
                       CopyOptions copy;
                       copy.ranges = {{base.tokens, 0, base.tokens->documents()}};
                       copy.show_progress = true;
                       RADLADS_RETURN_IF_ERROR(CopyDocuments(copy, writer, stop));
                       return Tokenise(text, stop, writer, info);
                     });
}

}  // namespace

void AddBuild(CLI::App& app, Run* run) {
  auto flags = std::make_shared<BuildFlags>();
  CLI::App* verb = app.add_subcommand("build", "Tokenise text into a dataset.");
  verb->add_option("--tokenizer", flags->text.tokenizer, "Directory with tokenizer.json, or the file itself.")
      ->required();
  verb->add_option("--output", flags->output, "PREFIX of the files to write; an older dataset there is replaced.")
      ->required();
  verb->add_option("--catalog", flags->catalog, "CATALOG/NAME to register the dataset in, as `import` does.");
  AddTextFlags(verb, &flags->text);
  CLI::Option* eos =
      verb->add_option("--eos", flags->text.eos, "Id that ends every document; default: the tokenizer's.")
          ->check(AtLeast(0));
  verb->add_flag("--no_eos", flags->text.no_eos, "Do not mark the ends of documents.")->excludes(eos);
  verb->callback([=] { *run = [=](std::stop_token stop) { return Build(*flags, stop); }; });
}

void AddAppend(CLI::App& app, Run* run) {
  auto flags = std::make_shared<AppendFlags>();
  CLI::App* verb = app.add_subcommand("append", "Tokenise more text to the end of a dataset, with its tokenizer.");
  verb->add_option("prefix", flags->prefix, "PREFIX of the dataset, which is replaced by the longer one.")->required();
  verb->add_option("--tokenizer", flags->text.tokenizer, "Where the dataset's tokenizer is, if it has moved.");
  AddTextFlags(verb, &flags->text);
  verb->callback([=] { *run = [=](std::stop_token stop) { return Append(*flags, stop); }; });
}

}  // namespace radlads
