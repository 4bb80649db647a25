#include "data/catalog/catalog.h"

#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/file.h"
#include "base/logging.h"
#include "base/program_flags.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/binidx.h"
#include "data/catalog/shard_files.h"
#include "data/verbs/import.h"
#include "data/verbs/verbs.h"

namespace radlads {
namespace {

// CATALOG/NAME, or CATALOG alone (then the name is '').
absl::StatusOr<CatalogPath> Existing(const std::string& path) {
  if (Catalog::IsCatalog(path)) return CatalogPath{path, ""};
  if (auto parts = ParseCatalogPath(path)) return *parts;
  return NotFound("there is no catalog at ", path, " or in the folder that it is in; expected CATALOG or CATALOG/NAME");
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
  remove->add_option("--shard", *shard, "Only the shard with this number.")->check(AtLeast(0));
  remove->callback([path, shard, run] { *run = [path, shard](std::stop_token) { return Remove(*path, *shard); }; });
}

}  // namespace radlads
