#include "data/index_service/served_datasets.h"

#include "base/status.h"

namespace radlads {

absl::StatusOr<CatalogDataset> ServedDatasets::Describe(const std::string& name) {
  RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(catalog_));
  RADLADS_ASSIGN_OR_RETURN(const CatalogDataset* dataset, catalog.Find(name));
  RADLADS_RETURN_IF_ERROR(catalog.CheckUnchanged(*dataset));
  std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<const TokenSequence>& open = open_[name];
  if (open == nullptr || open->description().fingerprint != dataset->Fingerprint()) {
    auto opened = TokenSequence::OpenCataloged(catalog, name);
    if (!opened.ok()) {
      open_.erase(name);
      return opened.status();
    }
    open = *std::move(opened);
  }
  return *dataset;
}

absl::StatusOr<std::shared_ptr<const TokenSequence>> ServedDatasets::Get(const std::string& name,
                                                                         const std::string& fingerprint) {
  const auto find = [&]() -> std::shared_ptr<const TokenSequence> {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = open_.find(name);
    return found == open_.end() ? nullptr : found->second;
  };
  auto open = find();
  if (open != nullptr && !fingerprint.empty() && open->description().fingerprint == fingerprint) return open;
  RADLADS_RETURN_IF_ERROR(Describe(name).status());
  open = find();
  if (open == nullptr || (!fingerprint.empty() && open->description().fingerprint != fingerprint)) {
    return FailedPrecondition("dataset ", name, " has the fingerprint ",
                              open == nullptr ? "" : open->description().fingerprint, " now, expected ", fingerprint,
                              ": its contents were changed; start the run anew");
  }
  return open;
}

}  // namespace radlads
