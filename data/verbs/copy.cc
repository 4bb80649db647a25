// merge, split and fix_eos: datasets to datasets.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/logging.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "data/dataset_copy.h"
#include "data/verbs/make_dataset.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

absl::Status CopyAll(std::vector<DocumentRange> ranges, DocumentFilter filter, std::stop_token stop,
                     TokenDatasetWriter* writer) {
  CopyOptions options;
  options.ranges = std::move(ranges);
  options.filter = std::move(filter);
  options.show_progress = true;
  return CopyDocuments(options, writer, stop);
}

std::string IdName(const std::optional<int64_t>& id) {
  return id ? std::to_string(*id) : "none";
}

struct MergeFlags {
  std::vector<std::string> inputs;
  std::string output;
  OutputFlags files;
};

// The description of the merged dataset. FAILED_PRECONDITION when ids mean different things in two inputs.
absl::StatusOr<DatasetInfo> MergedInfo(const std::vector<DescribedDataset>& inputs) {
  DatasetInfo merged;
  const DescribedDataset* first = nullptr;
  for (const DescribedDataset& input : inputs) {
    if (!input.info) {
      merged.sources.push_back({input.tokens->prefix(), input.tokens->documents(), input.tokens->tokens(), -1});
      continue;
    }
    merged.sources.insert(merged.sources.end(), input.info->sources.begin(), input.info->sources.end());
    if (first == nullptr) {
      first = &input;
      merged.tokenizer = input.info->tokenizer;
      merged.tokenizer_hash = input.info->tokenizer_hash;
      merged.vocabulary_size = input.info->vocabulary_size;
      merged.eos_id = input.info->eos_id;
    } else if (input.info->tokenizer_hash != merged.tokenizer_hash) {
      return FailedPrecondition(first->tokens->prefix(), " was made with the tokenizer ", merged.tokenizer, " (hash ",
                                merged.tokenizer_hash, "), ", input.tokens->prefix(), " with ", input.info->tokenizer,
                                " (hash ", input.info->tokenizer_hash,
                                "): their ids mean different things; build one of them again");
    } else if (input.info->eos_id != merged.eos_id) {
      return FailedPrecondition("documents of ", first->tokens->prefix(), " end with the token ", IdName(merged.eos_id),
                                ", those of ", input.tokens->prefix(), " with ", IdName(input.info->eos_id),
                                "; make them alike with make_binidx fix_eos");
    }
  }
  if (first == nullptr) return merged;
  for (const DescribedDataset& input : inputs) {
    if (!input.info) {
      Log().warn("{} does not say how it was made; it is taken to be made like {}", input.tokens->prefix(),
                 first->tokens->prefix());
    }
  }
  return merged;
}

absl::Status Merge(const MergeFlags& flags, std::stop_token stop) {
  DatasetJob job("merge");
  std::vector<DescribedDataset> inputs;
  std::vector<DocumentRange> ranges;
  std::vector<std::string> files;
  for (const std::string& prefix : flags.inputs) {
    if (prefix == flags.output) {
      return InvalidArgument("--output ", prefix, " is one of the datasets to merge; name another");
    }
    RADLADS_ASSIGN_OR_RETURN(inputs.emplace_back(), OpenDescribed(prefix));
    const auto& tokens = inputs.back().tokens;
    ranges.push_back({tokens, 0, tokens->documents()});
    files.insert(files.end(), {TokensPath(prefix), IndexPath(prefix)});
  }
  RADLADS_ASSIGN_OR_RETURN(const DatasetInfo merged, MergedInfo(inputs));
  RADLADS_RETURN_IF_ERROR(job.SetFiles("inputs", files));
  TokenType type = inputs[0].tokens->type();
  for (const DescribedDataset& input : inputs) {
    if (input.tokens->type() != type) type = TokenType::kInt32;
  }
  return MakeDataset(flags.output, type, job, flags.files, [&](TokenDatasetWriter* writer, DatasetInfo* info) {
    *info = merged;
    return CopyAll(ranges, nullptr, stop, writer);
  });
}

struct SplitFlags {
  std::string prefix, output;
  int64_t tokens = 0;
  double valid = 0;
  OutputFlags files;
};

// One output of a split.
struct Part {
  std::string prefix;
  DocumentRange range;
  DocumentFilter filter;
};

std::vector<Part> PartsByTokens(const SplitFlags& flags, const std::shared_ptr<const TokenDataset>& dataset) {
  std::vector<Part> parts;
  for (int64_t first = 0; first < dataset->documents();) {
    int64_t last = first + 1;
    const int64_t begin = dataset->DocumentBegin(first);
    while (last < dataset->documents() && dataset->DocumentBegin(last) - begin < flags.tokens) ++last;
    char number[32];
    std::snprintf(number, sizeof(number), "-%05zu", parts.size());
    parts.push_back({flags.output + number, {dataset, first, last}, nullptr});
    first = last;
  }
  return parts;
}

std::vector<Part> PartsByHash(const SplitFlags& flags, const std::shared_ptr<const TokenDataset>& dataset) {
  const DocumentRange all{dataset, 0, dataset->documents()};
  const double valid = flags.valid;
  auto is_valid = [valid](const std::vector<int32_t>& tokens) { return DocumentFraction(tokens) < valid; };
  return {{flags.output + "-train", all, [=](std::vector<int32_t>* tokens) { return !is_valid(*tokens); }},
          {flags.output + "-valid", all, [=](std::vector<int32_t>* tokens) { return is_valid(*tokens); }}};
}

absl::Status Split(const SplitFlags& flags, std::stop_token stop) {
  if ((flags.tokens > 0) == (flags.valid > 0)) {
    return InvalidArgument(
        "say how to split: --tokens N for parts of about N tokens, or --valid F for a fraction F of ",
        "the documents as validation data");
  }
  RADLADS_ASSIGN_OR_RETURN(const DescribedDataset dataset, OpenDescribed(flags.prefix));
  const std::vector<Part> parts =
      flags.tokens > 0 ? PartsByTokens(flags, dataset.tokens) : PartsByHash(flags, dataset.tokens);
  for (const Part& part : parts) {
    DatasetJob job("split");
    job.Set("tokens", flags.tokens);
    job.Set("valid", flags.valid);
    job.Set("part", part.prefix.substr(flags.output.size()));
    RADLADS_RETURN_IF_ERROR(job.SetFiles("input", {TokensPath(flags.prefix), IndexPath(flags.prefix)}));
    RADLADS_RETURN_IF_ERROR(MakeDataset(part.prefix, dataset.tokens->type(), job, flags.files,
                                        [&](TokenDatasetWriter* writer, DatasetInfo* info) -> absl::Status {
                                          if (dataset.info) *info = *dataset.info;
                                          RADLADS_RETURN_IF_ERROR(CopyAll({part.range}, part.filter, stop, writer));
                                          info->sources = {{flags.prefix, writer->documents(), writer->tokens(), -1}};
                                          return absl::OkStatus();
                                        }));
  }
  return absl::OkStatus();
}

struct FixEosFlags {
  std::string prefix, tokenizer;
  int64_t eos = -1;
  OutputFlags files;
};

absl::Status FixEos(const FixEosFlags& flags, std::stop_token stop) {
  RADLADS_RETURN_IF_ERROR(TokenDatasetWriter::Recover(flags.prefix));
  RADLADS_ASSIGN_OR_RETURN(const DescribedDataset dataset, OpenDescribed(flags.prefix));
  std::optional<int64_t> eos = dataset.info ? dataset.info->eos_id : std::nullopt;
  if (!flags.tokenizer.empty()) {
    RADLADS_ASSIGN_OR_RETURN(auto tokenizer, TokenizerFor(flags.tokenizer, flags.prefix, dataset.info));
    if (tokenizer->eos_id()) eos = *tokenizer->eos_id();
  }
  if (flags.eos >= 0) eos = flags.eos;
  if (!eos) return InvalidArgument("the end-of-text token of ", flags.prefix, " is not known; give it with --eos ID");
  const TokenDataset& tokens = *dataset.tokens;
  int64_t missing = 0, empty = 0;
  for (int64_t d = 0; d < tokens.documents(); ++d) {
    const int64_t end = tokens.DocumentBegin(d + 1);
    int64_t last = -1;
    if (end == tokens.DocumentBegin(d)) {
      ++empty;
    } else {
      RADLADS_RETURN_IF_ERROR(tokens.Read(end - 1, std::span<int64_t>(&last, 1)));
      missing += last != *eos;
    }
  }
  const bool described = !dataset.info || dataset.info->eos_id == eos;
  if (missing == 0 && empty == 0 && tokens.has_complete_document_index() && described) {
    std::printf("%s: all %lld documents end with %lld; nothing to do\n", flags.prefix.c_str(),
                static_cast<long long>(tokens.documents()), static_cast<long long>(*eos));
    return absl::OkStatus();
  }
  if (empty == tokens.documents()) {
    return InvalidArgument(flags.prefix, ": all ", empty, " documents are empty, and fix_eos leaves empty documents out; ",
                           "there would be none, so the dataset stays as it is");
  }
  std::printf("%s: %lld of %lld documents get the end mark %lld, %lld empty ones are left out\n", flags.prefix.c_str(),
              static_cast<long long>(missing), static_cast<long long>(tokens.documents()), static_cast<long long>(*eos),
              static_cast<long long>(empty));
  DatasetJob job("fix_eos");
  job.Set("eos_id", *eos);
  RADLADS_RETURN_IF_ERROR(job.SetBase(tokens));
  const int32_t mark = static_cast<int32_t>(*eos);
  auto add_mark = [mark](std::vector<int32_t>* ids) {
    if (ids->empty()) return false;
    if (ids->back() != mark) ids->push_back(mark);
    return true;
  };
  return MakeDataset(flags.prefix, tokens.type(), job, flags.files,
                     [&](TokenDatasetWriter* writer, DatasetInfo* info) -> absl::Status {
                       if (dataset.info) *info = *dataset.info;
                       info->eos_id = eos;
                       for (DatasetSource& source : info->sources) source.documents = source.tokens = -1;
                       return CopyAll({{dataset.tokens, 0, tokens.documents()}}, add_mark, stop, writer);
                     });
}

}  // namespace

void AddMerge(CLI::App& app, Run* run) {
  auto flags = std::make_shared<MergeFlags>();
  CLI::App* verb = app.add_subcommand("merge", "Put datasets of one tokenizer after each other.");
  verb->add_option("inputs", flags->inputs, "PREFIX of each dataset, in order.")->required();
  verb->add_option("--output", flags->output, "PREFIX of the files to write.")->required();
  AddOutputFlags(verb, &flags->files);
  verb->callback([=] { *run = [=](std::stop_token stop) { return Merge(*flags, stop); }; });
}

void AddSplit(CLI::App& app, Run* run) {
  auto flags = std::make_shared<SplitFlags>();
  CLI::App* verb = app.add_subcommand("split", "Cut a dataset into parts, or into training and validation data.");
  verb->add_option("prefix", flags->prefix, "PREFIX of the dataset, which stays as it is.")->required();
  verb->add_option("--output", flags->output, "Parts are OUTPUT-00000, OUTPUT-00001, ..., or OUTPUT-train and -valid.")
      ->required();
  CLI::Option* tokens =
      verb->add_option("--tokens", flags->tokens, "Parts end with the document that reaches so many tokens.")
          ->check(AtLeast(1));
  verb->add_option("--valid", flags->valid,
                   "About this fraction of the documents is validation data: those whose hash says so, wherever they "
                   "stand, so that copies of a document stay together.")
      ->check(NumberInRange(0, 1))
      ->excludes(tokens);
  AddOutputFlags(verb, &flags->files);
  verb->callback([=] { *run = [=](std::stop_token stop) { return Split(*flags, stop); }; });
}

void AddFixEos(CLI::App& app, Run* run) {
  auto flags = std::make_shared<FixEosFlags>();
  CLI::App* verb =
      app.add_subcommand("fix_eos", "End every document with the end-of-text token; leave out empty documents.");
  verb->add_option("prefix", flags->prefix, "PREFIX of the dataset, which is replaced.")->required();
  CLI::Option* eos = verb->add_option("--eos", flags->eos, "The token; default: what the dataset or --tokenizer says.")
                         ->check(AtLeast(0));
  verb->add_option("--tokenizer", flags->tokenizer, "Take the token from a tokenizer.")->excludes(eos);
  AddOutputFlags(verb, &flags->files);
  verb->callback([=] { *run = [=](std::stop_token stop) { return FixEos(*flags, stop); }; });
}

}  // namespace radlads
