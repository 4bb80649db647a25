// check: every rule of the format.
#include <cstdio>
#include <memory>

#include "base/program_flags.h"
#include "base/status.h"
#include "data/dataset_check.h"
#include "data/verbs/make_dataset.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

struct CheckFlags {
  std::string prefix, tokenizer;
  int64_t vocabulary_size = 0, eos = -1;
};

absl::Status Check(const CheckFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(flags.prefix));
  DatasetExpectations expected;
  std::vector<std::string> problems;
  if (const auto info = ReadDatasetInfo(flags.prefix); info.ok() && *info) {
    if ((*info)->vocabulary_size > 0) expected.vocabulary_size = (*info)->vocabulary_size;
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
  const std::vector<std::string> found = FindProblems(*dataset, expected, true);
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
  if (!problems.empty()) {
    return DataLoss(flags.prefix, " has ", problems.size(), " problem", problems.size() == 1 ? "" : "s");
  }
  std::printf("no problem found\n");
  return absl::OkStatus();
}

}  // namespace

void AddCheck(CLI::App& app, Run* run) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* verb =
      app.add_subcommand("check", "Check every rule of the format and every token; exit 1 if one is broken.");
  verb->add_option("prefix", flags->prefix, "PREFIX of PREFIX.bin and PREFIX.idx.")->required();
  CLI::Option* vocabulary =
      verb->add_option("--vocab_size", flags->vocabulary_size, "Ids must be below.")->check(AtLeast(1));
  verb->add_option("--tokenizer", flags->tokenizer, "Take vocabulary and end-of-text token from a tokenizer.")
      ->excludes(vocabulary);
  verb->add_option("--eos", flags->eos, "Id that ends every document.")->check(AtLeast(0));
  verb->callback([=] { *run = [=](std::stop_token) { return Check(*flags); }; });
}

}  // namespace radlads
