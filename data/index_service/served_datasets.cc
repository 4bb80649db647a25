#include "data/index_service/served_datasets.h"

#include "base/status.h"
#include "data/catalog/catalog.h"

namespace radlads {

absl::StatusOr<std::vector<std::string>> ServedDatasets::List() const {
  RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(catalog_));
  std::vector<std::string> names;
  for (const auto& [name, dataset] : catalog.datasets()) names.push_back(name);
  return names;
}

absl::StatusOr<std::shared_ptr<const TokenSequence>> ServedDatasets::Current(const std::string& name) {
  RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(catalog_));
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, catalog.Find(name));
  const std::string fingerprint = dataset->Fingerprint();
  RADLADS_RETURN_IF_ERROR(catalog.CheckUnchanged(*dataset));
  std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<const TokenSequence>& open = open_[name];
  if (open == nullptr || open->description().fingerprint != fingerprint) {
    auto opened = TokenSequence::OpenCataloged(catalog, name);
    if (!opened.ok()) {
      open_.erase(name);
      return opened.status();
    }
    open = *std::move(opened);
  }
  return open;
}

absl::StatusOr<std::shared_ptr<const TokenSequence>> ServedDatasets::Get(const std::string& name,
                                                                         const std::string& fingerprint) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = open_.find(name);
    if (found != open_.end() && !fingerprint.empty() && found->second->description().fingerprint == fingerprint) {
      return found->second;
    }
  }
  RADLADS_ASSIGN_OR_RETURN(auto current, Current(name));
  if (!fingerprint.empty() && current->description().fingerprint != fingerprint) {
    return FailedPrecondition("dataset ", name, " has the fingerprint ", current->description().fingerprint,
                              " now, expected ", fingerprint, ": its contents were changed; start the run anew");
  }
  return current;
}

}  // namespace radlads
