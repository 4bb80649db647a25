#include "data/catalog/catalog.h"

#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/logging.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/shard_files.h"
#include "data/tokenizer/tokenizer.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

struct ImportFlags {
  std::vector<std::string> prefixes;
  std::string target, tokenizer;
  int64_t eos = -1;
  bool no_eos = false, copy = false;
};

// For a catalog that need not be there yet.
absl::StatusOr<CatalogPath> SplitTarget(const std::string& target) {
  const std::filesystem::path path = std::filesystem::path(target).lexically_normal();
  if (!path.has_filename() || path.parent_path().empty()) {
    return InvalidArgument("'", target, "' does not name a dataset in a catalog; expected CATALOG/NAME");
  }
  return CatalogPath{path.parent_path().string(), path.filename().string()};
}

// CATALOG/NAME, or CATALOG alone (then the name is '').
absl::StatusOr<CatalogPath> Existing(const std::string& path) {
  if (Catalog::IsCatalog(path)) return CatalogPath{path, ""};
  if (auto parts = ParseCatalogPath(path)) return *parts;
  return NotFound("there is no catalog at ", path, " or in the folder that it is in; expected CATALOG or CATALOG/NAME");
}

absl::Status LogRepairs(const absl::StatusOr<std::unique_ptr<CatalogWriter>>& writer) {
  RADLADS_RETURN_IF_ERROR(writer.status());
  for (const std::string& repair : (*writer)->repairs()) Log().warn("{}", repair);
  return absl::OkStatus();
}

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

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  RADLADS_CHECK(google::protobuf::util::MessageToJsonString(message, &json, options).ok());
  return json;
}

absl::Status List(const std::string& path) {
  RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(path));
  std::printf("%-32s %12s %12s %7s  %s\n", "dataset", "tokens", "documents", "shards", "tokenizer");
  absl::Status status;
  for (const auto& [name, dataset] : catalog.datasets()) {
    status.Update(dataset.status);
    const std::string tokenizer = !dataset.status.ok()                      ? "DAMAGED"
                                  : dataset.record.tokenizer_hash().empty() ? "unknown"
                                                                            : dataset.record.tokenizer();
    std::printf("%-32s %12s %12s %7zu  %s\n", name.c_str(), HumanCount(dataset.record.tokens()).c_str(),
                HumanCount(dataset.record.documents()).c_str(), dataset.shards.size(), tokenizer.c_str());
  }
  return status;
}

absl::Status Describe(const std::string& path, bool as_json) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogPath parts, Existing(path));
  RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(parts.directory));
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, catalog.Find(parts.name));
  if (as_json) {
    std::printf("{\"name\":\"%s\",\"fingerprint\":\"%s\",\"dataset\":%s,\"shards\":{", parts.name.c_str(),
                dataset->Fingerprint().c_str(), ToJson(dataset->record).c_str());
    const char* comma = "";
    for (const auto& [number, shard] : dataset->shards) {
      std::printf("%s\"%lld\":%s", comma, static_cast<long long>(number), ToJson(shard).c_str());
      comma = ",";
    }
    std::printf("}}\n");
    return absl::OkStatus();
  }
  const catalog::Dataset& record = dataset->record;
  std::printf("%s\n  tokens       %lld\n  documents    %lld\n  tokenizer    %s\n  fingerprint  %s\n  created      %s\n",
              path.c_str(), static_cast<long long>(record.tokens()), static_cast<long long>(record.documents()),
              record.tokenizer_hash().empty() ? "unknown"
                                              : Concatenate(record.tokenizer(), ", ", record.vocabulary_size(),
                                                            " ids, hash ", record.tokenizer_hash())
                                                    .c_str(),
              dataset->Fingerprint().c_str(), record.created().c_str());
  for (const catalog::MagicPrime& prime : record.magic_primes()) {
    std::printf("  ctx %-8lld magic prime %lld\n", static_cast<long long>(prime.ctx_len()),
                static_cast<long long>(prime.prime()));
  }
  for (const auto& [number, shard] : dataset->shards) {
    std::printf("  shard %-6lld %s: %lld tokens (%s) in %lld documents%s\n", static_cast<long long>(number),
                catalog.PrefixOf(shard).c_str(), static_cast<long long>(shard.tokens()), shard.token_type().c_str(),
                static_cast<long long>(shard.documents()), shard.owned() ? ", owned by the catalog" : "");
  }
  return absl::OkStatus();
}

absl::Status Check(const std::string& path, bool restamp) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogPath parts, Existing(path));
  std::unique_ptr<CatalogWriter> writer;
  if (restamp) {
    auto opened = CatalogWriter::Open(parts.directory);
    RADLADS_RETURN_IF_ERROR(LogRepairs(opened));
    writer = *std::move(opened);
  }
  RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(parts.directory));
  if (!parts.name.empty()) RADLADS_RETURN_IF_ERROR(catalog.Find(parts.name).status());
  int64_t problems = 0, checked = 0;
  const auto problem = [&problems](const absl::Status& status) {
    if (status.ok()) return false;
    std::printf("problem: %s\n", std::string(status.message()).c_str());
    ++problems;
    return true;
  };
  for (const auto& [name, dataset] : catalog.datasets()) {
    if (!parts.name.empty() && name != parts.name) continue;
    if (problem(dataset.status)) continue;
    for (const auto& [number, shard] : dataset.shards) {
      ++checked;
      const std::string full_name = JoinPath(parts.directory, name), prefix = catalog.PrefixOf(shard);
      if (problem(CheckContents(full_name, shard, prefix))) continue;
      if (problem(TokenDataset::Open(prefix).status()) || CheckUnchanged(full_name, shard, prefix).ok()) continue;
      if (writer == nullptr) {
        problem(DataLoss("dataset ", full_name, ": the contents of ", prefix,
                         " are as they were, but its files have another time of change; --restamp accepts it"));
      } else if (!problem(writer->RestampShard(name, number))) {
        std::printf("%s, shard %lld: the new time of change is accepted\n", name.c_str(),
                    static_cast<long long>(number));
      }
    }
  }
  if (problems > 0) return DataLoss(path, " has ", problems, " problem", problems == 1 ? "" : "s");
  std::printf("%s: %lld shards, no problem found\n", path.c_str(), static_cast<long long>(checked));
  return absl::OkStatus();
}

absl::Status Remove(const std::string& path, int64_t shard) {
  RADLADS_ASSIGN_OR_RETURN(const CatalogPath parts, Existing(path));
  if (parts.name.empty()) return InvalidArgument(path, " is a catalog; name one of its datasets: ", path, "/NAME");
  const auto writer = CatalogWriter::Open(parts.directory);
  RADLADS_RETURN_IF_ERROR(LogRepairs(writer));
  return shard >= 0 ? (*writer)->RemoveShard(parts.name, shard) : (*writer)->RemoveDataset(parts.name);
}

}  // namespace

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
          ->check(CLI::NonNegativeNumber);
  import_verb->add_flag("--no_eos", import->no_eos, "Their documents are not marked.")->excludes(eos);
  import_verb->add_flag("--copy", import->copy, "Copy the files into the catalog, which then owns the copies.");
  import_verb->callback([import, run] { *run = [import](std::stop_token) { return Import(*import); }; });
}

void AddCatalog(CLI::App& app, Run* run) {
  CLI::App* catalog = app.add_subcommand("catalog", "Look at a catalog of datasets, and change it.");
  catalog->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  CLI::App* list = catalog->add_subcommand("list", "Its datasets.");
  list->add_option("catalog", *path, "CATALOG.")->required();
  list->callback([path, run] { *run = [path](std::stop_token) { return List(*path); }; });

  auto as_json = std::make_shared<bool>(false);
  CLI::App* describe = catalog->add_subcommand("describe", "A dataset and its shards.");
  describe->add_option("dataset", *path, "CATALOG/NAME.")->required();
  describe->add_flag("--json", *as_json, "As JSON on standard output.");
  describe->callback(
      [path, as_json, run] { *run = [path, as_json](std::stop_token) { return Describe(*path, *as_json); }; });

  auto restamp = std::make_shared<bool>(false);
  CLI::App* check =
      catalog->add_subcommand("check", "Compare every byte of the shards with their checksums; exit 1 if one differs.");
  check->add_option("path", *path, "CATALOG or CATALOG/NAME.")->required();
  check->add_flag("--restamp", *restamp, "Accept new times of change where the contents are the same.");
  check->callback([path, restamp, run] { *run = [path, restamp](std::stop_token) { return Check(*path, *restamp); }; });

  auto shard = std::make_shared<int64_t>(-1);
  CLI::App* remove = catalog->add_subcommand(
      "remove", "Take a dataset out. Files that were imported stay; those that the catalog owns are removed.");
  remove->add_option("dataset", *path, "CATALOG/NAME.")->required();
  remove->add_option("--shard", *shard, "Only the shard with this number.")->check(CLI::NonNegativeNumber);
  remove->callback([path, shard, run] { *run = [path, shard](std::stop_token) { return Remove(*path, *shard); }; });
}

}  // namespace radlads
