// The verbs of make_binidx that look at and change catalogs: import, and catalog list, describe, check, remove.
#ifndef RADLADS_DATA_CATALOG_VERBS_H_
#define RADLADS_DATA_CATALOG_VERBS_H_

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace radlads {

// Adds the verbs to `app`. When one of them is on the command line, parsing it does its work and sets `status`; both
// must outlive the parsing. Results go to stdout.
void AddCatalogVerbs(CLI::App& app, absl::Status& status);

}  // namespace radlads

#endif  // RADLADS_DATA_CATALOG_VERBS_H_
