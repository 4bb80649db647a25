#include "data/verbs/import.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/logging.h"
#include "base/program_flags.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/catalog.h"
#include "data/catalog/shard_files.h"
#include "data/tokenizer/tokenizer.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

// Says of files that do not say it themselves which tokenizer made them.
absl::Status SetTokenizer(const ImportFlags& flags, const Tokenizer& tokenizer, const std::string& prefix,
                          catalog::Shard* shard) {
  if (!shard->tokenizer_hash().empty() && shard->tokenizer_hash() != tokenizer.Hash()) {
    return FailedPrecondition(prefix, " was made with the tokenizer ", shard->tokenizer(), " (hash ",
                              shard->tokenizer_hash(), "), not with ", flags.tokenizer, " (hash ", tokenizer.Hash(),
                              ")");
  }
  if (!shard->tokenizer_hash().empty()) return absl::OkStatus();
  RADLADS_ASSIGN_OR_RETURN(const auto dataset, TokenDataset::Open(prefix));
  RADLADS_RETURN_IF_ERROR(dataset->CheckVocabulary(tokenizer.vocab_size()));
  shard->set_tokenizer(flags.tokenizer);
  shard->set_tokenizer_hash(tokenizer.Hash());
  shard->set_vocabulary_size(tokenizer.vocab_size());
  if (flags.eos >= 0) {
    shard->set_eos_id(flags.eos);
  } else if (!flags.no_eos && tokenizer.eos_id()) {
    shard->set_eos_id(*tokenizer.eos_id());
  }
  return absl::OkStatus();
}

absl::Status CopyInto(CatalogWriter& writer, const std::string& dataset, const std::string& from,
                      const catalog::Shard& shard) {
  RADLADS_ASSIGN_OR_RETURN(const std::string to, writer.Begin(dataset, shard));
  absl::Status status = [&]() -> absl::Status {
    // The index comes last, as TokenDatasetWriter does it: with it, the files are whole.
    for (const char* ending : {".bin", ".json", ".idx"}) {
      if (!FileExists(from + ending)) continue;
      RADLADS_ASSIGN_OR_RETURN(const auto source, MappedFile::Open(from + ending));
      RADLADS_ASSIGN_OR_RETURN(const auto copy, AtomicFile::Create(to + ending));
      RADLADS_RETURN_IF_ERROR(copy->Append(source->bytes().data(), source->bytes().size()));
      RADLADS_RETURN_IF_ERROR(copy->Commit());
    }
    return writer.Publish(to);
  }();
  if (!status.ok()) status.Update(writer.Abandon(to));
  return status;
}

}  // namespace

// For a catalog that need not be there yet.
absl::StatusOr<CatalogPath> SplitTarget(const std::string& target) {
  const std::filesystem::path path = std::filesystem::path(target).lexically_normal();
  if (!path.has_filename() || path.parent_path().empty()) {
    return InvalidArgument("'", target, "' does not name a dataset in a catalog; expected CATALOG/NAME");
  }
  return CatalogPath{path.parent_path().string(), path.filename().string()};
}

absl::Status LogRepairs(const absl::StatusOr<std::unique_ptr<CatalogWriter>>& writer) {
  RADLADS_RETURN_IF_ERROR(writer.status());
  for (const std::string& repair : (*writer)->repairs()) Log().warn("{}", repair);
  return absl::OkStatus();
}

absl::Status Import(const ImportFlags& flags) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogPath target, SplitTarget(flags.target));
  std::shared_ptr<const Tokenizer> tokenizer;
  if (!flags.tokenizer.empty()) {
    RADLADS_ASSIGN_OR_RETURN(tokenizer, Tokenizer::Load(flags.tokenizer));
  }
  // All reading comes before the catalog is opened: others can write meanwhile.
  std::vector<catalog::Shard> shards;
  for (const std::string& prefix : flags.prefixes) {
    RADLADS_ASSIGN_OR_RETURN(catalog::Shard shard, DescribeShard(prefix));
    if (tokenizer != nullptr) RADLADS_RETURN_IF_ERROR(SetTokenizer(flags, *tokenizer, prefix, &shard));
    shards.push_back(std::move(shard));
  }
  const auto writer = CatalogWriter::Open(target.directory);
  RADLADS_RETURN_IF_ERROR(LogRepairs(writer));
  for (size_t i = 0; i < shards.size(); ++i) {
    RADLADS_RETURN_IF_ERROR(flags.copy ? CopyInto(**writer, target.name, flags.prefixes[i], shards[i])
                                       : (*writer)->Add(target.name, shards[i]));
  }
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, (*writer)->contents().Find(target.name));
  std::printf("%s: %lld tokens in %lld documents, %zu shards\n", flags.target.c_str(),
              static_cast<long long>(dataset->record.tokens()), static_cast<long long>(dataset->record.documents()),
              dataset->shards.size());
  return absl::OkStatus();
}

absl::Status RegisterBuilt(const std::string& prefix, const std::string& target) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogPath path, SplitTarget(target));
  const std::string absolute = std::filesystem::absolute(prefix).lexically_normal().string();
  if (Catalog::IsCatalog(path.directory)) {
    RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(path.directory));
    const auto found = catalog.datasets().find(path.name);
    if (found != catalog.datasets().end()) {
      RADLADS_RETURN_IF_ERROR(found->second.status);
      for (const auto& [number, shard] : found->second.shards) {
        if (catalog.PrefixOf(shard) == absolute) return CheckUnchanged(target, shard, absolute);
      }
    }
  }
  return Import({.prefixes = {prefix}, .target = target});
}

void AddImport(CLI::App& app, Run* run) {
  // The values live as long as the callbacks that read them.
  auto import = std::make_shared<ImportFlags>();
  CLI::App* import_verb = app.add_subcommand(
      "import", "Register token datasets (ours, Megatron's, RADLADS') in a catalog, without copying.");
  import_verb->add_option("prefixes", import->prefixes, "PREFIX of PREFIX.bin and PREFIX.idx; several become shards.")
      ->required();
  import_verb->add_option("--catalog", import->target, "CATALOG/NAME; made where it does not exist, else added to.")
      ->required();
  import_verb->add_option("--tokenizer", import->tokenizer,
                          "Tokenizer that made files which do not say it; all ids are compared with its vocabulary.");
  CLI::Option* eos =
      import_verb->add_option("--eos", import->eos, "Id that ends their documents; default: the tokenizer's.")
          ->check(AtLeast(0));
  import_verb->add_flag("--no_eos", import->no_eos, "Their documents are not marked.")->excludes(eos);
  import_verb->add_flag("--copy", import->copy, "Copy the files into the catalog, which then owns the copies.");
  import_verb->callback([import, run] { *run = [import](std::stop_token) { return Import(*import); }; });
}

}  // namespace radlads
