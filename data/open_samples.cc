#include "data/open_samples.h"

#include "base/status.h"
#include "data/catalog/catalog.h"
#include "data/index_service/client.h"
#include "data/index_service/key_file.h"

namespace radlads {

absl::StatusOr<std::shared_ptr<const SampleSource>> OpenSamples(const std::string& data_file,
                                                                const SampleOptions& options,
                                                                const std::string& key_file) {
  if (IsIndexServiceUrl(data_file)) {
    RemoteOptions remote;
    if (!key_file.empty()) {
      RADLADS_ASSIGN_OR_RETURN(remote.api_key, ReadKeyFile(key_file));
    }
    return OpenRemoteSource(data_file, options, remote);
  }
  if (const std::optional<CatalogPath> path = ParseCatalogPath(data_file)) {
    RADLADS_ASSIGN_OR_RETURN(const Catalog catalog, Catalog::Read(path->directory));
    RADLADS_ASSIGN_OR_RETURN(auto sequence, TokenSequence::OpenCataloged(catalog, path->name));
    return CreateLocalSource(std::move(sequence), options);
  }
  if (Catalog::IsCatalog(data_file)) {
    return InvalidArgument(data_file, " is a catalog; name one of its datasets: ", data_file,
                           "/NAME (make_binidx catalog list ", data_file, " lists them)");
  }
  RADLADS_ASSIGN_OR_RETURN(auto sequence, TokenSequence::OpenPair(data_file));
  return CreateLocalSource(std::move(sequence), options);
}

}  // namespace radlads
